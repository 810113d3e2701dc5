//! Plug's tokens against forged requests.
//!
//! The session holds a token of 24 characters. A page gets it masked with 24 others, so that it
//! looks different each time, and sends it back with each request that matters, which a page of somebody
//! else cannot do.

use base64::Engine as _;
use subtle::ConstantTimeEq as _;

use crate::secret::random_bytes;
use crate::signature::BASE64;

/// The characters of a token in a session, and of a mask.
const TOKEN: usize = 24;

/// The characters of a masked token before its mask: 24 bytes in base64.
const MASKED: usize = 32;

/// A new token, for the session.
///
/// # Panics
///
/// When the system has no random bytes to give.
#[must_use]
#[doc(alias = "dump_state")]
pub fn session_token() -> String {
    BASE64.encode(random_bytes::<18>())
}

/// What a page gets to send back; different each time. `None` when the session's token
/// is none of 24 bytes.
///
/// # Panics
///
/// When the system has no random bytes to give.
#[must_use]
#[doc(alias = "get_csrf_token")]
pub fn mask(session_token: &str) -> Option<String> {
    let token: &[u8; TOKEN] = session_token.as_bytes().try_into().ok()?;
    let mask = self::session_token();
    Some(BASE64.encode(xor(token, mask.as_bytes())) + &mask)
}

/// Whether a page sent back what [`mask`] gave it for this session; compares in constant time.
#[must_use]
#[doc(alias = "valid_state_and_csrf_token?")]
pub fn is_valid(session_token: &str, sent: &str) -> bool {
    let Some((masked, mask)) = sent.as_bytes().split_first_chunk::<MASKED>() else { return false };
    let (Ok(token), Ok(mask)) =
        (<&[u8; TOKEN]>::try_from(session_token.as_bytes()), <&[u8; TOKEN]>::try_from(mask))
    else {
        return false;
    };
    BASE64.decode(masked).is_ok_and(|masked| masked.ct_eq(&xor(token, mask)).into())
}

fn xor(token: &[u8; TOKEN], mask: &[u8]) -> Vec<u8> {
    token.iter().zip(mask).map(|(token, mask)| token ^ mask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_token_is_valid_for_its_session_alone() {
        let session = session_token();
        let (one, two) = (mask(&session).unwrap(), mask(&session).unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), 56);
        assert!(is_valid(&session, &one) && is_valid(&session, &two));
        assert!(!is_valid(&session_token(), &one));
    }

    #[test]
    fn what_is_no_masked_token_is_invalid() {
        let session = session_token();
        let masked = mask(&session).unwrap();
        for wrong in
            ["", "x", &session, &masked[1..], &format!("{masked}="), &"é".repeat(28), &"*".repeat(56)]
        {
            assert!(!is_valid(&session, wrong), "{wrong}");
        }
        assert!(!is_valid(&session[1..], &masked));
        assert_eq!(mask(&session[1..]), None);
    }
}
