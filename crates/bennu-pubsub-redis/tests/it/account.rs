//! What became of every message.

use bennu_pubsub::{Gap, Subscription};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::nodes::PATIENCE;

/// A numbered message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Numbered {
    pub(crate) number: u64,
    pub(crate) ballast: String,
}

impl Numbered {
    pub(crate) fn new(number: u64) -> Self {
        Self { number, ballast: String::new() }
    }
}

/// What one subscriber got.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) numbers: Vec<u64>,
    pub(crate) missed: u64,
}

impl Account {
    /// Receives until as many messages were delivered or counted as missed, and holds that those that came did so in order
    /// and once.
    pub(crate) async fn of(subscription: &mut Subscription, messages: u64) -> Self {
        let mut account = Account::default();
        while (account.numbers.len() as u64) + account.missed < messages {
            let next = timeout(PATIENCE, subscription.recv()).await;
            let next = next.unwrap_or_else(|_| {
                let (delivered, missed) = (account.numbers.len(), account.missed);
                panic!("{delivered} of {messages} were delivered, {missed} were counted as missed");
            });
            match next {
                Ok(delivery) => {
                    if let Some(message) = delivery.get::<Numbered>() {
                        account.numbers.push(message.number);
                    } else if let Some(gap) = delivery.get::<Gap>() {
                        account.missed += gap.missed;
                    }
                }
                Err(lagged) => panic!("{lagged}"),
            }
        }
        assert!(account.numbers.is_sorted_by(|a, b| a < b), "{:?}", account.numbers);
        assert_eq!(account.numbers.len() as u64 + account.missed, messages, "{account:?}");
        account
    }
}
