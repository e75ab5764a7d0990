//! Running the function, and storing its result behind the fence.

use super::claim::Held;
use super::run::Call;
use super::{Landing, Outcome, Status, Times};
use crate::clock::{self, SKEW_MS};
use crate::entry::{self, Header};
use crate::flight::{RefreshTurn, Ticket};
use crate::index::{Recorded, ScopeId, Token};
use crate::port::{Answer, Ask, Ran, Storable};
use smallvec::SmallVec;
use std::time::Instant;

/// How often missing tokens are made before the call runs without storing.
const CREATION_ATTEMPTS: usize = 2;

/// What a fill carries along.
pub(super) struct Fill<V: Clone> {
    /// Of those who wait for it.
    pub tickets: SmallVec<[Ticket<Landing<V>>; 1]>,
    pub lease: Option<Held>,
    pub turn: Option<RefreshTurn<Landing<V>>>,
    pub status: Status,
    /// When the entry was stored that is served meanwhile, or if the function fails, and that this is to replace.
    pub seen: Option<i64>,
}

impl<V: Clone> Fill<V> {
    pub(super) fn new(status: Status) -> Self {
        Self { tickets: SmallVec::new(), lease: None, turn: None, status, seen: None }
    }

    fn arm(&self, fence: &[Token]) {
        for ticket in &self.tickets {
            ticket.arm(fence.to_vec());
        }
    }

    fn land(&mut self, landing: &Landing<V>) {
        for ticket in self.tickets.drain(..) {
            ticket.land(landing.clone());
        }
    }
}

/// The token of the entry's own scope under which a fill stores.
#[derive(Clone, Copy)]
pub(super) enum Own {
    /// A new one, which voids whatever was stored or is being filled under another.
    Drawn(Token),
    /// The current one: what carries it stays valid.
    Kept(Token),
}

impl Own {
    pub(super) fn token(self) -> Token {
        match self {
            Self::Drawn(token) | Self::Kept(token) => token,
        }
    }
}

impl<E: AsRef<[u8]>, V: Clone> Call<E, V> {
    pub(super) async fn fill_unshared(
        self,
        mut tokens: Vec<Option<Token>>,
        stale: Option<i64>,
    ) -> Outcome<E, V> {
        if !self.complete(&mut tokens).await {
            return self.alone(Status::Miss).await;
        }
        let fill = Fill { seen: stale, ..Fill::new(Status::Miss) };
        let own = self.own_of(stale.is_some(), &tokens);
        self.fill(tokens, own, fill).await
    }

    /// The token of its own under which a fill stores: with a `stale` entry the one that this has.
    pub(super) fn own_of(&self, stale: bool, tokens: &[Option<Token>]) -> Own {
        let current = tokens.last().copied().flatten();
        current.filter(|_| stale).map_or_else(|| self.own(), Own::Kept)
    }

    /// The token of its own under which a fill stores that replaces nothing valid. Where this process keeps
    /// the tokens nobody can have lost it.
    pub(super) fn own(&self) -> Own {
        match &self.target.index {
            None => Own::Drawn(Token::fresh()),
            Some(index) => Own::Kept(index.ensure(&ScopeId::own(&self.target.key))),
        }
    }

