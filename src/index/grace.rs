//! Since when an entry is stale that a soft change has invalidated.
//!
//! The scopes that soft rules change are twins of the others: an entry whose other generations are all current
//! is not void when that of a twin has changed, but stale since then. When that was nobody can tell from the
//! two generations, but for one thing: not before the one that the entry carries was drawn. So who makes
//! a soft change writes down, **before** he makes it, which token he is about to replace, and when that was.
//! Both are bounds from below, so that what is missing, forgotten or another's only makes the time shorter
//! for which the entry is served.
//!
//! While such a record is of use, that is, for the longest window of the function, further changes leave it
//! alone: entries that carry the token which the first of them has replaced are stale since that one.

use super::{ScopeId, Token};
use crate::clock::SKEW_MS;
use crate::key::base32;

/// Mixed into a scope's id.
const TWIN: [u8; 16] = *b"#cache_result~\x9e\x37";

impl ScopeId {
    /// The same entries, for soft changes.
    #[must_use]
    pub fn soft(mut self) -> Self {
        self.0.iter_mut().zip(TWIN).for_each(|(byte, twin)| *byte ^= twin);
        self
    }

    /// The key under which a shared backend keeps this scope's [`Grace`].
    #[must_use]
    pub fn grace_key(&self) -> String {
        ["cr:s:", &base32(&self.0)].concat()
    }
}

/// That a soft change was about to replace a token, and when: 48 bits of time (ms), and the token's last 80.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace([u8; 16]);

impl Grace {
    /// `token` is going to be replaced; it was current at `now` (ms since the epoch).
    #[must_use]
    pub fn of(token: &Token, now: i64) -> Self {
        let mut grace = token.0;
        grace[..6].copy_from_slice(&now.to_be_bytes()[2..]);
        Self(grace)
    }

    /// The record that takes the place of `known`, if `token` is about to be replaced and was current at `now`.
    /// `None`: it stays as it is.
    #[must_use]
    pub fn next(token: Option<Token>, known: Option<Self>, window: i64, now: i64) -> Option<Self> {
        let is_of_use = known.is_some_and(|known| !is_over(known.began(), window, now));
        token.filter(|token| !token.is_closed() && !is_of_use).map(|token| Self::of(&token, now))
    }

    /// When the change began (ms since the epoch).
    #[must_use]
    pub fn began(&self) -> i64 {
        Token(self.0).drawn_at()
    }

    /// The same, if it was this token that it replaced.
    #[must_use]
    pub fn began_for(&self, token: &Token) -> Option<i64> {
        (self.0[6..] == token.0[6..]).then(|| self.began())
    }

    /// The record as a number, as every backend stores it.
    #[must_use]
    pub fn number(&self) -> u128 {
        Token(self.0).number()
    }

    /// Reads [`Grace::number`] back.
    #[must_use]
    pub fn from_number(number: u128) -> Self {
        Self(Token::from_number(number).0)
    }
}

/// Whether a record of a change that began then is of no use at `now`; all in milliseconds.
#[must_use]
pub fn is_over(began: i64, window: i64, now: i64) -> bool {
    // One of the future is what a clock has left that was set back.
    !(began.saturating_sub(SKEW_MS)..began.saturating_add(window)).contains(&now)
}

#[cfg(test)]
mod tests {
    use super::{Grace, is_over};
    use crate::clock::SKEW_MS;
    use crate::index::{ScopeId, Token};

    #[test]
    fn twins_are_scopes_of_their_own() {
        let (one, other) = (ScopeId::of(b"one"), ScopeId::of(b"other"));
        assert_ne!(one.soft(), one);
        assert_ne!(one.soft().0[..4], one.0[..4], "another slot of a table");
        assert_ne!(one.soft(), other.soft());
    }

    #[test]
    fn a_record_is_of_one_token() {
        let token = Token::fresh();
        let grace = Grace::from_number(Grace::of(&token, 1_700_000_000_000).number());
        assert_eq!(grace.began_for(&token), Some(1_700_000_000_000));
        assert_eq!(grace.began_for(&Token::fresh()), None);
    }

    #[test]
    fn the_first_of_several_changes_counts_while_its_record_is_of_use() {
        let (first, second) = (Token::fresh(), Token::fresh());
        let record = Grace::next(Some(first), None, 100, 1000).unwrap();
        assert_eq!(record.began_for(&first), Some(1000));
        assert_eq!(Grace::next(Some(second), Some(record), 100, 1099), None);
        let next = Grace::next(Some(second), Some(record), 100, 1100).unwrap();
        assert_eq!(next.began_for(&second), Some(1100));
        assert!(is_over(record.began(), 100, 1000 - SKEW_MS - 1));
        assert_eq!(Grace::next(None, None, 100, 1000), None);
        assert_eq!(Grace::next(Some(Token::closed()), None, 100, 1000), None);
    }
}
