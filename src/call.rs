//! The flow of one call: read, compare, fill once, store fenced.
//!
//! Everything is decided here, and nothing is done: see [`crate::port`].

use crate::clock;
use crate::entry::{self, Header};
use crate::flight::{Boarding, Crew, Ending, Flights, RefreshTurn, Ticket};
use crate::index::{ProcessIndex, ScopeId, Token};
use crate::key::{Digest, base32};
use crate::port::{Answer, Ask, Lease, Port, Ran, Snapshot, Storable};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pauses between two looks at somebody else's lease, in seconds.
const FIRST_PAUSE: f64 = 0.002;
const LONGEST_PAUSE: f64 = 0.1;
/// How often missing tokens are made before the call runs without storing.
const CREATION_ATTEMPTS: usize = 2;

/// Among whom a fill is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody: every caller of a cold key runs the function.
    Nobody,
    /// Threads and tasks of this process.
    Process,
    /// All processes that share the backend.
    Cluster,
}

/// What the caller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The value, from the cache if possible.
    Get,
    /// The cached value or nothing.
    Peek,
    /// A new value, stored over the old one.
    Refresh,
    /// The function, and no cache at all.
    Bypass,
}

/// How a call resolved (`CacheStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// From the cache.
    Hit,
    /// Computed by this call or one that it waited for.
    Miss,
    /// Computed without the cache.
    Bypass,
    /// Computed because a refresh was asked for.
    Refresh,
}

/// When an entry was stored and when it ends, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When the fill finished.
    pub cached_at: i64,
    /// When it stops being valid; `None` is never.
    pub expires_at: Option<i64>,
}

/// What waiters of a flight are handed.
#[derive(Debug, Clone)]
pub enum Landing<V> {
    /// A value, and its times if it was stored.
    Value { value: V, times: Option<Times> },
    /// The function's exception.
    Error(V),
}

/// How a call ended.
pub enum Outcome<E, V> {
    /// A valid entry: its bytes, its header, and where the payload starts.
    Hit { entry: E, times: Times, payload: usize },
    /// A computed value. `shared` means that another caller computed it.
    Value { value: V, times: Option<Times>, status: Status, shared: bool },
    /// The function's exception.
    Error { error: V },
    /// Nothing is cached.
    Missing,
}

/// What a call is about, and the rules it is made under.
#[derive(Clone)]
pub struct Target {
    /// The entry's identity.
    pub key: Digest,
    /// Fingerprint of the key plan.
    pub plan: u64,
    /// Its scopes, without its own.
    pub scopes: Vec<ScopeId>,
    /// Where the tokens of an in-process cache are; `None` for shared backends.
    pub index: Option<Arc<ProcessIndex>>,
    /// Among whom a fill is shared.
    pub sharing: Sharing,
    /// What runs this call.
    pub crew: Crew,
    /// Longest wait for somebody else's fill.
    pub flight_timeout: Duration,
    /// How long a lease lasts.
    pub lease_timeout: Duration,
    /// Sequence number from before the first read.
    pub started: u64,
}

impl Target {
    /// The tokens that are current as of `snapshot`, the own one last.
    fn tokens<E>(&self, snapshot: &Snapshot<E>) -> Vec<Option<Token>> {
        match &self.index {
            None => snapshot.tokens.clone(),
            Some(index) => {
                let own = ScopeId::own(&self.key);
                self.scopes.iter().chain([&own]).map(|scope| index.get(scope)).collect()
            }
        }
    }

    /// The times of the snapshot's entry and where its payload starts, if it is valid.
    fn check<E: AsRef<[u8]>>(&self, snapshot: &Snapshot<E>) -> Option<(Times, usize)> {
        let entry = snapshot.entry.as_ref()?.as_ref();
        match &self.index {
            None => valid(entry, self.plan, self.scopes.len(), |at| {
                snapshot.tokens.get(at).copied().flatten()
            }),
            Some(index) => valid_in(index, entry, self.plan, &self.key, &self.scopes),
        }
    }