    /// Arms the own token unless it is current already, runs the function, stores the result behind the fence.
    pub(super) async fn fill(
        self,
        tokens: Vec<Option<Token>>,
        own: Own,
        mut fill: Fill<V>,
    ) -> Outcome<E, V> {
        let own = self.prolonged(own).await;
        let shared = &tokens[..self.target.scopes.len()];
        let mut fence: Vec<Token> = shared.iter().copied().flatten().collect();
        fence.push(own.token());
        if fence.iter().any(Token::is_closed) {
            // What is read now may be older or newer than what is committed: nobody shares it.
            if let Some(lease) = fill.lease {
                self.release(lease, true).await;
            }
            drop(fill.tickets);
            return self.alone(Status::Bypass).await;
        }
        if !self.sees(&tokens) {
            // Something has changed since the call began. Whoever waits can do better.
            if let Some(lease) = fill.lease {
                self.release(lease, false).await;
            }
            drop(fill.tickets);
            return self.alone(Status::Bypass).await;
        }
        if !self.arm(own).await {
            return self.run_unstored(fill).await;
        }
        fill.arm(&fence);
        let watch = self.watch().await;
        let began = Instant::now();
        let share = !fill.tickets.is_empty();
        match self.port.ask(Ask::Run { store: true, share }).await {
            Answer::Ran(Ran::Returned { value, storable }) => {
                let fill_us = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
                let Some(recorded) = self.recorded(&watch, &fill.tickets).await else {
                    // Nobody knows whether this is what it would be now: no other caller gets it.
                    if let Some(lease) = fill.lease {
                        self.release(lease, false).await;
                    }
                    return Outcome::Value {
                        value,
                        times: None,
                        status: fill.status,
                        shared: false,
                    };
                };
                let may_replace = fill.turn.as_ref().is_none_or(RefreshTurn::may_store)
                    && !self.would_displace(fill.seen, &fence).await;
                let times = match storable {
                    _ if !may_replace => None,
                    Some(storable) => self.store(storable, (&fence, &recorded), fill_us).await,
                    None => {
                        if fill.status == Status::Refresh || fill.seen.is_some() {
                            self.port.ask(Ask::Forget).await;
                        }
                        None
                    }
                };
                if self.target.windows.any() {
                    self.backoffs.succeeded(&self.target.key);
                }
                fill.land(&Landing::Value { value: value.clone(), times });
                if let Some(lease) = fill.lease {
                    self.release(lease, times.is_none()).await;
                }
                Outcome::Value { value, times, status: fill.status, shared: false }
            }
            other => {
                if matches!(other, Answer::Ran(Ran::Raised { .. }))
                    && self.recorded(&watch, &fill.tickets).await.is_none()
                {
                    // Nobody knows whether it would still be raised.
                    fill.tickets.clear();
                }
                self.failed(other, fill).await
            }
        }
    }

    /// Runs the function for this caller and those on board; nothing is stored.
    pub(super) async fn run_unstored(self, mut fill: Fill<V>) -> Outcome<E, V> {
        // No generations are known, so only who called before the run may have its result.
        fill.arm(&[]);
        let status = fill.status;
        let share = !fill.tickets.is_empty();
        match self.port.ask(Ask::Run { store: false, share }).await {
            Answer::Ran(Ran::Returned { value, .. }) => {
                fill.land(&Landing::Value { value: value.clone(), times: None });
                if let Some(lease) = fill.lease {
                    self.release(lease, true).await;
                }
                Outcome::Value { value, times: None, status, shared: false }
            }
            other => self.failed(other, fill).await,
        }
    }

    /// Runs the function for this caller alone; nothing is stored.
    pub(super) async fn alone(self, status: Status) -> Outcome<E, V> {
        self.run_unstored(Fill::new(status)).await
    }

    pub(super) async fn failed(&self, answer: Answer<E, V>, mut fill: Fill<V>) -> Outcome<E, V> {
        let (error, all, spares) = match answer {
            Answer::Ran(Ran::Private { value }) => {
                // The transaction wrote while the function ran. Dropping the tickets sends those
                // who wait to compute for themselves.
                drop(fill.tickets);
                if let Some(lease) = fill.lease {
                    self.release(lease, false).await;
                }
                return Outcome::Value {
                    value,
                    times: None,
                    status: Status::Bypass,
                    shared: false,
                };
            }
            Answer::Ran(Ran::Raised { error, spares }) => (error, true, spares),
            Answer::Ran(Ran::Interrupted { error }) => (error, false, false),
            _ => unreachable!("a run answers with what it ran"),
        };
        if all {
            if fill.seen.is_some() {
                self.backoffs.failed(self.target.key, clock::now_ms(), spares);
            }
            fill.land(&Landing::Error { error: error.clone(), spares });
        } else {
            drop(fill.tickets);
        }
        if let Some(lease) = fill.lease {
            // Waiters elsewhere run for themselves; a filler that was interrupted is replaced by one. For a run
            // in the background nobody waits.
            self.release(lease, all && fill.status != Status::Refresh).await;
        }
        let stands_in = match fill.status {
            Status::Miss => true,
            Status::Bypass => fill.seen.is_some(),
            _ => false,
        };
        if spares
            && stands_in
            && let Some(found) = self.spare().await
        {
            return found.outcome(Some(error));
        }
        Outcome::Error { error, status: fill.status, shared: false }
    }

