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
            // A time of the future tells nothing: a clock was set back.
            let told = [Some(token.drawn_at()), (self.replaced_at)(at, token)];
            let told = told.into_iter().flatten().filter(|&at| at <= now.saturating_add(SKEW_MS));
            let since = told.max()?;
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
