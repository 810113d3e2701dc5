//! Signed texts: the session cookie, the page's token for its socket, the token against forged posts.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::clock::Moment;
use crate::secret::hex;

/// Signs and checks short texts with the data folder's secret. Cheap to clone.
#[derive(Clone)]
pub struct Signer {
    mac: Hmac<Sha256>,
}

/// What a signature is good for. One made for another purpose is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The session cookie.
    Session,
    /// The `token` with which a page connects its socket.
    Socket,
    /// The header that a page sends with everything that changes something.
    Csrf,
}

impl Signer {
    /// Signs with this secret.
    pub fn new(secret: &[u8]) -> Self {
        let mac = Hmac::new_from_slice(secret).expect("HMAC takes keys of any length");
        Self { mac }
    }

    /// Signs a text without dots, good for so long.
    pub fn sign(&self, purpose: Purpose, text: &str, now: Moment, good_for: Duration) -> String {
        let body = format!("{text}.{}", (now + good_for).as_millis());
        let signature = hex(&self.mac_of(purpose, &body).finalize().into_bytes());
        format!("{body}.{signature}")
    }

    /// The text that was signed, if the signature is good and not too old.
    pub fn verify<'a>(&self, purpose: Purpose, signed: &'a str, now: Moment) -> Option<&'a str> {
        let (body, signature) = signed.rsplit_once('.')?;
        self.mac_of(purpose, body).verify_slice(&unhex(signature)?).ok()?;
        let (text, until) = body.rsplit_once('.')?;
        let until = Moment::from_millis(until.parse().ok()?);
        (now < until).then_some(text)
    }

    fn mac_of(&self, purpose: Purpose, body: &str) -> Hmac<Sha256> {
        let purpose = match purpose {
            Purpose::Session => "session",
            Purpose::Socket => "socket",
            Purpose::Csrf => "csrf",
        };
        let mut mac = self.mac.clone();
        mac.update(purpose.as_bytes());
        mac.update(b".");
        mac.update(body.as_bytes());
        mac
    }
}

/// What the messages between the nodes of a studio are signed with. It tells nothing of the secret itself.
pub fn cluster_secret(secret: &[u8]) -> String {
    let mut mac = Signer::new(secret).mac;
    mac.update(b"cluster");
    hex(&mac.finalize().into_bytes())
}

/// Shows nothing of the secret.
impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_text_purpose_secret_and_time_are_good() {
        let (signer, now) = (Signer::new(b"secret"), Moment::from_millis(1_000));
        let signed = signer.sign(Purpose::Session, "user", now, Duration::from_secs(1));
        assert_eq!(signer.verify(Purpose::Session, &signed, now), Some("user"));

        let later = now + Duration::from_secs(1);
        assert_eq!(signer.verify(Purpose::Session, &signed, later), None, "too old");
        assert_eq!(signer.verify(Purpose::Socket, &signed, now), None, "another purpose");
        assert_eq!(Signer::new(b"other").verify(Purpose::Session, &signed, now), None, "another secret");
        for forged in ["", ".", "..", &signed.replace("user", "root"), &signed[..signed.len() - 1]] {
            assert_eq!(signer.verify(Purpose::Session, forged, now), None, "{forged}");
        }
    }
}
