//! Text frames alone.

use super::{Purpose, Received};

pub(super) fn path(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Echo => "/echo",
        Purpose::Fanout => "/fanout",
        Purpose::Mixed => "/mixed",
    }
}

pub(super) fn echo(out: &mut Vec<u8>, purpose: Purpose, payload: impl FnOnce(&mut Vec<u8>)) {
    if purpose == Purpose::Mixed {
        out.push(b'e');
    }
    payload(out);
}

pub(super) fn shout(out: &mut Vec<u8>, purpose: Purpose, payload: impl FnOnce(&mut Vec<u8>)) {
    if purpose == Purpose::Mixed {
        out.push(b's');
    }
    payload(out);
}

pub(super) fn read(text: &[u8], purpose: Purpose) -> Option<Received<'_>> {
    match (purpose, text) {
        (Purpose::Echo, payload) | (Purpose::Mixed, [b'e', payload @ ..]) => {
            Some(Received::Echo { reference: None, payload })
        }
        (Purpose::Fanout, payload) | (Purpose::Mixed, [b's', payload @ ..]) => {
            Some(Received::Shout { topic: None, payload })
        }
        (Purpose::Mixed, _) => None,
    }
}
