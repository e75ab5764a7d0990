//! What a call is about, and when an entry is valid for it.

use super::{Sharing, Times, Windows};
use crate::clock::{self, SKEW_MS};
use crate::entry::{self, Header};
use crate::flight::Crew;
use crate::index::{Generations, ScopeId, Token};
use crate::key::{Digest, base32};
use crate::port::Snapshot;
use std::sync::Arc;
use std::time::Duration;

/// What a call is about, and the rules it is made under.
#[derive(Clone)]
pub struct Target {
    /// The entry's identity.
    pub key: Digest,
    /// Fingerprint of the key plan.
    pub plan: u64,
    /// Stands for namespace, function and version.
    pub origin: u64,
    /// Its scopes, without its own.
    pub scopes: Vec<ScopeId>,
    /// Where the tokens of an in-process cache are; `None` for shared backends.
    pub index: Option<Arc<dyn Generations>>,
    /// Among whom a fill is shared.
    pub sharing: Sharing,
    /// What runs this call.
    pub crew: Crew,
    /// Longest wait for somebody else's fill.
    pub flight_timeout: Duration,
    /// How many of the scopes, at the end, are soft: changed, they make entries stale and not void.
    pub soft: usize,
    /// How long a lease lasts.
    pub lease_timeout: Duration,
    /// Whether the function is known to add tags while it runs.
    pub adds_tags: bool,
    /// Sequence number from before the first read.
    pub started: u64,
    /// What happens around the end of an entry's freshness.
    pub windows: Windows,
}

impl Target {
    /// The tokens that are current as of `snapshot`, the own one last.
    pub(super) fn tokens<E>(&self, snapshot: &Snapshot<E>) -> Vec<Option<Token>> {
        match &self.index {
            None => snapshot.tokens.clone(),
            Some(index) => {
                let own = ScopeId::own(&self.key);
                self.scopes.iter().chain([&own]).map(|scope| index.get(scope)).collect()
            }
        }
    }

    /// [`Target::check`] of an entry whose time is not over, other than the one that was stored at `but`.
    pub(super) fn fresh<E: AsRef<[u8]>>(
        &self,
        snapshot: &Snapshot<E>,
        but: Option<i64>,
    ) -> Option<(Times, usize)> {
        let now = clock::now_ms();
        self.check(snapshot).filter(|(times, _)| {
            times.expires_at.is_none_or(|end| now < end) && but != Some(times.cached_at)
        })
    }

    /// The times of the snapshot's entry, which may be over, and where its payload starts, if nothing has
    /// invalidated it.
    pub(super) fn check<E: AsRef<[u8]>>(&self, snapshot: &Snapshot<E>) -> Option<(Times, usize)> {
        let Some(index) = &self.index else { return valid_with(snapshot, self.plan) };
        let entry = snapshot.entry.as_ref()?.as_ref();
        valid_in(&**index, entry, self.plan, &self.key, (&self.scopes, self.soft))
    }

    /// The lease of this key under these generations: who has seen newer ones contends for another.
    pub(super) fn lease_key(&self, tokens: &[Option<Token>]) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.key.0);
        for token in tokens[..self.scopes.len()].iter().flatten() {
            hasher.update(&token.0);
        }
        format!("cr:l:{}", base32(&hasher.finalize().as_bytes()[..16]))
    }

    pub(super) fn is_shared_complete(&self, tokens: &[Option<Token>]) -> bool {
        tokens[..self.scopes.len()].iter().all(Option::is_some)
    }
}

/// How an entry's generations are looked at. Scopes come in order, the own one last.
struct Look<'a> {
    plan: u64,
    /// How many scopes there are but for the own one, and how many of these, at the end, are soft.
    scopes: usize,
    soft: usize,
    /// The current token of a scope.
    current: &'a dyn Fn(usize) -> Option<Token>,
    /// When this token of a soft scope was replaced, if that was noted.
    replaced_at: &'a dyn Fn(usize, &Token) -> Option<i64>,
}

impl Look<'_> {
    /// An entry's times and where its payload starts, if it is valid: this plan's, and every generation that it
    /// carries still current, but for soft ones. Its time may be over, which it is from the moment on at which
    /// the first of its soft generations was replaced, or some time before that.
    fn at(&self, entry: &[u8]) -> Option<(Times, usize)> {
        let (header, payload) = entry::open(entry)?;
        if header.plan != self.plan || header.tokens.len() != self.scopes + 1 {
            return None;
        }
        let (mut end, now) = (header.expires_at, clock::now_ms());
        for (at, token) in header.tokens.iter().enumerate() {
            if (self.current)(at) == Some(*token) {
                continue;
            }
            if at < self.scopes - self.soft || at == self.scopes {
                return None;
            }
            // It was drawn before what was stored under it, or else a clock was set back in between; and a time
            // of the future tells nothing.
            let latest = header.cached_at.saturating_add(SKEW_MS);
            let drawn_at = Some(token.drawn_at()).filter(|&drawn_at| drawn_at <= latest);
            let told = [drawn_at, (self.replaced_at)(at, token)].into_iter().flatten();
            let since = told.filter(|&at| at <= now.saturating_add(SKEW_MS)).max()?.min(now);
            end = Some(end.map_or(since, |end| end.min(since)));
        }
        let Header { cached_at, fill_us, .. } = header;
        Some((Times { cached_at, expires_at: end, fill_us }, payload))
    }
}

