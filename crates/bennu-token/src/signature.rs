//! Signed messages: three parts in base64url with dots between them.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Sha256, Sha384, Sha512};

/// Base64url as plug_crypto writes it: without padding, though padding is read. Bits that
/// stand for nothing must be zero, so that there is one text only for the same bytes.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `HS256` in base64url.
const HS256: &str = "SFMyNTY";
/// `HS384` in base64url.
const HS384: &str = "SFMzODQ";
/// `HS512` in base64url.
const HS512: &str = "SFM1MTI";

/// Signs with HMAC-SHA256.
pub(crate) fn sign(message: &[u8], key: &[u8]) -> String {
    let mut signed = format!("{HS256}.{}", BASE64.encode(message));
    let signature = hmac_sha256(key).chain_update(&signed).finalize();
    signed.push('.');
    BASE64.encode_string(signature.into_bytes(), &mut signed);
    signed
}

/// The message, if it was signed with this key; compares in constant time.
pub(crate) fn verify(token: &str, key: &[u8]) -> Option<Vec<u8>> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (protected, message) = signed.split_once('.')?;
    let signature = BASE64.decode(signature).ok()?;
    let verified = match protected {
        HS256 => hmac_sha256(key).chain_update(signed).verify_slice(&signature),
        HS384 => hmac_sha384(key).chain_update(signed).verify_slice(&signature),
        HS512 => hmac_sha512(key).chain_update(signed).verify_slice(&signature),
        _ => return None,
    };
    verified.ok()?;
    BASE64.decode(message).ok()
}

fn hmac_sha256(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn hmac_sha384(key: &[u8]) -> Hmac<Sha384> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn hmac_sha512(key: &[u8]) -> Hmac<Sha512> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed_as(protected: &str, signature: impl Fn(&str) -> Vec<u8>) -> String {
        let signed = format!("{protected}.{}", BASE64.encode("hello"));
        format!("{signed}.{}", BASE64.encode(signature(&signed)))
    }

    #[test]
    fn all_three_digests_are_verified() {
        let key = b"some key";
        let hs384 = |text: &str| hmac_sha384(key).chain_update(text).finalize().into_bytes().to_vec();
        let hs512 = |text: &str| hmac_sha512(key).chain_update(text).finalize().into_bytes().to_vec();
        for (token, valid) in [
            (sign(b"hello", key), true),
            (signed_as(HS384, hs384), true),
            (signed_as(HS512, hs512), true),
            (signed_as(HS256, hs512), false),
            (signed_as(HS512, hs384), false),
            (signed_as("bm9uZQ", |_| Vec::new()), false),
        ] {
            assert_eq!(verify(&token, key).is_some(), valid, "{token}");
        }
    }

    #[test]
    fn a_token_has_exactly_three_parts() {
        let token = sign(b"hello", b"key");
        for wrong in
            [format!("{token}."), format!(".{token}"), format!("{token}.aGVsbG8"), token.replace('.', "")]
        {
            assert_eq!(verify(&wrong, b"key"), None, "{wrong}");
        }
        assert_eq!(verify(&token, b"key").as_deref(), Some(&b"hello"[..]));
    }

    #[test]
    fn no_byte_of_a_token_can_be_changed() {
        let token = sign(b"hello", b"key");
        for at in 0..token.len() {
            for byte in [b'A', b'B', b'_', b'.', b'='] {
                let mut changed = token.clone().into_bytes();
                changed[at] = byte;
                let changed = String::from_utf8(changed).unwrap();
                assert_eq!(verify(&changed, b"key").is_some(), changed == token, "{changed}");
            }
        }
    }
}