    /// The lease of this key under these generations: who has seen newer ones contends for another.
    fn lease_key(&self, tokens: &[Option<Token>]) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.key.0);
        for token in tokens[..self.scopes.len()].iter().flatten() {
            hasher.update(&token.0);
        }
        format!("cr:l:{}", base32(&hasher.finalize().as_bytes()[..16]))
    }

    fn is_shared_complete(&self, tokens: &[Option<Token>]) -> bool {
        tokens[..self.scopes.len()].iter().all(Option::is_some)
    }
}

/// An entry's times and where its payload starts, if it is valid: this plan's, not expired, and
/// every generation that it carries still `current`. Scopes come in order, the own one last.
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
    if header.expires_at.is_some_and(|at| at <= clock::now_ms()) {
        return None;
    }
    let all = header.tokens.iter().enumerate().all(|(at, token)| current(at) == Some(*token));
    let times = Times { cached_at: header.cached_at, expires_at: header.expires_at };
    all.then_some((times, payload))
}

/// [`valid`] for an entry of an in-process cache, whose generations are in `index`.
#[must_use]
pub fn valid_in(
    index: &ProcessIndex,
    entry: &[u8],
    plan: u64,
    key: &Digest,
    scopes: &[ScopeId],
) -> Option<(Times, usize)> {
    let current = |at: usize| index.get(scopes.get(at).unwrap_or(&ScopeId::own(key)));
    valid(entry, plan, scopes.len(), current)
}

/// What of its surroundings bears on a call.
#[derive(Debug, Clone, Copy, Default)]
pub struct Surroundings {
    /// Caching is off, or an open transaction has changed one of the call's scopes.
    pub bypassed: bool,
    /// An open transaction has written: its results are its own.
    pub dirty: bool,
    /// The caller runs inside a fill of the very same key.
    pub reentrant: bool,
}

/// One call under way.
pub struct Call<E, V: Clone> {
    /// What it is about.
    pub target: Target,
    /// Where it runs.
    pub surroundings: Surroundings,
    /// The wrapper's flights.
    pub flights: Arc<Flights<Landing<V>>>,
    /// Where it asks.
    pub port: Arc<Port<E, V>>,
}

enum Claim<E> {
    Leased(Held),
    Unleased,
    Found { entry: E, times: Times, payload: usize },
    TimedOut,
}

/// A lease that this call holds.
struct Held {
    key: String,
    since: Instant,
}

/// What a fill carries along.
struct Fill<V: Clone> {
    ticket: Option<Ticket<Landing<V>>>,
    lease: Option<Held>,
    turn: Option<RefreshTurn<Landing<V>>>,
    status: Status,
}

impl<E: AsRef<[u8]>, V: Clone> Call<E, V> {
    /// Runs the call. `first` is a read that the caller has made already.
    pub async fn run(self, mode: Mode, first: Option<Snapshot<E>>) -> Outcome<E, V> {
        let here = self.surroundings;
        match mode {
            Mode::Bypass => self.alone(Status::Bypass, None).await,
            Mode::Peek if here.bypassed => Outcome::Missing,
            Mode::Get | Mode::Refresh if here.bypassed => self.alone(Status::Bypass, None).await,
            Mode::Refresh if here.dirty => self.alone(Status::Bypass, None).await,
            Mode::Refresh => self.refresh().await,
            Mode::Get | Mode::Peek => self.get(mode, first).await,
        }
    }