/// The times of an entry of a shared backend and where its payload starts, if its generations are those that
/// were read together with it.
#[must_use]
pub fn valid_with<E: AsRef<[u8]>>(snapshot: &Snapshot<E>, plan: u64) -> Option<(Times, usize)> {
    let Snapshot { entry, tokens, graces, .. } = snapshot;
    let (scopes, soft) = (tokens.len().checked_sub(1)?, graces.len());
    let noted = |at: usize, token: &Token| graces[at + soft - scopes]?.began_for(token);
    let look = Look { plan, scopes, soft, current: &|at| tokens[at], replaced_at: &noted };
    look.at(entry.as_ref()?.as_ref())
}

/// The same of an entry of an in-process cache, whose generations are in `index`; `soft` of its `scopes`, at
/// the end, are soft.
#[must_use]
pub fn valid_in(
    index: &dyn Generations,
    entry: &[u8],
    plan: u64,
    key: &Digest,
    (scopes, soft): (&[ScopeId], usize),
) -> Option<(Times, usize)> {
    let current = |at: usize| index.get(scopes.get(at).unwrap_or(&ScopeId::own(key)));
    let noted = |at: usize, token: &Token| index.replaced_at(&scopes[at], token);
    let scopes = scopes.len();
    Look { plan, scopes, soft, current: &current, replaced_at: &noted }.at(entry)
}

#[cfg(test)]
mod tests {
    use super::{valid_in, valid_with};
    use crate::call::Times;
    use crate::clock;
    use crate::entry::{Header, seal};
    use crate::index::{Generations, Grace, ProcessIndex, ScopeId, Token};
    use crate::key::Digest;
    use crate::port::{Lease, Snapshot};

    const PLAN: u64 = 7;

    /// Long before any clock of a test.
    fn old() -> Token {
        let mut token = Token::fresh();
        token.0[..6].copy_from_slice(&1_000_i64.to_be_bytes()[2..]);
        token
    }

    fn entry(tokens: &[Token], expires_at: Option<i64>) -> Vec<u8> {
        let header = Header {
            plan: PLAN,
            origin: 0,
            cached_at: 500,
            expires_at,
            fill_us: 0,
            tokens,
            recorded: &[],
        };
        seal(&header, b"")
    }

    /// When an entry ends that carries these tokens: one hard scope, two soft ones, its own. `None`: it is void.
    fn end(
        carried: &[Token; 4],
        current: [Token; 4],
        graces: [Option<Grace>; 2],
        expires_at: Option<i64>,
    ) -> Option<i64> {
        let entry = entry(carried, expires_at);
        let (tokens, graces) = (current.map(Some).to_vec(), graces.to_vec());
        let found =
            valid_with(&Snapshot { entry: Some(entry), tokens, graces, lease: Lease::Free }, PLAN);
        found.map(|(Times { expires_at, .. }, _)| expires_at.unwrap_or(i64::MAX))
    }

    #[test]
    fn only_soft_scopes_leave_something() {
        let carried = [old(), old(), old(), old()];
        assert_eq!(end(&carried, carried, [None; 2], Some(9)), Some(9));
        for at in 0..4 {
            let mut current = carried;
            current[at] = Token::fresh();
            let left = end(&carried, current, [None; 2], None);
            assert_eq!(left, [1, 2].contains(&at).then_some(1_000), "{at}");
        }
        assert_eq!(end(&carried, [Token::closed(); 4], [None; 2], None), None);
    }

    #[test]
    fn the_first_change_of_several_scopes_counts_and_never_makes_an_entry_last_longer() {
        let carried = [old(), old(), old(), old()];
        let current = [carried[0], Token::fresh(), Token::closed(), carried[3]];
        let graces =
            |one, other| [Some(Grace::of(&carried[1], one)), Some(Grace::of(&carried[2], other))];
        assert_eq!(end(&carried, current, graces(6_000, 5_000), None), Some(5_000));
        assert_eq!(end(&carried, current, graces(5_000, 6_000), Some(9_000)), Some(5_000));
        assert_eq!(end(&carried, current, graces(5_000, 6_000), Some(4_000)), Some(4_000));
        // What is known of another token is of no use.
        assert_eq!(end(&carried, current, [graces(5, 5)[1]; 2], None), Some(1_000));
    }

    #[test]
    fn times_of_the_future_tell_nothing() {
        let mut token = Token::fresh();
        let later = clock::now_ms() + 3_600_000;
        token.0[..6].copy_from_slice(&later.to_be_bytes()[2..]);
        let carried = [old(), token, old(), old()];
        let current = [carried[0], Token::fresh(), carried[2], carried[3]];
        let noted = |at| [Some(Grace::of(&token, at)), None];
        assert_eq!(end(&carried, current, [None; 2], None), None);
        assert_eq!(end(&carried, current, noted(later), None), None);
        assert_eq!(end(&carried, current, noted(5_000), None), Some(5_000));
        // Another host's clock may be a little ahead: it is stale all the same.
        let ahead = clock::now_ms() + 1_000;
        assert!(end(&carried, current, noted(ahead), None).unwrap() < ahead);
    }

    #[test]
    fn an_index_knows_both_as_well() {
        let index = ProcessIndex::new(100);
        let key = Digest([9; 20]);
        let hard = ScopeId::of(b"function");
        let scopes = [hard, hard.soft()];
        let tokens = [&scopes[0], &scopes[1], &ScopeId::own(&key)].map(|id| index.ensure(id));
        let entry = entry(&tokens, None);
        let check = |soft| valid_in(&index, &entry, PLAN, &key, (&scopes, soft));
        assert_eq!(check(1).unwrap().0.expires_at, None);
        index.note(&scopes[1], 60_000);
        index.renew(&scopes[1]);
        let end = check(1).unwrap().0.expires_at.unwrap();
        assert!((tokens[1].drawn_at()..=clock::now_ms()).contains(&end));
        assert!(check(0).is_none());
        index.renew(&hard);
        assert!(check(1).is_none());
    }
}
