//! Generations of an in-process cache, kept in this process and bounded.

use super::{ScopeId, Token};
use quick_cache::sync::Cache;

/// Scope to token for one in-process store. About 60 bytes per scope.
///
/// A scope that was evicted has no token, which reads as "changed": room is lost, never
/// correctness.
pub struct ProcessIndex {
    tokens: Cache<ScopeId, Token, quick_cache::UnitWeighter, ahash::RandomState>,
}

impl ProcessIndex {
    /// An index that keeps at most about `capacity` scopes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let tokens = Cache::with(
            capacity,
            capacity as u64,
            quick_cache::UnitWeighter,
            ahash::RandomState::new(),
            quick_cache::sync::DefaultLifecycle::default(),
        );
        Self { tokens }
    }

    /// The current token, if there is one.
    #[must_use]
    pub fn get(&self, scope: &ScopeId) -> Option<Token> {
        self.tokens.get(scope)
    }

    /// The current token, made now if there is none.
    #[must_use]
    pub fn ensure(&self, scope: &ScopeId) -> Token {
        let made: Result<Token, std::convert::Infallible> =
            self.tokens.get_or_insert_with(scope, || Ok(Token::fresh()));
        match made {
            Ok(token) => token,
        }
    }

    /// Makes `token` the current one: every entry that carries another is invalid from here on.
    pub fn set(&self, scope: &ScopeId, token: Token) {
        self.tokens.insert(*scope, token);
    }

    /// Starts a new generation.
    pub fn renew(&self, scope: &ScopeId) {
        self.set(scope, Token::fresh());
    }

    /// Changes the generation of every scope.
    pub fn clear(&self) {
        self.tokens.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::ProcessIndex;
    use crate::index::{ScopeId, Token};

    #[test]
    fn a_generation_stays_until_renewed() {
        let index = ProcessIndex::new(100);
        let scope = ScopeId::of(b"scope");
        assert_eq!(index.get(&scope), None);
        let first = index.ensure(&scope);
        assert_eq!(index.ensure(&scope), first);
        index.renew(&scope);
        let second = index.ensure(&scope);
        assert_ne!(second, first);
        assert_eq!(index.get(&scope), Some(second));
    }

    #[test]
    fn an_evicted_scope_comes_back_changed() {
        let index = ProcessIndex::new(16);
        let scopes: Vec<ScopeId> =
            (0..1000_u32).map(|number| ScopeId::of(&number.to_le_bytes())).collect();
        let before: Vec<Token> = scopes.iter().map(|scope| index.ensure(scope)).collect();
        let evicted: Vec<usize> =
            (0..scopes.len()).filter(|&at| index.get(&scopes[at]).is_none()).collect();
        assert!(evicted.len() > 900);
        for at in evicted {
            assert_ne!(index.ensure(&scopes[at]), before[at]);
        }
    }
}
