//! One call: hit, flight, or fill.

use super::claim::{Claim, Way};
use super::fill::{Fill, Own};
use super::renew::{Found, Renewal};
use super::{Landing, Mode, Outcome, Sharing, Standing, Status, Target};
use crate::backoff::Backoffs;
use crate::clock;
use crate::flight::{Boarding, Ending, Flights, Ticket};
use crate::index::{ScopeId, Token};
use crate::port::{Answer, Ask, Port, Snapshot};
use std::sync::Arc;
use std::time::Instant;

/// What of its surroundings bears on a call.
#[derive(Debug, Clone, Copy, Default)]
pub struct Surroundings {
    /// Caching is off, or an open transaction has changed one of the call's scopes.
    pub bypassed: bool,
    /// An open transaction has written: its results are its own.
    pub dirty: bool,
    /// The caller runs inside a fill of the very same key.
    pub reentrant: bool,
    /// When (ms) the oldest of the caller's transactions that go on seeing what was there then took
    /// its snapshot, or some time before that.
    pub snapshot: Option<i64>,
}

/// What the caller has read already.
pub enum First<E> {
    /// Nothing.
    Unread,
    /// The backend could not be read.
    Down,
    /// This.
    Read(Snapshot<E>),
}

/// One call under way.
pub struct Call<E, V: Clone> {
    /// What it is about.
    pub target: Target,
    /// Where it runs.
    pub surroundings: Surroundings,
    /// The wrapper's flights.
    pub flights: Arc<Flights<Landing<V>>>,
    /// The entries that are being made anew in the background.
    pub renewals: Arc<Flights<Landing<V>>>,
    /// The keys whose fills have failed.
    pub backoffs: Arc<Backoffs>,
    /// Where it asks.
    pub port: Arc<Port<E, V>>,
    /// What a call in [`Mode::Renew`] is about.
    pub renewal: Option<Renewal<V>>,
}

impl<E: AsRef<[u8]>, V: Clone> Call<E, V> {
    /// Runs the call.
    pub async fn run(self, mode: Mode, first: First<E>) -> Outcome<E, V> {
        let here = self.surroundings;
        match mode {
            Mode::Renew => self.renew().await,
            Mode::Bypass => self.alone(Status::Bypass).await,
            Mode::Peek if here.bypassed => Outcome::Missing,
            Mode::Get | Mode::Refresh if here.bypassed => self.alone(Status::Bypass).await,
            Mode::Refresh if here.dirty => self.alone(Status::Bypass).await,
            Mode::Refresh => self.refresh().await,
            Mode::Get | Mode::Peek => self.get(mode, first).await,
        }
    }

    async fn get(self, mode: Mode, mut first: First<E>) -> Outcome<E, V> {
        let began = Instant::now();
        loop {
            let snapshot = match std::mem::replace(&mut first, First::Unread) {
                First::Read(snapshot) => Some(snapshot),
                First::Down => None,
                First::Unread => self.read(None).await,
            };
            let mut stale = None;
            if let Some((read, (times, payload))) =
                snapshot.as_ref().and_then(|read| Some((read, self.target.check(read)?)))
            {
                let standing = self.target.windows.standing(&times, clock::now_ms());
                let status = match standing {
                    Standing::Fresh | Standing::Due => Some(Status::Hit),
                    // An open transaction that has written is to see what it has written.
                    Standing::Revalidate if !self.surroundings.dirty => Some(Status::Stale),
                    _ => None,
                };
                if mode == Mode::Get && matches!(standing, Standing::Due | Standing::Revalidate) {
                    self.renew_later(read, &times).await;
                }
                if let Some(status) = status {
                    let read = snapshot.expect("it was checked");
                    return Found::of(read, times, payload, status).outcome(None);
                }
                stale = (standing == Standing::Spare).then_some(times);
            }
            if mode == Mode::Peek {
                return Outcome::Missing;
            }
            if self.surroundings.dirty {
                return self.alone(Status::Bypass).await;
            }
            let Some(snapshot) = snapshot else {
                return self.alone(Status::Miss).await;
            };
            if self.surroundings.reentrant {
                return self.alone(Status::Miss).await;
            }
            let seen = self.target.tokens(&snapshot);
            if seen.iter().flatten().any(Token::is_closed) {
                // By a soft change, if there is a stale entry: that still stands in for an error.
                let stale = stale.map(|times| times.cached_at);
                return self.run_unstored(Fill { seen: stale, ..Fill::new(Status::Bypass) }).await;
            }
            if !self.sees(&seen) {
                return self.without_storing(seen).await;
            }
            if let Some(times) = stale {
                if self.backoffs.spares(&self.target.key, clock::now_ms()) {
                    match self.spare().await {
                        Some(found) => return found.outcome(None),
                        None => continue,
                    }
                }
                if let Some(timeout) = self.target.windows.fill_timeout {
                    match self.wait_a_little(&seen, &times, timeout).await {
                        Some(outcome) => return outcome,
                        None => continue,
                    }
                }
            }
            let stale = stale.map(|times| times.cached_at);
            if self.target.sharing == Sharing::Nobody {
                return self.fill_unshared(seen, stale).await;
            }
            let Target { key, started, crew, flight_timeout, .. } = self.target;
            match self.flights.join(key, started, &seen, crew) {
                Boarding::Alone => return self.fill_unshared(seen, stale).await,
                Boarding::Lead(ticket) => {
                    return self.lead(ticket, seen, stale, began).await;
                }
                Boarding::Wait(flight) => {
                    let timeout = flight_timeout.saturating_sub(began.elapsed());
                    match self.port.ask(Ask::Wait { flight, timeout }).await {
                        Answer::Ended(Some(Ending::Landed(landing))) => {
                            if matches!(landing, Landing::Error { spares: true, .. })
                                && let Some(found) = self.spare().await
                            {
                                return found.outcome(None);
                            }
                            return shared(landing);
                        }
                        Answer::Ended(Some(Ending::Abandoned)) => {}
                        _ => return self.alone(Status::Miss).await,
                    }
                }
            }
        }
    }

