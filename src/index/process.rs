//! Generations of an in-process cache, kept in this process and bounded.

use super::grace::is_over;
use super::{Generations, Grace, ScopeId, Token};
use crate::clock;
use ahash::HashMap;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Scope to token for one in-process store. About 60 bytes per scope.
///
/// A scope that was evicted has no token, which reads as "changed": room is lost, never
/// correctness.
pub struct ProcessIndex {
    tokens: Cache<ScopeId, Token, quick_cache::UnitWeighter, ahash::RandomState>,
    /// Who is committing changes of which scopes, and until when he is believed to be alive (ms).
    closings: Mutex<HashMap<ScopeId, Vec<(u64, i64)>>>,
    closed: AtomicUsize,
    /// Of soft scopes.
    graces: Mutex<HashMap<ScopeId, Grace>>,
}

/// So many notes are kept before those that have lapsed go, and then the others.
const GRACES: usize = 10_000;

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
        Self {
            tokens,
            closings: Mutex::default(),
            closed: AtomicUsize::new(0),
            graces: Mutex::default(),
        }
    }

    /// Closes a scope for `writer`: it has no generation, and until the writer opens it, or his time is
    /// over, nobody stores under it. Its next one is drawn after that.
    pub fn close(&self, scope: &ScopeId, writer: u64, until: i64) {
        let mut closings = self.closings.lock();
        let now = clock::now_ms();
        // Those of writers who died go when the next one comes.
        closings.retain(|_, writers| {
            writers.retain(|(_, until)| *until > now);
            !writers.is_empty()
        });
        closings.entry(*scope).or_default().push((writer, until));
        self.closed.store(closings.len(), Ordering::Release);
        drop(closings);
        self.tokens.remove(scope);
    }

    /// Ends a writer's closing of a scope.
    pub fn open(&self, scope: &ScopeId, writer: u64) {
        self.renew(scope);
        let mut closings = self.closings.lock();
        if let Some(writers) = closings.get_mut(scope) {
            writers.retain(|(closer, _)| *closer != writer);
            if writers.is_empty() {
                closings.remove(scope);
            }
        }
        self.closed.store(closings.len(), Ordering::Release);
    }

    fn is_closed(&self, scope: &ScopeId) -> bool {
        if self.closed.load(Ordering::Acquire) == 0 {
            return false;
        }
        let now = clock::now_ms();
        let closings = self.closings.lock();
        closings.get(scope).is_some_and(|writers| writers.iter().any(|(_, until)| *until > now))
    }

    /// The current token, if there is one.
    #[must_use]
    pub fn get(&self, scope: &ScopeId) -> Option<Token> {
        if self.is_closed(scope) { Some(Token::closed()) } else { self.tokens.get(scope) }
    }

    /// The current token, made now if there is none.
    #[must_use]
    pub fn ensure(&self, scope: &ScopeId) -> Token {
        if self.is_closed(scope) {
            return Token::closed();
        }
        let made: Result<Token, std::convert::Infallible> =
            self.tokens.get_or_insert_with(scope, || Ok(Token::fresh()));
        let Ok(token) = made;
        // Closed meanwhile: the token may have been drawn before or after that.
        if self.is_closed(scope) { Token::closed() } else { token }
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

impl Generations for ProcessIndex {
    fn get(&self, scope: &ScopeId) -> Option<Token> {
        self.get(scope)
    }

    fn ensure(&self, scope: &ScopeId) -> Token {
        self.ensure(scope)
    }

    fn renew(&self, scope: &ScopeId) {
        self.renew(scope);
    }

    fn close(&self, scope: &ScopeId, writer: u64, until: i64) {
        self.close(scope, writer, until);
    }

    fn open(&self, scope: &ScopeId, writer: u64) {
        self.open(scope, writer);
    }

    fn clear(&self) {
        self.clear();
    }

    fn note(&self, scope: &ScopeId, window: i64) {
        let now = clock::now_ms(); // before the look: then that token was the current one still
        let Some(replaced) = self.tokens.get(scope) else { return };
        let mut graces = self.graces.lock();
        if graces.get(scope).is_some_and(|grace| !is_over(grace.began(), window, now)) {
            return;
        }
        if graces.len() >= GRACES {
            graces.retain(|_, grace| !is_over(grace.began(), window, now));
            if graces.len() >= GRACES {
                graces.clear();
            }
        }
        graces.insert(*scope, Grace::of(&replaced, now));
    }

    fn replaced_at(&self, scope: &ScopeId, token: &Token) -> Option<i64> {
        self.graces.lock().get(scope)?.began_for(token)
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
    fn a_closed_scope_opens_when_its_last_writer_is_done() {
        let index = ProcessIndex::new(100);
        let scope = ScopeId::of(b"scope");
        let before = index.ensure(&scope);
        let later = crate::clock::now_ms() + 60_000;
        index.close(&scope, 1, later);
        index.close(&scope, 2, later);
        assert!(index.ensure(&scope).is_closed());
        index.open(&scope, 1);
        assert!(index.get(&scope).is_some_and(|token| token.is_closed()));
        index.open(&scope, 2);
        let after = index.ensure(&scope);
        assert!(!after.is_closed() && after != before);
        // A writer who died is waited for as long as he may be alive.
        index.close(&scope, 3, crate::clock::now_ms() - 1);
        assert!(!index.ensure(&scope).is_closed());
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
