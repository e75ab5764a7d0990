//! Since when entries are out of date whose soft scope has changed.
//!
//! A soft change makes entries stale, not void: they are served for a while, from the *first* change on. The
//! scope's token tells of the last one. So whoever changes a soft scope notes before that which token he is
//! going to replace, and when; while that note is of use to anybody it stays, whoever comes next. An entry that
//! carries the noted token has been out of date since then. One that carries another has been for less
//! long than its token is old.

use super::{ScopeId, Token};

/// Which token of a soft scope was replaced, and when (ms since the epoch).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace {
    /// The token.
    pub replaced: Token,
    /// When it was still the current one, just before the change.
    pub at: i64,
}

impl Grace {
    /// Bits of a number that the time takes.
    pub const TIME_BITS: u32 = 64;

    /// Reads what shared backends keep: the token's number, and the time below it.
    #[must_use]
    pub fn from_parts(token: u128, at: u64) -> Self {
        Self { replaced: Token::from_number(token), at: at.cast_signed() }
    }
}

impl ScopeId {
    /// The soft twin of a scope: what changes it makes entries stale.
    #[must_use]
    pub fn soft(&self) -> Self {
        Self::of(&[b"#soft:", &self.0[..]].concat())
    }

    /// The key under which a shared backend keeps this scope's grace.
    #[must_use]
    pub fn grace_key(&self) -> String {
        [&self.key(), ":s"].concat()
    }
}
