//! The ways in which a peer can break the framing rules.

use thiserror::Error;

use super::close;

/// What the peer did against RFC 6455 or against our limits.
///
/// The connection cannot go on: send a close frame with
/// [`close_code`](Self::close_code) and end it.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProtocolViolation {
    /// A reserved bit is set where no extension gave it a meaning.
    #[error("a reserved bit is set")]
    ReservedBits,
    /// The opcode is one of those kept for later versions.
    #[error("unknown opcode {opcode:#x}")]
    UnknownOpcode {
        /// The four bits that came.
        opcode: u8,
    },
    /// A client sent a frame without a mask.
    #[error("a frame from the client is not masked")]
    Unmasked,
    /// A server sent a frame with a mask.
    #[error("a frame from the server is masked")]
    Masked,
    /// A continuation came though no message is open.
    #[error("a continuation without a message to continue")]
    UnexpectedContinuation,
    /// A new message began before the open one was finished.
    #[error("a new message inside a fragmented one")]
    InterruptedMessage,
    /// A close, ping or pong came in fragments.
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// A close, ping or pong carries more than 125 bytes.
    #[error("a control frame is longer than 125 bytes")]
    ControlTooLong,
    /// The highest bit of a 64-bit length is set.
    #[error("a frame length has its highest bit set")]
    LengthOverflow,
    /// A length takes more bytes than it needs.
    #[error("a frame length is not in its shortest form")]
    LengthNotMinimal,
    /// A close frame has a body of one byte, too short for a code.
    #[error("a close frame with half a code")]
    CloseBody,
    /// A close frame carries a code that may not be sent.
    #[error("close code {code} may not be sent")]
    CloseCode {
        /// The code that came.
        code: u16,
    },
    /// The reason in a close frame is not UTF-8.
    #[error("a close reason is not utf-8")]
    CloseReason,
    /// A text message is not UTF-8.
    #[error("a text message is not utf-8")]
    InvalidUtf8,
    /// A compressed message cannot be inflated.
    #[error("a compressed message cannot be inflated")]
    InvalidDeflate,
    /// A frame announced more than [`Limits::max_frame_size`](super::Limits::max_frame_size).
    #[error("a frame is larger than the limit")]
    FrameTooLarge,
    /// Fragments announced more than [`Limits::max_message_size`](super::Limits::max_message_size).
    #[error("a fragmented message is larger than the limit")]
    MessageTooLarge,
    /// A compressed message stands for more than the decoder inflates.
    #[error("a compressed message is larger than the limit")]
    InflatedTooLarge,
}

impl ProtocolViolation {
    /// The code for the close frame that answers this violation.
    ///
    /// A close reason that is not UTF-8 gets 1002 and not 1007: so does Bandit,
    /// and the fault lies in a control frame rather than in a message.
    pub const fn close_code(self) -> u16 {
        match self {
            Self::InvalidUtf8 | Self::InvalidDeflate => close::INVALID_PAYLOAD,
            Self::FrameTooLarge | Self::MessageTooLarge | Self::InflatedTooLarge | Self::LengthOverflow => {
                close::TOO_LARGE
            }
            Self::ReservedBits
            | Self::UnknownOpcode { .. }
            | Self::Unmasked
            | Self::Masked
            | Self::UnexpectedContinuation
            | Self::InterruptedMessage
            | Self::FragmentedControl
            | Self::ControlTooLong
            | Self::LengthNotMinimal
            | Self::CloseBody
            | Self::CloseCode { .. }
            | Self::CloseReason => close::PROTOCOL_ERROR,
        }
    }
}
