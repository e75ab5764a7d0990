//! A new value in the background, and what callers do meanwhile: they take the old one.

use super::claim::{Claim, Way};
use super::fill::{Fill, Own};
use super::run::{Call, shared};
use super::{Landing, Outcome, Sharing, Standing, Status, Times};
use crate::clock;
use crate::entry;
use crate::flight::{Boarding, Ending, Flight, Ticket};
use crate::index::Token;
use crate::port::{Answer, Ask, Snapshot};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The right and the duty to make an entry anew in the background.
pub struct Renewal<V: Clone> {
    /// For those who wait a little, and so that nobody else does the same.
    pub ticket: Ticket<Landing<V>>,
    /// When the entry was stored that is there now.
    pub seen: i64,
    /// Whether somebody waits: then so does this for a fill that is under way.
    pub awaited: bool,
}

impl<E: AsRef<[u8]>, V: Clone> Call<E, V> {
    /// Has the entry made anew in the background, unless somebody does that already or it has just failed.
    pub(super) async fn renew_later(&self, snapshot: &Snapshot<E>, times: &Times) {
        let here = self.surroundings;
        let key = self.target.key;
        if here.dirty || here.reentrant || self.backoffs.is_waiting(&key, clock::now_ms()) {
            return;
        }
        let tokens = self.target.tokens(snapshot);
        if tokens.iter().flatten().any(Token::is_closed) {
            return; // it could not be stored
        }
        if let Boarding::Lead(ticket) = self.join_renewal(&tokens) {
            let renewal = Renewal { ticket, seen: times.cached_at, awaited: false };
            self.port.ask(Ask::Renew { renewal }).await;
        }
    }

    fn join_renewal(&self, seen: &[Option<Token>]) -> Boarding<Landing<V>> {
        let target = &self.target;
        let longest = target.flight_timeout;
        self.renewals.join_within(target.key, target.started, seen, target.crew, longest)
    }

    /// Waits a little for a new value that is made in the background, and takes the old one if it is late or
    /// fails. `None`: by now there is none.
    pub(super) async fn wait_a_little(
        &self,
        tokens: &[Option<Token>],
        times: &Times,
        timeout: Duration,
    ) -> Option<Outcome<E, V>> {
        let flight = match self.join_renewal(tokens) {
            Boarding::Alone => None,
            Boarding::Wait(flight) => Some(flight),
            Boarding::Lead(ticket) => {
                let flight = ticket.flight();
                let renewal = Renewal { ticket, seen: times.cached_at, awaited: true };
                let begun =
                    matches!(self.port.ask(Ask::Renew { renewal }).await, Answer::Done(true));
                begun.then_some(flight)
            }
        };
        match self.ending_of(flight, timeout).await {
            None | Some(Landing::Error { spares: true, .. }) => {
                self.spare().await.map(|found| found.outcome(None))
            }
            Some(landing) => Some(shared(landing)),
        }
    }

    async fn ending_of(
        &self,
        flight: Option<Arc<Flight<Landing<V>>>>,
        timeout: Duration,
    ) -> Option<Landing<V>> {
        match self.port.ask(Ask::Wait { flight: flight?, timeout }).await {
            Answer::Ended(Some(Ending::Landed(landing))) => Some(landing),
            _ => None,
        }
    }

    /// What is there now that may stand in for an exception. It is read for that: what has been invalidated
    /// since the call began is not served.
    pub(super) async fn spare(&self) -> Option<Found<E>> {
        if self.target.windows.if_error == 0 || self.surroundings.dirty {
            return None;
        }
        let snapshot = self.read(None).await?;
        let (times, payload) = self.target.check(&snapshot)?;
        let now = clock::now_ms();
        if !self.target.windows.spares(&times, now) {
            return None;
        }
        let is_fresh = times.expires_at.is_none_or(|end| now < end);
        let status = if is_fresh { Status::Hit } else { Status::Stale };
        Some(Found { entry: snapshot.entry?, times, payload, status })
    }

