//! Checks against what others wrote.

mod websocket_peer;
