//! One call: hit, flight, or fill.

use super::claim::Claim;
use super::fill::{Fill, Own};
use super::{Landing, Mode, Outcome, Sharing, Status, Target};
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
    /// Where it asks.
    pub port: Arc<Port<E, V>>,
}

impl<E: AsRef<[u8]>, V: Clone> Call<E, V> {
    /// Runs the call.
    pub async fn run(self, mode: Mode, first: First<E>) -> Outcome<E, V> {
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

    async fn get(self, mode: Mode, mut first: First<E>) -> Outcome<E, V> {
        let began = Instant::now();
        loop {
            let snapshot = match std::mem::replace(&mut first, First::Unread) {
                First::Read(snapshot) => Some(snapshot),
                First::Down => None,
                First::Unread => self.read(None).await,
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
            if seen.iter().flatten().any(Token::is_closed) {
                return self.alone(Status::Bypass, None).await;
            }
            if !self.sees(&seen) {
                return self.without_storing(seen).await;
            }
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
        if !self.sees(&tokens) {
            return self.without_storing(tokens).await;
        }
        let ticket = (self.target.sharing != Sharing::Nobody)
            .then(|| self.flights.lead(self.target.key, self.target.crew));
        let fill = Fill { ticket, lease: None, turn: Some(turn), status: Status::Refresh };
        if !self.complete(&mut tokens).await {
            return self.alone(Status::Refresh, fill.ticket).await;
        }
        let own = match tokens.last().copied().flatten() {
            Some(token) if valid => Own::Kept(token),
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
            let mut own = Own::Drawn(Token::fresh());
            match self.claim(&mut tokens, began).await {
                Claim::Found { entry, times, payload } => {
                    // Dropping the ticket sends the waiters to look for themselves.
                    return Outcome::Hit { entry, times, payload };
                }
                Claim::TimedOut => return self.alone(Status::Miss, fill.ticket).await,
                Claim::Leased(lease, of_claim) => {
                    fill.lease = Some(lease);
                    own = of_claim;
                }
                Claim::Unleased => {}
            }
            if !self.complete(&mut tokens).await {
                return self.run_unstored(Status::Miss, fill).await;
            }
            return self.fill(tokens, own, fill).await;
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
        let own = self.own();
        self.fill(tokens, own, fill).await
    }

    pub(super) async fn read(&self, lease: Option<String>) -> Option<Snapshot<E>> {
        match self.port.ask(Ask::Read { lease }).await {
            Answer::Snapshot(snapshot) => snapshot,
            _ => None,
        }
    }
}

fn shared<E, V>(landing: Landing<V>) -> Outcome<E, V> {
    match landing {
        Landing::Value { value, times } => {
            Outcome::Value { value, times, status: Status::Miss, shared: true }
        }
        Landing::Error(error) => Outcome::Error { error, status: Status::Miss, shared: true },
    }
}