    /// Whether what the caller reads belongs to these generations, the own one last: where he reads from a
    /// snapshot, each has to be known as older than that. What is missing may have changed just now.
    pub(super) fn sees(&self, tokens: &[Option<Token>]) -> bool {
        self.surroundings.snapshot.is_none_or(|since| {
            tokens.len() > self.target.scopes.len()
                && tokens.iter().all(|token| {
                    token.is_some_and(|token| token.drawn_at().saturating_add(SKEW_MS) < since)
                })
        })
    }

    /// Runs the function for a caller who may see old data. The tokens that are missing are made, so that
    /// his next transactions can store.
    pub(super) async fn without_storing(self, mut tokens: Vec<Option<Token>>) -> Outcome<E, V> {
        self.create(&mut tokens, self.target.scopes.len() + 1).await;
        self.alone(Status::Bypass).await
    }

    /// Makes the tokens that are missing, the own one aside. False: the call cannot store.
    pub(super) async fn complete(&self, tokens: &mut Vec<Option<Token>>) -> bool {
        self.create(tokens, self.target.scopes.len()).await
    }

    /// Makes those of the first `count` tokens that are missing.
    async fn create(&self, tokens: &mut Vec<Option<Token>>, count: usize) -> bool {
        tokens.resize(self.target.scopes.len() + 1, None);
        if let Some(index) = &self.target.index {
            let own = ScopeId::own(&self.target.key);
            let scopes = self.target.scopes.iter().chain([&own]);
            for (token, scope) in tokens.iter_mut().zip(scopes).take(count) {
                *token = Some(index.ensure(scope));
            }
            return true;
        }
        for _ in 0..CREATION_ATTEMPTS {
            let missing: Vec<usize> = (0..count).filter(|&at| tokens[at].is_none()).collect();
            if missing.is_empty() {
                return true;
            }
            let ask = Ask::Create { missing: missing.clone() };
            let Answer::Tokens(Some(made)) = self.port.ask(ask).await else {
                return false;
            };
            for (at, token) in missing.into_iter().zip(made) {
                tokens[at] = token;
            }
        }
        self.target.is_shared_complete(tokens)
    }

    /// Makes the own token the current one. A kept one is never written again: by now it may be
    /// changed, which then voids this fill.
    pub(super) async fn arm(&self, own: Own) -> bool {
        if self.target.index.is_none() && matches!(own, Own::Kept(_)) {
            return true;
        }
        let own = own.token();
        matches!(self.port.ask(Ask::Arm { own }).await, Answer::Done(true))
    }

    /// The own token that stays lives as long as a new one would. If that cannot be had a new one is drawn.
    async fn prolonged(&self, own: Own) -> Own {
        let windows = self.target.windows.any();
        if self.target.index.is_some() || !windows || matches!(own, Own::Drawn(_)) {
            return own;
        }
        match self.port.ask(Ask::Prolong { own: own.token() }).await {
            Answer::Done(true) => own,
            _ => Own::Drawn(Token::fresh()),
        }
    }

    pub(super) async fn store(
        &self,
        storable: Storable<E>,
        (fence, recorded): (&[Token], &[Recorded]),
        fill_us: u32,
    ) -> Option<Times> {
        let cached_at = clock::now_ms();
        let windows = &self.target.windows;
        let ttl_ms = storable.ttl_ms.map(|ttl| windows.jittered(ttl));
        let expires_at = ttl_ms.map(|ttl| cached_at.saturating_add(ttl));
        let header = Header {
            plan: self.target.plan,
            origin: self.target.origin,
            cached_at,
            expires_at,
            fill_us,
            tokens: fence,
            recorded,
        };
        let sealed = entry::seal(&header, storable.payload.as_ref());
        let timeout_ms = ttl_ms.map(|ttl| ttl.saturating_add(windows.longest()));
        let ask = Ask::Store { entry: sealed, timeout_ms };
        let stored = matches!(self.port.ask(ask).await, Answer::Done(true));
        stored.then_some(Times { cached_at, expires_at, fill_us })
    }
}
