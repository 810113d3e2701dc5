//! What an assertion waits for, and what it says when that does not come.

use std::fmt;
use std::time::Duration;

use bennu_protocol::Payload;
use bennu_pubsub::SubscriberId;
use thiserror::Error;

use crate::arrivals::{Arrival, Arrivals, Verdict};
use crate::pattern::Pattern;
use crate::received::Received;

/// Something that should, or should not, arrive.
pub(crate) struct Expectation<'a> {
    pub(crate) expected: Expected<'a>,
    pub(crate) topic: &'a str,
    pub(crate) pattern: Pattern,
}

pub(crate) enum Expected<'a> {
    Push { join_ref: u64, event: &'a str },
    Reply { reference: u64, status: Option<&'a str> },
    Broadcast { subscription: SubscriberId, event: &'a str },
}

/// An assertion that did not hold; its text is the failure message.
#[derive(Clone, Error)]
#[error("{0}")]
pub struct Unmet(String);

impl Unmet {
    pub(crate) fn new(what: impl fmt::Display, list: &str) -> Self {
        Unmet(format!("{what}\n{list}"))
    }
}

impl fmt::Debug for Unmet {
    /// As it stands, so that `?` in a test shows the lines as lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Expectation<'_> {
    pub(crate) async fn holds(&self, arrivals: &Arrivals, patience: Duration) -> Result<Received, Unmet> {
        let taken = arrivals.take(patience, |arrival| self.judge(arrival)).await;
        taken.ok_or_else(|| {
            let list = arrivals.list(|arrival| self.judge(arrival));
            Unmet::new(format_args!("expected a {self} within {patience:?}"), &list)
        })
    }

    pub(crate) async fn does_not_hold(&self, arrivals: &Arrivals, patience: Duration) -> Result<(), Unmet> {
        match arrivals.take(patience, |arrival| self.judge(arrival)).await {
            None => Ok(()),
            Some(received) => {
                let list = arrivals.list(|_| Verdict::<()>::Other);
                Err(Unmet::new(format_args!("expected no {self}, but it came: {received}"), &list))
            }
        }
    }

    fn judge(&self, arrival: &Arrival) -> Verdict<Received> {
        let Some((status, payload)) = self.expected.payload_of(arrival, self.topic) else {
            return Verdict::Other;
        };
        if let Some((came, expected)) = status.filter(|(came, expected)| came != expected) {
            return Verdict::Differs(format!("the status is {came}, not {expected}"));
        }
        match self.pattern.check(payload) {
            Ok(()) => Verdict::Match(Received::new(payload.clone())),
            Err(why) => Verdict::Differs(why),
        }
    }
}

impl Expected<'_> {
    /// The payload of an arrival of this kind, and the statuses to compare: the one that came and the expected one.
    fn payload_of<'a>(
        &'a self,
        arrival: &'a Arrival,
        topic: &str,
    ) -> Option<(Option<(&'a str, &'a str)>, &'a Payload)> {
        match (self, arrival) {
            (Expected::Push { join_ref, event }, arrival @ Arrival::Push { .. }) => {
                let (came, payload) = arrival.as_push(topic, *join_ref)?;
                (came == *event).then_some((None, payload))
            }
            (
                Expected::Reply { reference, status },
                Arrival::Reply { reference: of, status: came, response, .. },
            ) => {
                let statuses = status.map(|status| (&**came, status));
                (*of == reference.to_string()).then_some((statuses, response))
            }
            (
                Expected::Broadcast { subscription, event },
                Arrival::Broadcast { subscription: on, event: came, payload, .. },
            ) => (on == subscription && came == event).then_some((None, payload)),
            (Expected::Push { .. } | Expected::Reply { .. } | Expected::Broadcast { .. }, _) => None,
        }
    }
}

impl fmt::Display for Expectation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.expected {
            Expected::Push { event, .. } => write!(f, "push {event:?}")?,
            Expected::Broadcast { event, .. } => write!(f, "broadcast {event:?}")?,
            Expected::Reply { reference, status: Some(status) } => {
                write!(f, "reply {status:?} to ref {reference}")?
            }
            Expected::Reply { reference, status: None } => write!(f, "reply to ref {reference}")?,
        }
        write!(f, " on {:?} with {}", self.topic, self.pattern)
    }
}
