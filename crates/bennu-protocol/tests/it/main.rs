//! Checks against what others wrote.

mod agreement;
mod autobahn;
mod websocket_peer;
