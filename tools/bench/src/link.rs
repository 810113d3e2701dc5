//! One connection: its socket, its upgrade, its frames.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use bennu_protocol::websocket::{
    Decoder, Extension, FrameHeader, Item, Limits, Opcode, ProtocolViolation, Role,
};
use mio::net::TcpStream;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::fault::Fault;
use crate::target::{Target, check_response};
use crate::tls::TlsStream;

/// What an empty queue may keep, in bytes.
const QUEUE_KEPT: usize = 4096;

/// A connection that does not block.
#[derive(Debug)]
pub(crate) struct Link {
    number: usize,
    stream: Stream,
    state: State,
    decoder: Decoder,
    /// What the socket did not take yet; no memory while empty.
    unsent: Vec<u8>,
    delayed_acks: bool,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream>),
}

#[derive(Debug)]
enum State {
    /// The head of the response, as far as it came.
    Upgrading(Vec<u8>),
    Open,
}

/// What frames hold, borrowed from where they were read.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    /// The upgrade is done.
    Upgraded,
    Text(&'a [u8]),
    Ping(&'a [u8]),
    Pong,
}

impl Link {
    /// Begins to connect; what is queued is sent when that is done.
    pub(crate) fn start(number: usize, target: &Target) -> io::Result<Self> {
        let socket = connect(target, number)?;
        let stream = match &target.tls {
            None => Stream::Tcp(socket),
            Some((config, name)) => {
                Stream::Tls(Box::new(TlsStream::new(socket, Arc::clone(config), name.clone())?))
            }
        };
        let limits = Limits { max_frame_size: 64 << 20, max_message_size: 64 << 20 };
        Ok(Self {
            number,
            stream,
            state: State::Upgrading(Vec::new()),
            decoder: Decoder::new(Role::Client, limits),
            unsent: target.request(),
            delayed_acks: target.delayed_acks,
        })
    }

    pub(crate) fn socket_mut(&mut self) -> &mut TcpStream {
        match &mut self.stream {
            Stream::Tcp(socket) => socket,
            Stream::Tls(stream) => &mut stream.socket,
        }
    }

    /// Sends `bytes`, as far as the socket takes them now, behind what waits already. They are gone from `bytes` after.
    pub(crate) fn send(&mut self, bytes: &mut Vec<u8>) -> Result<(), Fault> {
        if !self.unsent.is_empty() {
            self.unsent.append(bytes);
            return Ok(());
        }
        let sent = write_some(&mut self.stream, bytes).map_err(|error| self.lost(&error))?;
        if sent < bytes.len() {
            self.unsent.extend_from_slice(&bytes[sent..]);
        }
        bytes.clear();
        // Thousands of connections need not keep the room of their largest message.
        bytes.shrink_to(QUEUE_KEPT);
        Ok(())
    }

    /// The socket takes more.
    pub(crate) fn writable(&mut self) -> Result<(), Fault> {
        if let Some(error) = self.socket_mut().take_error()? {
            return Err(self.lost(&error));
        }
        let sent = write_some(&mut self.stream, &self.unsent);
        match sent {
            Ok(sent) if sent == self.unsent.len() => self.unsent = Vec::new(),
            Ok(sent) => drop(self.unsent.drain(..sent)),
            // Writable and readable come together, before a connect has succeeded too.
            Err(error) if error.kind() == ErrorKind::NotConnected => {}
            Err(error) => return Err(self.lost(&error)),
        }
        Ok(())
    }

    /// Reads once into `scratch`; `None` when nothing is there.
    pub(crate) fn read(&mut self, scratch: &mut [u8]) -> Result<Option<usize>, Fault> {
        loop {
            let read = match &mut self.stream {
                Stream::Tcp(socket) => socket.read(scratch),
                Stream::Tls(stream) => stream.read(scratch),
            };
            match read {
                Ok(0) => return Err(self.closed("without a close frame".to_owned())),
                Ok(len) => return Ok(Some(len)),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::NotConnected => return Ok(None),
                    _ => return Err(self.lost(&error)),
                },
            }
        }
    }

    /// Whether a short read may leave bytes behind: those that were decrypted already.
    pub(crate) fn reads_until_blocked(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// Takes what was read apart.
    pub(crate) fn consume(
        &mut self,
        input: &mut [u8],
        each: &mut impl FnMut(Piece<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let State::Upgrading(head) = &mut self.state else { return self.frames(input, each) };
        head.extend_from_slice(input);
        let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            return Ok(());
        };
        let mut head = std::mem::take(head);
        let text = String::from_utf8_lossy(&head[..end]);
        check_response(&text).map_err(|why| Fault::Refused { link: self.number, why })?;
        self.state = State::Open;
        if self.delayed_acks {
            // A connection that is being made would forget it.
            rustix::net::sockopt::set_tcp_quickack(self.socket_mut(), false)
                .map_err(|error| self.lost(&error.into()))?;
        }
        each(Piece::Upgraded)?;
        self.frames(&mut head[end + 4..], each)
    }

    fn frames(
        &mut self,
        mut input: &mut [u8],
        each: &mut impl FnMut(Piece<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        while !input.is_empty() {
            if let Some((start, end)) = self.whole_text(input)? {
                let (frame, rest) = input.split_at_mut(end);
                each(Piece::Text(&frame[start..]))?;
                input = rest;
                continue;
            }
            match self.decoder.decode(&mut input).map_err(|cause| self.framing(cause))? {
                None => break,
                Some(Item::Text(text)) => each(Piece::Text(&text))?,
                Some(Item::Ping(payload)) => each(Piece::Ping(&payload))?,
                Some(Item::Pong(_)) => each(Piece::Pong)?,
                Some(Item::Binary(_)) => {
                    return Err(Fault::Stray { link: self.number, what: "a binary message".to_owned() });
                }
                Some(Item::Close(frame)) => return Err(self.closed(format!("{frame:?}"))),
            }
        }
        Ok(())
    }

    /// Where a text message begins and ends that lies whole and in one frame at the start of
    /// `input`. It needs no copy, and its bytes are compared with those expected anyway.
    fn whole_text(&self, input: &[u8]) -> Result<Option<(usize, usize)>, Fault> {
        if !self.decoder.is_idle() {
            return Ok(None);
        }
        let Some(header) = FrameHeader::parse(input, Extension::None).map_err(|cause| self.framing(cause))?
        else {
            return Ok(None);
        };
        let start = header.encoded_len();
        let end = start.saturating_add(usize::try_from(header.payload_len).unwrap_or(usize::MAX));
        let is_whole =
            header.fin && header.opcode == Opcode::Text && header.mask.is_none() && end <= input.len();
        Ok(is_whole.then_some((start, end)))
    }

    fn framing(&self, cause: ProtocolViolation) -> Fault {
        Fault::Framing { link: self.number, cause }
    }

    fn lost(&self, error: &io::Error) -> Fault {
        self.closed(error.to_string())
    }

    fn closed(&self, why: String) -> Fault {
        Fault::Closed { link: self.number, why }
    }
}

/// A socket that is connecting.
fn connect(target: &Target, link: usize) -> io::Result<TcpStream> {
    let Some(source) = target.source(link) else {
        let socket = TcpStream::connect(target.address(link))?;
        socket.set_nodelay(true)?;
        return Ok(socket);
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddr::from((source, 0)))?;
    match rustix::net::connect(&socket, &target.address(link)) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let socket = TcpStream::from_std(socket.into());
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// Writes until all is written or the socket is full; how much it took.
fn write_some(stream: &mut Stream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    loop {
        let written = match stream {
            Stream::Tcp(_) if sent == bytes.len() => return Ok(sent),
            Stream::Tcp(socket) => socket.write(&bytes[sent..]),
            // Even with nothing to say the session may have something.
            Stream::Tls(stream) if sent == bytes.len() => return stream.flush().map(|()| sent),
            Stream::Tls(stream) => stream.write(&bytes[sent..]),
        };
        match written {
            Ok(len) => sent += len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(sent),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