    async fn get(self, mode: Mode, mut first: Option<Snapshot<E>>) -> Outcome<E, V> {
        let began = Instant::now();
        loop {
            let snapshot = match first.take() {
                Some(snapshot) => Some(snapshot),
                None => self.read(None).await,
            };
            if let Some((times, payload)) = snapshot.as_ref().and_then(|s| self.target.check(s)) {
                let entry = snapshot.and_then(|s| s.entry).expect("a valid entry is there");
                return Outcome::Hit { entry, times, payload };
            }
            if mode == Mode::Peek {
                return Outcome::Missing;
            }
            if self.surroundings.dirty {
                return self.alone(Status::Bypass, None).await;
            }
            let Some(snapshot) = snapshot else {
                return self.alone(Status::Miss, None).await;
            };
            if self.surroundings.reentrant {
                return self.alone(Status::Miss, None).await;
            }
            let seen = self.target.tokens(&snapshot);
            if self.target.sharing == Sharing::Nobody {
                return self.fill_unshared(seen).await;
            }
            let Target { key, started, crew, flight_timeout, .. } = self.target;
            match self.flights.join(key, started, &seen, crew) {
                Boarding::Alone => return self.fill_unshared(seen).await,
                Boarding::Lead(ticket) => return self.lead(ticket, seen, began).await,
                Boarding::Wait(flight) => {
                    let timeout = flight_timeout.saturating_sub(began.elapsed());
                    match self.port.ask(Ask::Wait { flight, timeout }).await {
                        Answer::Ended(Some(Ending::Landed(landing))) => return shared(landing),
                        Answer::Ended(Some(Ending::Abandoned)) => {}
                        _ => return self.alone(Status::Miss, None).await,
                    }
                }
            }
        }
    }

    async fn refresh(self) -> Outcome<E, V> {
        let turn = self.flights.refreshing(self.target.key);
        let Some(snapshot) = self.read(None).await else {
            return self.alone(Status::Refresh, None).await;
        };
        // While a valid entry is there it is served on, so its own token stays; the new value
        // is stored under the same one, unless somebody deletes the entry meanwhile.
        let valid = self.target.check(&snapshot).is_some();
        let mut tokens = self.target.tokens(&snapshot);
        let ticket = (self.target.sharing != Sharing::Nobody)
            .then(|| self.flights.lead(self.target.key, self.target.crew));
        let fill = Fill { ticket, lease: None, turn: Some(turn), status: Status::Refresh };
        if !self.complete(&mut tokens).await {
            return self.alone(Status::Refresh, fill.ticket).await;
        }
        let own = tokens.last().copied().flatten().filter(|_| valid);
        self.fill(tokens, own, !valid, fill).await
    }

    /// The leader of this process: looks again, has the cluster's lease if there is one, and fills.
    async fn lead(
        self,
        ticket: Ticket<Landing<V>>,
        mut tokens: Vec<Option<Token>>,
        began: Instant,
    ) -> Outcome<E, V> {
        let mut fill = Fill { ticket: Some(ticket), lease: None, turn: None, status: Status::Miss };
        if self.target.sharing == Sharing::Cluster && self.target.index.is_none() {
            if !self.complete(&mut tokens).await {
                return self.alone(Status::Miss, fill.ticket).await;
            }
            let own = Token::fresh();
            match self.claim(&mut tokens, own, began).await {
                Claim::Found { entry, times, payload } => {
                    // Dropping the ticket sends the waiters to look for themselves.
                    return Outcome::Hit { entry, times, payload };
                }
                Claim::TimedOut => return self.alone(Status::Miss, fill.ticket).await,
                Claim::Leased(lease) => fill.lease = Some(lease),
                Claim::Unleased => {}
            }
            if !self.complete(&mut tokens).await {
                return self.run_unstored(Status::Miss, fill).await;
            }
            return self.fill(tokens, Some(own), true, fill).await;
        }
        // Another flight may have landed between this caller's read and its own take-off.
        if let Some(again) = self.read(None).await {
            if let Some((times, payload)) = self.target.check(&again) {
                let entry = again.entry.expect("a valid entry is there");
                return Outcome::Hit { entry, times, payload };
            }
            tokens = self.target.tokens(&again);
        }
        if !self.complete(&mut tokens).await {
            return self.alone(Status::Miss, fill.ticket).await;
        }
        self.fill(tokens, None, true, fill).await
    }