    /// Makes the entry anew that the renewal is about. If it is gone or another, there is nothing to do: who
    /// needs a value gets one for himself.
    pub(super) async fn renew(mut self) -> Outcome<E, V> {
        let began = Instant::now();
        let here = self.surroundings;
        let Some(Renewal { ticket: renewal, seen, awaited }) = self.renewal.take() else {
            return Outcome::Missing;
        };
        if here.bypassed || here.dirty || here.reentrant {
            return Outcome::Missing;
        }
        let Some(mut tokens) = self.tokens_of(seen).await else { return Outcome::Missing };
        let Some(own) = tokens.last().copied().flatten() else { return Outcome::Missing };
        if !self.sees(&tokens) {
            return Outcome::Missing;
        }
        let mut fill = Fill { seen: Some(seen), ..Fill::new(Status::Refresh) };
        if self.target.sharing != Sharing::Nobody {
            let (key, crew) = (self.target.key, self.target.crew);
            match self.flights.join(key, self.target.started, &tokens, crew) {
                Boarding::Lead(ticket) => fill.tickets.push(ticket),
                Boarding::Wait(flight) if awaited => {
                    let timeout = self.target.flight_timeout;
                    if let Some(landing) = self.ending_of(Some(flight), timeout).await {
                        renewal.land(landing);
                    }
                    return Outcome::Missing;
                }
                Boarding::Wait(_) | Boarding::Alone => return Outcome::Missing,
            }
            // Another fill may have ended between the look and the take-off.
            let Some(again) = self.tokens_of(seen).await else { return Outcome::Missing };
            tokens = again;
        }
        fill.tickets.push(renewal);
        let mut own = Own::Kept(own);
        if self.target.sharing == Sharing::Cluster && self.target.index.is_none() {
            // All contend for the same lease once every scope has a generation.
            if !self.complete(&mut tokens).await {
                return Outcome::Missing;
            }
            let way = Way { began, kept: Some(own.token()), but: Some(seen), waits: awaited };
            match self.claim(&mut tokens, &way).await {
                Claim::Leased(lease, of_claim) => {
                    fill.lease = Some(lease);
                    own = of_claim;
                }
                Claim::Taken => {
                    self.backoffs.is_busy(self.target.key, clock::now_ms());
                    return Outcome::Missing;
                }
                Claim::Unleased if awaited => {}
                Claim::Unleased | Claim::TimedOut | Claim::Found { .. } => return Outcome::Missing,
            }
        }
        let complete = self.complete(&mut tokens).await;
        if !complete || tokens.iter().flatten().any(Token::is_closed) {
            if let Some(lease) = fill.lease {
                self.release(lease, !complete).await;
            }
            return Outcome::Missing;
        }
        self.fill(tokens, own, fill).await
    }

    /// Whether the result of a run that is to replace what was stored at `seen` would displace something newer:
    /// a refresh may have come in between. The fence alone would only make it void.
    pub(super) async fn would_displace(&self, seen: Option<i64>, fence: &[Token]) -> bool {
        let Some(seen) = seen else { return false };
        let Some(snapshot) = self.read(None).await else { return true };
        let current = self.target.tokens(&snapshot);
        if !current.iter().copied().eq(fence.iter().copied().map(Some)) {
            return true;
        }
        // What was stored under these very generations, and not what a soft change has left.
        let stored = snapshot.entry.as_ref().and_then(|entry| entry::open(entry.as_ref()));
        stored.is_some_and(|(header, _)| {
            header.plan == self.target.plan && header.tokens == fence && header.cached_at != seen
        })
    }

    /// The generations of the entry that was stored at `seen`, if that is there and valid.
    async fn tokens_of(&self, seen: i64) -> Option<Vec<Option<Token>>> {
        let snapshot = self.read(None).await?;
        let (times, _) = self.target.check(&snapshot)?;
        let windows = &self.target.windows;
        let is_over = windows.standing(&times, clock::now_ms()) == Standing::Over;
        (times.cached_at == seen && !is_over).then(|| self.target.tokens(&snapshot))
    }
}

/// An entry that is served.
pub(super) struct Found<E> {
    entry: E,
    times: Times,
    payload: usize,
    status: Status,
}

impl<E> Found<E> {
    pub(super) fn of(snapshot: Snapshot<E>, times: Times, payload: usize, status: Status) -> Self {
        let entry = snapshot.entry.expect("a valid entry is there");
        Self { entry, times, payload, status }
    }

    /// What the call ends with. `spared` is the exception for which it stands in.
    pub(super) fn outcome<V>(self, spared: Option<V>) -> Outcome<E, V> {
        let Self { entry, times, payload, status } = self;
        Outcome::Found { entry, times, payload, status, spared }
    }
}
