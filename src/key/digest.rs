//! The identity of a call: BLAKE3 over its canonical bytes.

use blake3::platform::{self, Platform};
use data_encoding::{Encoding, Specification};
use std::sync::LazyLock;

/// Bytes of a digest: 160 bits.
pub const DIGEST_BYTES: usize = 20;
/// What BLAKE3 compresses at a time.
const BLOCK_BYTES: usize = 64;
const CHUNK_START: u8 = 1;
const CHUNK_END: u8 = 2;
const ROOT: u8 = 8;
const KEYED_HASH: u8 = 16;
/// Characters of its text.
const TEXT_CHARS: usize = 32;

/// RFC 4648 base32 in lower case, without padding.
const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyz234567";

static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str(ALPHABET);
    spec.encoding().expect("a valid alphabet")
});

/// 160 bits of BLAKE3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; DIGEST_BYTES]);

impl Digest {
    /// Hashes the canonical bytes of a call of the function with this identity, which is BLAKE3's
    /// key: functions share no digests, and short calls take one compression.
    #[must_use]
    pub fn of(identity: &[u8; 32], canonical: &[u8]) -> Self {
        let hash = match canonical.len() {
            ..=BLOCK_BYTES => hash_block(identity, canonical),
            _ => *blake3::keyed_hash(identity, canonical).as_bytes(),
        };
        let mut out = [0; DIGEST_BYTES];
        out.copy_from_slice(&hash[..DIGEST_BYTES]);
        Self(out)
    }

    /// 32 characters of base32.
    #[must_use]
    pub fn text(&self) -> String {
        base32(&self.0)
    }

    /// Appends [`Digest::text`]: 160 bits are exactly 32 characters, so there is no rest to care for.
    pub fn push_text(&self, to: &mut String) {
        let mut text = [0; TEXT_CHARS];
        let mut padded = [0; DIGEST_BYTES + 3];
        padded[3..].copy_from_slice(&self.0);
        for (group, eight) in text.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            // Five bytes, behind three that are not looked at.
            let bits =
                padded[5 * group..].first_chunk().map_or(0, |bits| u64::from_be_bytes(*bits));
            *eight = eight_characters(bits).to_be_bytes();
        }
        // SAFETY: every byte is a letter or digit of ASCII.
        to.push_str(unsafe { str::from_utf8_unchecked(&text) });
    }
}

/// `blake3::keyed_hash` of one block: the compression alone, without the copies that hashing in parts needs.
fn hash_block(key: &[u8; 32], bytes: &[u8]) -> [u8; 32] {
    // Of the only chunk the first block and the last, and the root of the tree (the BLAKE3 paper, 2.2).
    const FLAGS: u8 = CHUNK_START | CHUNK_END | ROOT | KEYED_HASH;
    let mut block = [0; BLOCK_BYTES];
    block[..bytes.len()].copy_from_slice(bytes);
    let mut chaining = platform::words_from_le_bytes_32(key);
    #[allow(clippy::cast_possible_truncation)] // 64 at most
    let length = bytes.len() as u8;
    Platform::detect().compress_in_place(&mut chaining, &block, length, 0, FLAGS);
    platform::le_bytes_from_words_32(&chaining)
}

/// The characters of the last 40 bits, eight at a time: the bits are spread out, five to a byte, and
/// each byte becomes `a` to `z` or `2` to `7`.
fn eight_characters(bits: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let twenties = (bits >> 20 & 0xf_ffff) << 32 | (bits & 0xf_ffff);
    let tens = (twenties & 0x000f_fc00_000f_fc00) << 6 | (twenties & 0x0000_03ff_0000_03ff);
    let fives = (tens & 0x03e0_03e0_03e0_03e0) << 3 | (tens & 0x001f_001f_001f_001f);
    let digits = (fives + ONES * (0x80 - 26)) >> 7 & ONES;
    fives + ONES * u64::from(b'a') - digits * u64::from(b'a' + 26 - b'2')
}

/// Lower-case base32 without padding.
#[must_use]
pub fn base32(bytes: &[u8]) -> String {
    BASE32.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::{DIGEST_BYTES, Digest};

    #[test]
    fn appended_text_is_base32() {
        for call in 0..1000_u32 {
            let digest = Digest::of(&[7; 32], &call.to_le_bytes());
            let mut text = String::from("key:");
            digest.push_text(&mut text);
            assert_eq!(text, format!("key:{}", digest.text()));
        }
    }

    #[test]
    fn one_block_is_hashed_like_more() {
        let bytes: Vec<u8> = (0..=200).collect();
        for length in 0..bytes.len() {
            let hash = blake3::keyed_hash(&[7; 32], &bytes[..length]);
            let digest = Digest::of(&[7; 32], &bytes[..length]);
            assert_eq!(digest.0, hash.as_bytes()[..DIGEST_BYTES]);
        }
    }

    #[test]
    fn functions_share_no_digests() {
        assert_ne!(Digest::of(&[1; 32], b"call"), Digest::of(&[2; 32], b"call"));
    }
}