    async fn claim(&self, tokens: &mut Vec<Option<Token>>, own: Token, began: Instant) -> Claim<E> {
        let mut pause = FIRST_PAUSE;
        let mut doubtful = None;
        'claim: loop {
            let lease = self.target.lease_key(tokens);
            let held = Held { key: lease.clone(), since: Instant::now() };
            match self.port.ask(Ask::Claim { lease: lease.clone(), own }).await {
                Answer::Taken => {}
                Answer::Snapshot(Some(snapshot)) => {
                    if let Some((times, payload)) = self.target.check(&snapshot) {
                        self.release(held, false).await;
                        let entry = snapshot.entry.expect("a valid entry is there");
                        return Claim::Found { entry, times, payload };
                    }
                    *tokens = snapshot.tokens;
                    return Claim::Leased(held);
                }
                _ => return Claim::Unleased,
            }
            loop {
                if began.elapsed() >= self.target.flight_timeout {
                    return Claim::TimedOut;
                }
                self.port.ask(Ask::Pause { seconds: pause }).await;
                pause = (pause * 1.5).min(LONGEST_PAUSE);
                let Some(snapshot) = self.read(Some(lease.clone())).await else {
                    return Claim::Unleased;
                };
                if let Some((times, payload)) = self.target.check(&snapshot) {
                    let entry = snapshot.entry.expect("a valid entry is there");
                    return Claim::Found { entry, times, payload };
                }
                let snapshot_lease = snapshot.lease;
                let own_now = snapshot.tokens.last().copied().flatten();
                if snapshot.tokens[..self.target.scopes.len()] != tokens[..self.target.scopes.len()]
                {
                    // The scopes have changed: what the holder of this lease computes is void.
                    *tokens = snapshot.tokens;
                    if !self.complete(tokens).await {
                        return Claim::Unleased;
                    }
                    continue 'claim;
                }
                match snapshot_lease {
                    Lease::Free => continue 'claim,
                    Lease::Barren => return Claim::Unleased,
                    // A holder whose own token is gone fills in vain (the entry was deleted
                    // meanwhile). One look may fall between his two writes, two do not.
                    Lease::Held(holder) if own_now != Some(holder) => {
                        if doubtful == Some(holder) {
                            return Claim::Unleased;
                        }
                        doubtful = Some(holder);
                    }
                    Lease::Held(_) => doubtful = None,
                }
            }
        }
    }

    async fn fill_unshared(self, mut tokens: Vec<Option<Token>>) -> Outcome<E, V> {
        if !self.complete(&mut tokens).await {
            return self.alone(Status::Miss, None).await;
        }
        let fill = Fill { ticket: None, lease: None, turn: None, status: Status::Miss };
        self.fill(tokens, None, true, fill).await
    }

    /// Arms the own token (when `arm`), runs the function, stores the result behind the fence.
    async fn fill(
        self,
        tokens: Vec<Option<Token>>,
        own: Option<Token>,
        arm: bool,
        fill: Fill<V>,
    ) -> Outcome<E, V> {
        let shared = &tokens[..self.target.scopes.len()];
        let mut fence: Vec<Token> = shared.iter().copied().flatten().collect();
        let own = own.unwrap_or_else(Token::fresh);
        fence.push(own);
        if (arm || self.target.index.is_some()) && !self.arm(own).await {
            return self.run_unstored(fill.status, fill).await;
        }
        if let Some(ticket) = &fill.ticket {
            ticket.arm(fence.clone());
        }
        let began = Instant::now();
        let share = fill.ticket.is_some();
        match self.port.ask(Ask::Run { store: true, share }).await {
            Answer::Ran(Ran::Returned { value, storable }) => {
                let fill_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
                let times = match storable {
                    Some(storable) if fill.turn.as_ref().is_none_or(RefreshTurn::may_store) => {
                        self.store(storable, fence, fill_ms).await
                    }
                    Some(_) => None,
                    None => {
                        if fill.status == Status::Refresh {
                            self.port.ask(Ask::Forget).await;
                        }
                        None
                    }
                };
                if let Some(ticket) = fill.ticket {
                    ticket.land(Landing::Value { value: value.clone(), times });
                }
                if let Some(lease) = fill.lease {
                    self.release(lease, times.is_none()).await;
                }
                Outcome::Value { value, times, status: fill.status, shared: false }
            }
            other => self.failed(other, fill).await,
        }
    }

    /// Runs the function for this caller and those on board; nothing is stored.
    async fn run_unstored(self, status: Status, fill: Fill<V>) -> Outcome<E, V> {
        let share = fill.ticket.is_some();
        match self.port.ask(Ask::Run { store: false, share }).await {
            Answer::Ran(Ran::Returned { value, .. }) => {
                if let Some(ticket) = fill.ticket {
                    ticket.land(Landing::Value { value: value.clone(), times: None });
                }
                if let Some(lease) = fill.lease {
                    self.release(lease, true).await;
                }
                Outcome::Value { value, times: None, status, shared: false }
            }
            other => self.failed(other, fill).await,
        }
    }

    async fn alone(self, status: Status, ticket: Option<Ticket<Landing<V>>>) -> Outcome<E, V> {
        self.run_unstored(status, Fill { ticket, lease: None, turn: None, status }).await
    }

    async fn failed(&self, answer: Answer<E, V>, fill: Fill<V>) -> Outcome<E, V> {
        let (error, all) = match answer {
            Answer::Ran(Ran::Raised { error }) => (error, true),
            Answer::Ran(Ran::Interrupted { error }) => (error, false),
            _ => unreachable!("a run answers with what it ran"),
        };
        if let Some(ticket) = fill.ticket
            && all
        {
            ticket.land(Landing::Error(error.clone()));
        }
        if let Some(lease) = fill.lease {
            // Waiters elsewhere run for themselves; a filler that was interrupted is replaced by one.
            self.release(lease, all).await;
        }
        Outcome::Error { error }
    }

    async fn read(&self, lease: Option<String>) -> Option<Snapshot<E>> {
        match self.port.ask(Ask::Read { lease }).await {
            Answer::Snapshot(snapshot) => snapshot,
            _ => None,
        }
    }

    /// Gives the lease back, unless its time is over and it may be another's by now.
    async fn release(&self, held: Held, barren: bool) {
        if held.since.elapsed() < self.target.lease_timeout {
            self.port.ask(Ask::Release { lease: held.key, barren }).await;
        }
    }

    /// Makes the tokens that are missing, the own one aside. False: the call cannot store.
    async fn complete(&self, tokens: &mut Vec<Option<Token>>) -> bool {
        let count = self.target.scopes.len();
        tokens.resize(count + 1, None);
        if let Some(index) = &self.target.index {
            for (token, scope) in tokens.iter_mut().zip(&self.target.scopes) {
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

    async fn arm(&self, own: Token) -> bool {
        if let Some(index) = &self.target.index {
            index.set(&ScopeId::own(&self.target.key), own);
        }
        matches!(self.port.ask(Ask::Arm { own }).await, Answer::Done(true))
    }

    async fn store(&self, storable: Storable<E>, fence: Vec<Token>, fill_ms: u32) -> Option<Times> {
        let cached_at = clock::now_ms();
        let expires_at = storable.ttl_ms.map(|ttl| cached_at.saturating_add(ttl));
        let header =
            Header { plan: self.target.plan, cached_at, expires_at, fill_ms, tokens: &fence };
        let sealed = entry::seal(&header, storable.payload.as_ref());
        let ask = Ask::Store { entry: sealed, timeout_ms: storable.ttl_ms };
        let stored = matches!(self.port.ask(ask).await, Answer::Done(true));
        stored.then_some(Times { cached_at, expires_at })
    }
}

fn shared<E, V>(landing: Landing<V>) -> Outcome<E, V> {
    match landing {
        Landing::Value { value, times } => {
            Outcome::Value { value, times, status: Status::Miss, shared: true }
        }
        Landing::Error(error) => Outcome::Error { error },
    }
}