    async fn refresh(self) -> Outcome<E, V> {
        let turn = self.flights.refreshing(self.target.key);
        let Some(snapshot) = self.read(None).await else {
            return self.alone(Status::Refresh).await;
        };
        // While a valid entry is there it is served on, so its own token stays; the new value
        // is stored under the same one, unless somebody deletes the entry meanwhile.
        let now = clock::now_ms();
        let found = self.target.check(&snapshot);
        let is_served = found
            .is_some_and(|(times, _)| self.target.windows.standing(&times, now) != Standing::Over);
        let mut tokens = self.target.tokens(&snapshot);
        if !self.sees(&tokens) {
            return self.without_storing(tokens).await;
        }
        let mut fill = Fill { turn: Some(turn), ..Fill::new(Status::Refresh) };
        if self.target.sharing != Sharing::Nobody {
            fill.tickets.push(self.flights.lead(self.target.key, self.target.crew));
        }
        if !self.complete(&mut tokens).await {
            return self.run_unstored(Fill { turn: None, ..fill }).await;
        }
        let own = match tokens.last().copied().flatten() {
            Some(token) if is_served => Own::Kept(token),
            _ => {
                // A fill that is under way began before this one: it is not to be stored over it.
                if let Some(index) = &self.target.index {
                    index.renew(&ScopeId::own(&self.target.key));
                }
                self.own()
            }
        };
        self.fill(tokens, own, fill).await
    }

    /// The leader of this process: looks again, has the cluster's lease if there is one, and fills. `stale`
    /// says when the entry was stored that stands in if the function fails.
    async fn lead(
        self,
        ticket: Ticket<Landing<V>>,
        mut tokens: Vec<Option<Token>>,
        stale: Option<i64>,
        began: Instant,
    ) -> Outcome<E, V> {
        let mut fill = Fill { seen: stale, ..Fill::new(Status::Miss) };
        fill.tickets.push(ticket);
        if self.target.sharing == Sharing::Cluster && self.target.index.is_none() {
            if !self.complete(&mut tokens).await {
                return self.run_unstored(fill).await;
            }
            // To draw another own token would void the stale entry.
            let kept = tokens.last().copied().flatten().filter(|_| stale.is_some());
            let way = Way { began, kept, but: None, waits: true };
            let mut own = kept.map_or_else(|| Own::Drawn(Token::fresh()), Own::Kept);
            match self.claim(&mut tokens, &way).await {
                Claim::Found { entry, times, payload } => {
                    // Dropping the ticket sends the waiters to look for themselves.
                    let status = Status::Hit;
                    return Outcome::Found { entry, times, payload, status, spared: None };
                }
                Claim::TimedOut | Claim::Taken => return self.run_unstored(fill).await,
                Claim::Leased(lease, of_claim) => {
                    fill.lease = Some(lease);
                    own = of_claim;
                }
                Claim::Unleased => {}
            }
            if !self.complete(&mut tokens).await {
                return self.run_unstored(fill).await;
            }
            return self.fill(tokens, own, fill).await;
        }
        // Another flight may have landed between this caller's read and its own take-off.
        if let Some(again) = self.read(None).await {
            if let Some((times, payload)) = self.target.fresh(&again, None) {
                return Found::of(again, times, payload, Status::Hit).outcome(None);
            }
            tokens = self.target.tokens(&again);
        }
        if !self.complete(&mut tokens).await {
            return self.run_unstored(fill).await;
        }
        let own = self.own_of(stale.is_some(), &tokens);
        self.fill(tokens, own, fill).await
    }

    pub(super) async fn read(&self, lease: Option<String>) -> Option<Snapshot<E>> {
        match self.port.ask(Ask::Read { lease }).await {
            Answer::Snapshot(snapshot) => snapshot,
            _ => None,
        }
    }
}

pub(super) fn shared<E, V>(landing: Landing<V>) -> Outcome<E, V> {
    match landing {
        Landing::Value { value, times } => {
            Outcome::Value { value, times, status: Status::Miss, shared: true }
        }
        Landing::Error { error, .. } => {
            Outcome::Error { error, status: Status::Miss, shared: true }
        }
    }
}
