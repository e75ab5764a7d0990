//! A stored entry: header (checksum, plan, times, generations) and payload.
//!
//! ```text
//! magic 4 | crc32 4 | plan 8 | origin 8 | cached_at 8 | expires_at 8 | fill time 4 | tokens 2 | recorded 2
//! | token 16 ... | scope 16, token 16 ... | payload
//! ```
//! Numbers are little endian; times are milliseconds since the epoch, `expires_at` 0 means never, and
//! the fill time is in microseconds. The checksum covers everything behind it.

use crate::index::{Recorded, Token};

const MAGIC: &[u8; 4] = b"crE4";
const FIXED: usize = 48;
const TOKEN: usize = size_of::<Token>();
const RECORDED: usize = size_of::<Recorded>();

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
    /// What became known while the function ran.
    pub recorded: &'a [Recorded],
}

/// Writes header and payload as one block of bytes.
#[must_use]
pub fn seal(header: &Header<'_>, payload: &[u8]) -> Vec<u8> {
    let vector = header.tokens.len() * TOKEN + header.recorded.len() * RECORDED;
    let mut out = Vec::with_capacity(FIXED + vector + payload.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&header.plan.to_le_bytes());
    out.extend_from_slice(&header.origin.to_le_bytes());
    out.extend_from_slice(&header.cached_at.to_le_bytes());
    out.extend_from_slice(&header.expires_at.unwrap_or(0).to_le_bytes());
    out.extend_from_slice(&header.fill_us.to_le_bytes());
    for count in [header.tokens.len(), header.recorded.len()] {
        out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes());
    }
    for token in header.tokens {
        out.extend_from_slice(&token.0);
    }
    for Recorded { scope, token } in header.recorded {
        out.extend_from_slice(&scope.0);
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
    let (recorded, payload) = places(bytes)?;
    let header = Header {
        plan: u64_at(8)?,
        origin: u64_at(16)?,
        cached_at: u64_at(24)?.cast_signed(),
        expires_at: Some(u64_at(32)?.cast_signed()).filter(|&at| at != 0),
        fill_us: u32::from_le_bytes(bytes[40..44].try_into().ok()?),
        tokens: Token::slice(bytes.get(FIXED..recorded)?),
        recorded: Recorded::slice(bytes.get(recorded..payload)?),
    };
    Some((header, payload))
}

/// What of an entry became known while the function ran; nothing of what is no entry. Whether the bytes are
/// sound is for [`open`] to say.
#[must_use]
pub fn recorded(bytes: &[u8]) -> &[Recorded] {
    let found = if bytes.starts_with(MAGIC) { places(bytes) } else { None };
    let found = found.and_then(|(from, to)| bytes.get(from..to));
    Recorded::slice(found.unwrap_or_default())
}

/// Where what was recorded begins, and the payload.
fn places(bytes: &[u8]) -> Option<(usize, usize)> {
    let count =
        |at: usize| Some(usize::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)));
    let recorded = FIXED + count(44)? * TOKEN;
    Some((recorded, recorded + count(46)? * RECORDED))
}

#[cfg(test)]
mod tests {
    use super::{Header, open, recorded, seal};
    use crate::index::{Recorded, ScopeId, Token};

    fn sealed() -> Vec<u8> {
        let header = Header {
            plan: 7,
            origin: 8,
            cached_at: 1_700_000_000_000,
            expires_at: None,
            fill_us: 12,
            tokens: &[Token([1; 16]), Token([2; 16])],
            recorded: &[Recorded { scope: ScopeId([3; 16]), token: Token([4; 16]) }],
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
        assert_eq!(read.recorded, [Recorded { scope: ScopeId([3; 16]), token: Token([4; 16]) }]);
        assert_eq!(recorded(&bytes), read.recorded);
        assert_eq!(recorded(b"crE4 no entry"), []);
    }

    /// Processes that run another release read what this one wrote. Whoever changes a byte of it, or what
    /// one means, gives the magic another number: what has the old one is a miss.
    #[test]
    fn bytes_of_an_entry_stay_as_they_are() {
        let mut expected = b"crE4".to_vec();
        expected.extend([240, 69, 100, 19]); // as zlib says
        for number in [7_u64, 8, 1_700_000_000_000, 0] {
            expected.extend(number.to_le_bytes());
        }
        expected.extend([12, 0, 0, 0, 2, 0, 1, 0]);
        expected.extend([[1; 16], [2; 16], [3; 16], [4; 16]].concat());
        expected.extend(b"payload");
        assert_eq!(sealed(), expected);
        expected[3] = b'3';
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
