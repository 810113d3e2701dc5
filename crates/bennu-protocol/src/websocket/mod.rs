//! WebSocket frames (RFC 6455), without a socket.
//!
//! A [`Decoder`] turns the bytes of a read into [`Item`]s and keeps nothing
//! between two reads unless a frame or a fragmented message is incomplete:
//! an idle connection costs the size of the decoder and no buffer.
//! The functions beside it make frames: [`encode_frame`] for one that many
//! connections share, [`encode_into`] for one that joins others in a buffer,
//! [`encode_masked`] for a client's.
//!
//! ```
//! use bennu_protocol::websocket::{Decoder, Item, Limits, Opcode, Role, encode_masked};
//!
//! let mut decoder = Decoder::new(Role::Server, Limits::default());
//! let mut scratch = encode_masked(Opcode::Text, b"hello", [1, 2, 3, 4]).to_vec();
//!
//! let mut unread = scratch.as_mut_slice();
//! let item = decoder.decode(&mut unread)?;
//! assert_eq!(item, Some(Item::Text("hello".into())));
//! assert!(unread.is_empty() && decoder.is_idle());
//! # Ok::<(), bennu_protocol::websocket::ProtocolViolation>(())
//! ```
//!
//! Nothing here draws random numbers or hashes: a mask key is an argument, and
//! [`handshake`] stops at the text that the caller has to hash.

pub mod close;
mod decoder;
mod deflate;
mod encode;
mod frame;
pub mod handshake;
mod item;
mod limits;
mod mask;
pub mod permessage_deflate;
mod progress;
mod spill;
mod violation;

pub use close::CloseFrame;
pub use decoder::{Decoder, Role};
pub(crate) use deflate::deflate;
pub use encode::{close_frame, encode_compressed, encode_frame, encode_header, encode_into, encode_masked};
pub use frame::{EncodedHeader, Extension, FrameHeader, Opcode};
pub use item::Item;
pub use limits::Limits;
pub use violation::ProtocolViolation;
