//! Scopes and the tokens that name their generations.

use crate::clock;
use crate::key::{Digest, base32};
use crate::world;

/// Names a scope in 128 bits. Two scopes that met would only be invalidated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct ScopeId(pub [u8; 16]);

impl ScopeId {
    /// The scope described by these canonical bytes.
    #[must_use]
    pub fn of(canonical: &[u8]) -> Self {
        let hash = blake3::hash(canonical);
        let mut id = [0; 16];
        id.copy_from_slice(&hash.as_bytes()[..16]);
        Self(id)
    }

    /// The scope of one entry alone.
    #[must_use]
    pub fn own(entry: &Digest) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&entry.0[..16]);
        Self(id)
    }

    /// The scope that takes the place of this one in the current world.
    #[must_use]
    pub fn in_world(self) -> Self {
        Self(world::mixed(self.0))
    }

    /// The key under which a shared backend keeps this scope's token.
    #[must_use]
    pub fn key(&self) -> String {
        ["cr:g:", &base32(&self.0)].concat()
    }
}

/// A generation: 48 bits of time (ms), 79 random bits, and one that says whether its scope is closed.
/// Equality decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Token(pub [u8; 16]);

impl Token {
    /// Whole tokens, one after the other; bytes that make no whole token are left out.
    #[must_use]
    pub fn slice(bytes: &[u8]) -> &[Self] {
        let (tokens, _) = bytes.as_chunks::<16>();
        // SAFETY: a token is a transparent wrapper of the sixteen bytes, which need no alignment.
        unsafe { &*(std::ptr::from_ref(tokens) as *const [Self]) }
    }

    /// A token that was never used before.
    ///
    /// # Panics
    /// When the operating system has no random bytes to give.
    #[must_use]
    pub fn fresh() -> Self {
        let mut token = [0; 16];
        token[..6].copy_from_slice(&clock::now_ms().to_be_bytes()[2..]);
        getrandom::fill(&mut token[6..]).expect("the operating system gives random bytes");
        token[15] &= !1;
        Self(token)
    }

    /// The token of a scope whose change is being committed: no entry carries it, and nobody stores
    /// under it.
    #[must_use]
    pub fn closed() -> Self {
        let mut token = Self::fresh();
        token.0[15] |= 1;
        token
    }

    /// When this token was drawn, in milliseconds since the epoch, by the clock of the host that did.
    #[must_use]
    pub fn drawn_at(&self) -> i64 {
        let mut millis = [0; 8];
        millis[2..].copy_from_slice(&self.0[..6]);
        i64::from_be_bytes(millis)
    }

    /// Whether this is the token of a closed scope.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0[15] & 1 == 1
    }

    /// The token as a number, never zero. Every backend stores integers, most of them without
    /// pickling them.
    #[must_use]
    pub fn number(&self) -> u128 {
        u128::from_be_bytes(self.0)
    }

    /// Reads [`Token::number`] back.
    #[must_use]
    pub fn from_number(number: u128) -> Self {
        Self(number.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn closed_tokens_are_known() {
        assert!((0..100).all(|_| !Token::fresh().is_closed() && Token::closed().is_closed()));
    }

    #[test]
    fn tokens_know_when_they_were_drawn() {
        let before = crate::clock::now_ms();
        let drawn = Token::fresh().drawn_at();
        assert!((before..=crate::clock::now_ms()).contains(&drawn));
    }

    #[test]
    fn numbers_round_trip() {
        let token = Token::fresh();
        assert_ne!(token.number(), 0);
        assert_eq!(Token::from_number(token.number()), token);
    }
}
