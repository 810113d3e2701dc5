//! The state that a terminal was in, for whoever uses it next.

/// Puts the terminal back when it is dropped: a signal may end the program while the editor has changed it.
#[cfg(unix)]
pub(super) struct Terminal(Option<rustix::termios::Termios>);

#[cfg(unix)]
impl Terminal {
    pub(super) fn remember() -> Self {
        Terminal(rustix::termios::tcgetattr(std::io::stdin()).ok())
    }
}

#[cfg(unix)]
impl Drop for Terminal {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        if let Some(state) = self.0.take() {
            // If the terminal is gone, nobody minds.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &state);
        }
    }
}

/// Elsewhere the editor has to see to it.
#[cfg(not(unix))]
pub(super) struct Terminal;

#[cfg(not(unix))]
impl Terminal {
    pub(super) fn remember() -> Self {
        Terminal
    }
}
