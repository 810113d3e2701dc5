//! Encrypted messages, as plug_crypto writes them, and the form that its version 1 wrote.

use aes_gcm::aes::{Aes128, Aes192, Aes256};
use aes_gcm::{AesGcm, KeyInit};
use base64::Engine as _;
use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::array::typenum::U12;
use chacha20poly1305::aead::{Aead, Payload};

use crate::secret::random_bytes;
use crate::signature::BASE64;

/// What stands before a message encrypted with XChaCha20-Poly1305.
const XCHACHA: &str = "XCP.";

/// `A128GCM` in base64url: before a message that version 1 encrypted.
const LEGACY: &str = "QTEyOEdDTQ.";

/// What is authenticated with every message; a relic of the legacy form.
const AAD: &[u8] = b"A128GCM";

const IV: usize = 24;
const TAG: usize = 16;

/// The key must have 32 bytes; `None` otherwise.
pub(crate) fn encrypt(message: &[u8], key: &[u8]) -> Option<String> {
    encrypt_with_iv(message, key, random_bytes())
}

fn encrypt_with_iv(message: &[u8], key: &[u8], iv: [u8; IV]) -> Option<String> {
    let cipher = XChaCha20Poly1305::new_from_slice(key).ok()?;
    let payload = Payload { msg: message, aad: AAD };
    let encrypted = cipher.encrypt(&iv.into(), payload).ok()?;
    // The library puts the tag last, plug_crypto before the text.
    let (text, tag) = encrypted.split_at(encrypted.len() - TAG);
    let mut token = XCHACHA.to_owned();
    BASE64.encode_string([&iv, tag, text].concat(), &mut token);
    Some(token)
}

/// The message; `None` when anything about it is wrong. Only the legacy form asks for the sign secret.
pub(crate) fn decrypt(token: &str, key: &[u8], sign_secret: &[u8]) -> Option<Vec<u8>> {
    if let Some(encrypted) = token.strip_prefix(XCHACHA) {
        return decrypt_xchacha(&BASE64.decode(encrypted).ok()?, key);
    }
    decrypt_legacy(token.strip_prefix(LEGACY)?, key, sign_secret)
}

fn decrypt_xchacha(bytes: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let (iv, rest) = bytes.split_first_chunk::<IV>()?;
    let (tag, text) = rest.split_at_checked(TAG)?;
    let cipher = XChaCha20Poly1305::new_from_slice(key).ok()?;
    cipher.decrypt(&(*iv).into(), Payload { msg: &[text, tag].concat(), aad: AAD }).ok()
}

/// A content key, wrapped with the derived one, then the message under the content key.
fn decrypt_legacy(parts: &str, key: &[u8], sign_secret: &[u8]) -> Option<Vec<u8>> {
    let parts: Vec<Vec<u8>> = parts.split('.').map(|part| BASE64.decode(part).ok()).collect::<Option<_>>()?;
    let [wrapped, iv, text, tag] = &parts[..] else { return None };
    let (wrapped, wrapped_iv) = wrapped.split_at_checked(wrapped.len().checked_sub(12)?)?;
    if tag.len() != TAG || ![16, 24, 32].contains(&wrapped.len().checked_sub(TAG)?) {
        return None;
    }
    let content_key = aes_gcm(key, wrapped_iv, wrapped, sign_secret)?;
    aes_gcm(&content_key, iv, &[&text[..], tag].concat(), AAD)
}

/// The length of the key chooses the cipher.
fn aes_gcm(key: &[u8], iv: &[u8], encrypted: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
    let iv: [u8; 12] = iv.try_into().ok()?;
    let payload = Payload { msg: encrypted, aad };
    match key.len() {
        16 => AesGcm::<Aes128, U12>::new_from_slice(key).ok()?.decrypt(&iv.into(), payload).ok(),
        24 => AesGcm::<Aes192, U12>::new_from_slice(key).ok()?.decrypt(&iv.into(), payload).ok(),
        32 => AesGcm::<Aes256, U12>::new_from_slice(key).ok()?.decrypt(&iv.into(), payload).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeyOptions, KeyRing};
    use crate::secret::SecretKeyBase;

    #[test]
    fn with_the_same_iv_the_token_is_that_of_the_specification() {
        let secret = SecretKeyBase::new("abcdefgh".repeat(8)).unwrap();
        let key = KeyRing::new(secret).key("user auth", &KeyOptions::new());
        let message = [0x83, 0x68, 0x03, 0x61, 0x01, 0x61, 0x00, 0x62, 0x00, 0x01, 0x51, 0x80];
        let iv = std::array::from_fn(|at| at as u8);
        let token = "XCP.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXODTEd7QnTlTPFGt2Zo8WJSy7jkbLWhPeI6aLcQ";
        assert_eq!(encrypt_with_iv(&message, &key, iv).unwrap(), token);
    }

    #[test]
    fn with_the_same_iv_the_tokens_are_those_that_phoenix_made() {
        let mut checked = 0;
        for line in include_str!("../tests/fixtures/tokens.jsonl").lines() {
            let call: serde_json::Value = serde_json::from_str(line).unwrap();
            let (Some("encrypt"), Some(token)) = (call["op"].as_str(), call["output"].as_str()) else {
                continue;
            };
            let secret = SecretKeyBase::new(call["secret"].as_str().unwrap()).unwrap();
            let key = KeyRing::new(secret).key(call["salt"].as_str().unwrap(), &KeyOptions::new());
            let iv = BASE64.decode(&token[4..]).unwrap()[..IV].try_into().unwrap();
            let message = decrypt(token, &key, b"").unwrap();
            assert_eq!(encrypt_with_iv(&message, &key, iv).as_deref(), Some(token));
            checked += 1;
        }
        assert_eq!(checked, 3);
    }

    #[test]
    fn no_iv_is_used_twice() {
        assert_ne!(encrypt(b"message", &[7; 32]), encrypt(b"message", &[7; 32]));
    }
}
