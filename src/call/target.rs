//! What a call is about, and when an entry is valid for it.

use super::{Sharing, Times, Windows};
use crate::clock;
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
        let entry = snapshot.entry.as_ref()?.as_ref();
        match &self.index {
            None => valid_with(&snapshot.tokens, entry, self.plan),
            Some(index) => valid_in(&**index, entry, self.plan, &self.key, &self.scopes),
        }
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

/// An entry's times and where its payload starts, if it is valid: this plan's, and every generation that it
/// carries still `current`. Scopes come in order, the own one last. Its time may be over.
fn valid(
    entry: &[u8],
    plan: u64,
    scopes: usize,
    current: impl Fn(usize) -> Option<Token>,
) -> Option<(Times, usize)> {
    let (header, payload) = entry::open(entry)?;
    if header.plan != plan || header.tokens.len() != scopes + 1 {
        return None;
    }
    let all = header.tokens.iter().enumerate().all(|(at, token)| current(at) == Some(*token));
    let Header { cached_at, expires_at, fill_us, .. } = header;
    let times = Times { cached_at, expires_at, fill_us };
    all.then_some((times, payload))
}

/// [`valid`] for an entry of a shared backend, read together with its `tokens`, the own one last.
#[must_use]
pub fn valid_with(tokens: &[Option<Token>], entry: &[u8], plan: u64) -> Option<(Times, usize)> {
    valid(entry, plan, tokens.len().checked_sub(1)?, |at| tokens[at])
}

/// [`valid`] for an entry of an in-process cache, whose generations are in `index`.
#[must_use]
pub fn valid_in(
    index: &dyn Generations,
    entry: &[u8],
    plan: u64,
    key: &Digest,
    scopes: &[ScopeId],
) -> Option<(Times, usize)> {
    let current = |at: usize| index.get(scopes.get(at).unwrap_or(&ScopeId::own(key)));
    valid(entry, plan, scopes.len(), current)
}
