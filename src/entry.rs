//! A stored entry: header (checksum, plan, times, generations) and payload.
//!
//! ```text
//! magic 4 | crc32 4 | plan 8 | origin 8 | cached_at 8 | expires_at 8 | fill time 4 | tokens 2 | token 16 ...
//! | payload
//! ```
//! Numbers are little endian; times are milliseconds since the epoch, `expires_at` 0 means never, and
//! the fill time is in microseconds. The checksum covers everything behind it.

use crate::index::Token;

const MAGIC: &[u8; 4] = b"crE3";
const FIXED: usize = 46;
const TOKEN: usize = size_of::<Token>();

/// What is known of an entry beside its value. Reading borrows the generations from the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// Fingerprint of the key plan that wrote it; another plan's entry is a miss.
    pub plan: u64,
    /// Stands for the namespace, function and version that wrote it.
    pub origin: u64,
    /// When the fill finished.
    pub cached_at: i64,
    /// When it stops being valid; `None` is never.
    pub expires_at: Option<i64>,
    /// How long the function ran, in microseconds; what took longer than 71 minutes counts as that.
    pub fill_us: u32,
    /// The generations that were current before the function ran, the entry's own last.
    pub tokens: &'a [Token],
}

/// Writes header and payload as one block of bytes.
#[must_use]
pub fn seal(header: &Header<'_>, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(FIXED + header.tokens.len() * TOKEN + payload.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&header.plan.to_le_bytes());
    out.extend_from_slice(&header.origin.to_le_bytes());
    out.extend_from_slice(&header.cached_at.to_le_bytes());
    out.extend_from_slice(&header.expires_at.unwrap_or(0).to_le_bytes());
    out.extend_from_slice(&header.fill_us.to_le_bytes());
    let count = u16::try_from(header.tokens.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&count.to_le_bytes());
    for token in header.tokens {
        out.extend_from_slice(&token.0);
    }
    out.extend_from_slice(payload);
    let crc = crc32fast::hash(&out[8..]);
    out[4..8].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Reads what [`seal`] wrote: the header and where the payload starts. `None` for anything else.
#[must_use]
pub fn open(bytes: &[u8]) -> Option<(Header<'_>, usize)> {
    if bytes.len() < FIXED || &bytes[..4] != MAGIC {
        return None;
    }
    if crc32fast::hash(&bytes[8..]).to_le_bytes() != bytes[4..8] {
        return None;
    }
    let u64_at = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let count = usize::from(u16::from_le_bytes(bytes[44..46].try_into().ok()?));
    let payload = FIXED + count * TOKEN;
    let header = Header {
        plan: u64_at(8)?,
        origin: u64_at(16)?,
        cached_at: u64_at(24)?.cast_signed(),
        expires_at: Some(u64_at(32)?.cast_signed()).filter(|&at| at != 0),
        fill_us: u32::from_le_bytes(bytes[40..44].try_into().ok()?),
        tokens: Token::slice(bytes.get(FIXED..payload)?),
    };
    Some((header, payload))
}

#[cfg(test)]
mod tests {
    use super::{Header, open, seal};
    use crate::index::Token;

    fn sealed() -> Vec<u8> {
        let header = Header {
            plan: 7,
            origin: 8,
            cached_at: 1_700_000_000_000,
            expires_at: None,
            fill_us: 12,
            tokens: &[Token([1; 16]), Token([2; 16])],
        };
        seal(&header, b"payload")
    }

    #[test]
    fn round_trip() {
        let bytes = sealed();
        let (read, payload) = open(&bytes).unwrap();
        assert_eq!(&bytes[payload..], b"payload");
        assert_eq!((read.plan, read.origin, read.fill_us), (7, 8, 12));
        assert_eq!(read.expires_at, None);
        assert_eq!(read.tokens, [Token([1; 16]), Token([2; 16])]);
    }

    /// Processes that run another release read what this one wrote. Whoever changes a byte of it, or what
    /// one means, gives the magic another number: what has the old one is a miss.
    #[test]
    fn bytes_of_an_entry_stay_as_they_are() {
        let mut expected = b"crE3".to_vec();
        expected.extend([20, 182, 127, 223]); // as zlib says
        for number in [7_u64, 8, 1_700_000_000_000, 0] {
            expected.extend(number.to_le_bytes());
        }
        expected.extend([12, 0, 0, 0, 2, 0]);
        expected.extend([[1; 16], [2; 16]].concat());
        expected.extend(b"payload");
        assert_eq!(sealed(), expected);
        expected[3] = b'2';
        assert!(open(&expected).is_none());
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let bytes = sealed();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                assert!(open(&bad).is_none(), "byte {at}, bit {bit}");
            }
        }
        for length in 0..bytes.len() {
            assert!(open(&bytes[..length]).is_none(), "cut at {length}");
        }
    }
}
