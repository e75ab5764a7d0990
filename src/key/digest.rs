//! The identity of a call: BLAKE3 over its canonical bytes.

use data_encoding::{Encoding, Specification};
use std::sync::LazyLock;

/// Bytes of a digest: 160 bits.
pub const DIGEST_BYTES: usize = 20;

/// RFC 4648 base32 in lower case, without padding.
static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    spec.encoding().expect("a valid alphabet")
});

/// 160 bits of BLAKE3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; DIGEST_BYTES]);

impl Digest {
    /// Hashes canonical bytes.
    #[must_use]
    pub fn of(canonical: &[u8]) -> Self {
        let hash = blake3::hash(canonical);
        let mut out = [0; DIGEST_BYTES];
        out.copy_from_slice(&hash.as_bytes()[..DIGEST_BYTES]);
        Self(out)
    }

    /// 32 characters of base32.
    #[must_use]
    pub fn text(&self) -> String {
        base32(&self.0)
    }
}

/// Lower-case base32 without padding.
#[must_use]
pub fn base32(bytes: &[u8]) -> String {
    BASE32.encode(bytes)
}
