//! All connections of this process, on one thread and one epoll.

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};

use crate::fault::Fault;
use crate::link::{Link, Piece};
use crate::protocol::Received;
use crate::sends::Sends;
use crate::target::Target;
use crate::topics::Topics;

/// One read takes in that much at most; all connections share it.
const SCRATCH: usize = 256 * 1024;

/// Connections that have nothing to say beat that often, as clients do.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// What a client does with what it receives.
pub(crate) trait Workload {
    /// A message came.
    fn receive(&mut self, link: usize, received: Received<'_>, sends: &mut Sends) -> Result<(), Fault>;

    /// Does what is due at `now`; when to be asked again, if nothing comes before.
    fn tick(&mut self, now: Instant, sends: &mut Sends) -> Option<Instant> {
        let _nothing_is_due_by_itself = (now, sends);
        None
    }

    /// Whether everything came.
    fn is_done(&self) -> bool;

    /// What did not come yet, for people.
    fn missing(&self) -> String;
}

/// Bytes of frames, headers included, before a cipher adds its own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

impl Traffic {
    /// What went over the wire from `self` to `later`.
    pub(crate) fn until(self, later: Traffic) -> Traffic {
        Traffic { sent: later.sent - self.sent, received: later.received - self.received }
    }
}

/// The connections and their loop.
#[derive(Debug)]
pub(crate) struct Client {
    target: Target,
    poll: Poll,
    events: Events,
    links: Vec<Option<Link>>,
    pub(crate) sends: Sends,
    scratch: Vec<u8>,
    pub(crate) traffic: Traffic,
    /// How long nothing may come while something is due.
    patience: Duration,
    next_heartbeat: Instant,
}

impl Client {
    pub(crate) fn new(target: Target, topics: Topics, patience: Duration) -> io::Result<Self> {
        let sends = Sends::new(target.protocol, target.purpose, topics);
        Ok(Self {
            target,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            links: Vec::new(),
            sends,
            scratch: vec![0; SCRATCH],
            traffic: Traffic::default(),
            patience,
            next_heartbeat: Instant::now() + HEARTBEAT,
        })
    }

    /// Ends a sleep of the loop from another thread, so that the workload is asked what is due.
    pub(crate) fn waker(&self) -> io::Result<Waker> {
        Waker::new(self.poll.registry(), Token(usize::MAX))
    }

    /// Makes room for `count` more connections, which [`Sends::reopen`] opens; the number of the first.
    pub(crate) fn reserve(&mut self, count: usize) -> usize {
        let first = self.links.len();
        self.links.resize_with(first + count, || None);
        self.sends.grow(self.links.len());
        first
    }

    /// Runs until the workload has all it waits for.
    ///
    /// # Errors
    ///
    /// The first fault of the server, or that nothing came for too long.
    pub(crate) fn run(&mut self, workload: &mut impl Workload) -> Result<(), Fault> {
        let mut last_sign = Instant::now();
        loop {
            let now = Instant::now();
            self.beat_if_due(now);
            let due = workload.tick(now, &mut self.sends);
            self.flush()?;
            if workload.is_done() {
                return Ok(());
            }
            if now > last_sign + self.patience {
                let (seconds, missing) = (self.patience.as_secs(), workload.missing());
                return Err(Fault::Missing { seconds, missing });
            }
            let wake = due.unwrap_or(last_sign + self.patience).min(self.next_heartbeat);
            if self.turn(workload, pause(now, wake))? {
                last_sign = Instant::now();
            } else if due.is_some_and(|due| due > last_sign + self.patience) {
                // The workload itself waits longer.
                last_sign = now;
            }
        }
    }

    /// Waits for events and serves them; whether there were any.
    fn turn(&mut self, workload: &mut impl Workload, timeout: Duration) -> Result<bool, Fault> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            let Token(number) = event.token();
            let Some(Some(link)) = self.links.get_mut(number) else { continue };
            if event.is_writable() {
                link.writable()?;
            }
            if event.is_readable() || event.is_read_closed() {
                self.traffic.received += read(link, event.is_read_closed(), &mut self.scratch, |piece| {
                    receive(&self.target, number, piece, workload, &mut self.sends)
                })?;
            }
        }
        let any = !events.is_empty();
        self.events = events;
        self.flush()?;
        Ok(any)
    }

    /// Sends what was queued, then opens and closes what shall be.
    fn flush(&mut self) -> Result<(), Fault> {
        for number in std::mem::take(&mut self.sends.filled) {
            match &mut self.links[number] {
                Some(link) => {
                    let queue = self.sends.queue(number);
                    self.traffic.sent += queue.len() as u64;
                    link.send(queue)?;
                }
                None => self.sends.queue(number).clear(),
            }
        }
        for number in std::mem::take(&mut self.sends.close) {
            self.links[number] = None;
        }
        for number in std::mem::take(&mut self.sends.reopen) {
            self.links[number] = None;
            self.sends.reset(number);
            let mut link = Link::start(number, &self.target)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(link.socket_mut(), Token(number), interest)?;
            self.links[number] = Some(link);
        }
        Ok(())
    }

    fn beat_if_due(&mut self, now: Instant) {
        if now < self.next_heartbeat {
            return;
        }
        self.next_heartbeat = now + HEARTBEAT;
        for link in 0..self.links.len() {
            self.sends.beat(link);
        }
    }

    /// Closes some connections, without a word.
    pub(crate) fn close(&mut self, links: Range<usize>) {
        self.links[links].fill_with(|| None);
    }

    /// Closes all connections, without a word.
    pub(crate) fn close_all(&mut self) {
        self.links.iter_mut().for_each(|link| *link = None);
    }
}

/// How long to sleep until `wake`: the kernel counts in milliseconds and rounds up, so the last one is spent asking.
fn pause(now: Instant, wake: Instant) -> Duration {
    let left = wake.saturating_duration_since(now);
    Duration::from_millis(left.saturating_sub(Duration::from_millis(1)).as_millis() as u64)
}

/// Reads all that is there; how many bytes that was.
fn read(
    link: &mut Link,
    has_ended: bool,
    scratch: &mut [u8],
    mut each: impl FnMut(Piece<'_>) -> Result<(), Fault>,
) -> Result<u64, Fault> {
    let mut received = 0;
    while let Some(len) = link.read(scratch)? {
        received += len as u64;
        link.consume(&mut scratch[..len], &mut each)?;
        // Less than there was room for: that was all, and the next arrival is a new event.
        if len < scratch.len() && !has_ended && !link.reads_until_blocked() {
            break;
        }
    }
    Ok(received)
}

fn receive(
    target: &Target,
    link: usize,
    piece: Piece<'_>,
    workload: &mut impl Workload,
    sends: &mut Sends,
) -> Result<(), Fault> {
    let received = match piece {
        Piece::Upgraded if target.protocol.has_opening() => return Ok(()),
        Piece::Upgraded => Received::Opened,
        Piece::Ping(payload) => {
            sends.pong(link, payload);
            return Ok(());
        }
        Piece::Pong => Received::Alive,
        Piece::Text(text) => {
            let received = target.protocol.read(text, target.purpose);
            received.map_err(|cause| Fault::Unexpected { link, cause })?
        }
    };
    if let Received::Ask { answer } = received {
        sends.text(link, answer);
        return Ok(());
    }
    workload.receive(link, received, sends)
}
