//! Masking (RFC 6455, 5.3).

use bytes::BufMut;

/// How much is masked on the stack before it goes into the output.
const BLOCK_LEN: usize = 1024;

/// Masks or unmasks `bytes`, the first of which stands at `offset` in its payload.
pub(super) fn apply(bytes: &mut [u8], mut key: [u8; 4], offset: usize) {
    key.rotate_left(offset % 4);
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    // Eight bytes at a time, in a form that the compiler makes wider still.
    let (words, rest) = bytes.as_chunks_mut();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// Appends `payload` to `out`, masked.
pub(super) fn put_masked(out: &mut impl BufMut, payload: &[u8], key: [u8; 4]) {
    // The length of a block is a multiple of four, so each begins with the key.
    let mut block = [0; BLOCK_LEN];
    for plain in payload.chunks(BLOCK_LEN) {
        let masked = &mut block[..plain.len()];
        masked.copy_from_slice(plain);
        apply(masked, key, 0);
        out.put_slice(masked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn bytewise(payload: &[u8], offset: usize) -> Vec<u8> {
        let masked = payload.iter().enumerate();
        masked.map(|(i, b)| b ^ KEY[(offset + i) % 4]).collect()
    }

    #[test]
    fn words_mask_like_single_bytes() {
        let payload: Vec<u8> = (0..100).collect();
        for len in 0..payload.len() {
            for offset in [0, 1, 2, 3, 4, 7, 1_000_001] {
                let mut masked = payload[..len].to_vec();
                apply(&mut masked, KEY, offset);
                let expected = bytewise(&payload[..len], offset);
                assert_eq!(masked, expected, "{len} at {offset}");
            }
        }
    }

    #[test]
    fn blocks_join_without_a_seam() {
        let payload: Vec<u8> = (0..=255).cycle().take(3 * BLOCK_LEN + 5).collect();
        let mut out = Vec::new();
        put_masked(&mut out, &payload, KEY);
        assert_eq!(out, bytewise(&payload, 0));
    }
}
