//! What someone hostile tries, by the numbers of the team's list of attack cases.

mod credentials;
mod frames;
mod handshake;
mod longpoll;
mod protocol;
