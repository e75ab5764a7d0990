//! The cluster's lease: among the processes that share a backend, one fills.

use super::Times;
use super::fill::Own;
use super::run::Call;
use crate::index::Token;
use crate::port::{Answer, Ask, Lease};
use std::time::Instant;

/// Pauses between two looks at somebody else's lease, in seconds.
const FIRST_PAUSE: f64 = 0.002;
const LONGEST_PAUSE: f64 = 0.1;
/// So many looks (about a second) a holder may take between its two writes, lease and own token.
const DOUBTS: usize = 16;

/// What came of asking for the lease.
pub(super) enum Claim<E> {
    Leased(Held, Own),
    /// Somebody else has it, and this call does not wait.
    Taken,
    Unleased,
    Found {
        entry: E,
        times: Times,
        payload: usize,
    },
    TimedOut,
}

/// How a call goes about the lease.
pub(super) struct Way {
    /// When the call began.
    pub began: Instant,
    /// The own token of the entry that is to be served meanwhile, if there is one.
    pub kept: Option<Token>,
    /// When that was stored, if it is to be made anew although its time is not over.
    pub but: Option<i64>,
    /// Whether it waits for who has it.
    pub waits: bool,
}

/// A lease that this call holds.
pub(super) struct Held {
    key: String,
    since: Instant,
}

impl<E: AsRef<[u8]>, V: Clone> Call<E, V> {
    /// Takes the lease, or waits for what its holder stores.
    pub(super) async fn claim(&self, tokens: &mut Vec<Option<Token>>, way: &Way) -> Claim<E> {
        let mut own = way.kept.map_or_else(|| Own::Drawn(Token::fresh()), Own::Kept);
        let mut pause = FIRST_PAUSE;
        let mut doubts = 0;
        'claim: loop {
            let lease = self.target.lease_key(tokens);
            let held = Held { key: lease.clone(), since: Instant::now() };
            match self.port.ask(Ask::Claim { lease: lease.clone(), own: own.token() }).await {
                Answer::Taken if way.waits => {}
                Answer::Taken => return Claim::Taken,
                Answer::Snapshot(Some(snapshot)) => {
                    if let Some((times, payload)) = self.target.fresh(&snapshot, way.but) {
                        self.release(held, false).await;
                        let entry = snapshot.entry.expect("a valid entry is there");
                        return Claim::Found { entry, times, payload };
                    }
                    *tokens = snapshot.tokens;
                    return Claim::Leased(held, own);
                }
                _ => return Claim::Unleased,
            }
            loop {
                if way.began.elapsed() >= self.target.flight_timeout {
                    return Claim::TimedOut;
                }
                self.port.ask(Ask::Pause { seconds: pause }).await;
                pause = (pause * 1.5).min(LONGEST_PAUSE);
                let Some(snapshot) = self.read(Some(lease.clone())).await else {
                    return Claim::Unleased;
                };
                if let Some((times, payload)) = self.target.fresh(&snapshot, way.but) {
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
                    Lease::Free => {
                        // The holder died or is slow. If he is slow he may still finish, so his
                        // token stays; whatever changes it voids this fill like his.
                        if let Some(token) = own_now {
                            own = Own::Kept(token);
                        }
                        continue 'claim;
                    }
                    Lease::Barren => return Claim::Unleased,
                    // A holder whose own token is not there fills in vain (the entry was deleted
                    // meanwhile), or has not come to write it yet.
                    Lease::Held(holder) if own_now != Some(holder) => {
                        doubts += 1;
                        if doubts == DOUBTS {
                            return Claim::Unleased;
                        }
                    }
                    Lease::Held(_) => doubts = 0,
                }
            }
        }
    }

    /// Gives the lease back, unless its time is over and it may be another's by now.
    pub(super) async fn release(&self, held: Held, barren: bool) {
        if held.since.elapsed() < self.target.lease_timeout {
            self.port.ask(Ask::Release { lease: held.key, barren }).await;
        }
    }
}
