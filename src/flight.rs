//! Single flight: who fills a cold key, and who waits for him.
//!
//! A flight belongs to a key *and* to what its caller saw. The rule for joining is one sentence:
//! a caller may take a flight's result if the function had not begun to run when the caller's
//! own call started, or if the caller has read exactly the generations that the flight carries.
//! Either way nothing that was invalidated before the call started can reach him.

use crate::index::Token;
use crate::key::Digest;
use ahash::RandomState;
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

static SEQUENCE: AtomicU64 = AtomicU64::new(1);
static FORKS: AtomicU64 = AtomicU64::new(0);

/// The next number of the process-wide order of events.
pub fn next_sequence() -> u64 {
    SEQUENCE.fetch_add(1, Ordering::SeqCst)
}

/// To be called in the child after a fork: flights of the parent's threads will never land here.
pub fn forked() {
    FORKS.fetch_add(1, Ordering::SeqCst);
}

/// How often this process has been forked off, counted from its first ancestor.
pub fn forks() -> u64 {
    FORKS.load(Ordering::SeqCst)
}

/// What runs the function: an operating-system thread, or an asyncio task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crew {
    /// Waiting blocks the thread.
    Thread,
    /// Waiting suspends the task.
    Task,
}

/// How a flight ended.
#[derive(Debug, Clone)]
pub enum Ending<T> {
    /// With something for everybody on board.
    Landed(T),
    /// With nothing (cancelled, killed): somebody else has to lead.
    Abandoned,
}

type Waker = Box<dyn FnOnce() + Send>;

struct State<T> {
    armed: Option<(u64, Vec<Token>)>,
    ending: Option<Ending<T>>,
    wakers: Vec<Waker>,
}

/// One run of the function that others may wait for.
pub struct Flight<T> {
    state: Mutex<State<T>>,
    ended: Condvar,
    crew: Crew,
    began: Instant,
}

impl<T: Clone> Flight<T> {
    fn new(crew: Crew) -> Self {
        let state = State { armed: None, ending: None, wakers: Vec::new() };
        Self { state: Mutex::new(state), ended: Condvar::new(), crew, began: Instant::now() }
    }

    fn admits(&self, started: u64, seen: &[Option<Token>]) -> bool {
        match &self.state.lock().armed {
            None => true,
            Some((armed, fence)) => {
                started < *armed
                    || (seen.len() == fence.len()
                        && seen.iter().zip(fence).all(|(s, f)| s.as_ref() == Some(f)))
            }
        }
    }

    /// Blocks until the flight ends; `None` when `timeout` passed first.
    pub fn wait(&self, timeout: Duration) -> Option<Ending<T>> {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock();
        while state.ending.is_none() {
            if self.ended.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.ending.clone()
    }

    /// How it ended, if it has.
    pub fn ending(&self) -> Option<Ending<T>> {
        self.state.lock().ending.clone()
    }

    /// Calls `waker` once when the flight ends, at once if it has ended.
    pub fn on_end(&self, waker: Waker) {
        let mut state = self.state.lock();
        if state.ending.is_none() {
            state.wakers.push(waker);
            return;
        }
        drop(state);
        waker();
    }

    fn end(&self, ending: Ending<T>) {
        let mut state = self.state.lock();
        state.ending = Some(ending);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.ended.notify_all();
        for waker in wakers {
            waker();
        }
    }
}

/// What a caller of a cold key is to do.
pub enum Boarding<T: Clone> {
    /// Fill, and land the ticket.
    Lead(Ticket<T>),
    /// Wait for this flight.
    Wait(Arc<Flight<T>>),
    /// Run without sharing.
    Alone,
}

type Board<T> = HashMap<Digest, Arc<Flight<T>>, RandomState>;

/// The flights of one wrapper.
pub struct Flights<T> {
    board: Mutex<(u64, Board<T>)>,
    refreshes: Mutex<HashMap<Digest, (usize, u64), RandomState>>,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self {
            board: Mutex::new((FORKS.load(Ordering::SeqCst), HashMap::default())),
            refreshes: Mutex::new(HashMap::default()),
        }
    }
}

impl<T: Clone> Flights<T> {
    fn board<R>(&self, visit: impl FnOnce(&mut Board<T>) -> R) -> R {
        let mut board = self.board.lock();
        let forks = FORKS.load(Ordering::SeqCst);
        if board.0 != forks {
            // The flights belong to threads of the parent, and so may what they hold.
            std::mem::forget(std::mem::take(&mut board.1));
            board.0 = forks;
        }
        visit(&mut board.1)
    }

    /// Joins the flight of `key`, or starts one. `started` is the caller's [`next_sequence`]
    /// from before its read, `seen` the tokens it read.
    pub fn join(
        self: &Arc<Self>,
        key: Digest,
        started: u64,
        seen: &[Option<Token>],
        crew: Crew,
    ) -> Boarding<T> {
        let mut replaced = None;
        let boarding = self.board(|board| {
            if let Some(flight) = board.get(&key)
                && flight.admits(started, seen)
            {
                // A task may need this very thread to finish, so a thread never waits for it.
                return match (flight.crew, crew) {
                    (Crew::Task, Crew::Thread) => Boarding::Alone,
                    _ => Boarding::Wait(Arc::clone(flight)),
                };
            }
            let flight = Arc::new(Flight::new(crew));
            replaced = board.insert(key, Arc::clone(&flight));
            Boarding::Lead(self.ticket(key, flight))
        });
        drop(replaced); // outside the lock: what it holds may run code of the user when dropped
        boarding
    }

    /// [`Flights::join`], unless the flight has been in the air for so long that nobody believes in it any
    /// more: the event loop that it needs may be gone.
    pub fn join_within(
        self: &Arc<Self>,
        key: Digest,
        started: u64,
        seen: &[Option<Token>],
        crew: Crew,
        longest: Duration,
    ) -> Boarding<T> {
        let is_lost = |flight: &Arc<Flight<T>>| flight.began.elapsed() >= longest;
        if self.board(|board| board.get(&key).is_some_and(is_lost)) {
            return Boarding::Lead(self.lead(key, crew));
        }
        self.join(key, started, seen, crew)
    }

    /// Starts a flight of `key` whatever else is in the air.
    pub fn lead(self: &Arc<Self>, key: Digest, crew: Crew) -> Ticket<T> {
        let flight = Arc::new(Flight::new(crew));
        let replaced = self.board(|board| board.insert(key, Arc::clone(&flight)));
        drop(replaced);
        self.ticket(key, flight)
    }

    fn ticket(self: &Arc<Self>, key: Digest, flight: Arc<Flight<T>>) -> Ticket<T> {
        Ticket {
            flights: Arc::clone(self),
            key,
            flight,
            forks: FORKS.load(Ordering::SeqCst),
            done: false,
        }
    }

    /// Enters a refresh into the order in which overlapping refreshes of one key may store.
    pub fn refreshing(self: &Arc<Self>, key: Digest) -> RefreshTurn<T> {
        self.refreshes.lock().entry(key).or_insert((0, 0)).0 += 1;
        RefreshTurn { flights: Arc::clone(self), key, started: next_sequence() }
    }
}

/// The right and the duty of a leader to end its flight. Dropping it abandons the flight.
pub struct Ticket<T: Clone> {
    flights: Arc<Flights<T>>,
    key: Digest,
    flight: Arc<Flight<T>>,
    forks: u64,
    done: bool,
}

impl<T: Clone> Ticket<T> {
    /// The function is about to run, fenced by these tokens.
    pub fn arm(&self, fence: Vec<Token>) {
        self.flight.state.lock().armed = Some((next_sequence(), fence));
    }

    /// What those on board wait for.
    #[must_use]
    pub fn flight(&self) -> Arc<Flight<T>> {
        Arc::clone(&self.flight)
    }

    /// From now on only those may join whose own call started before the function ran.
    pub fn depart(&self) {
        if let Some((_, fence)) = &mut self.flight.state.lock().armed {
            fence.clear();
        }
    }

    /// Hands the result to everybody who waits.
    pub fn land(mut self, result: T) {
        self.end(Ending::Landed(result));
    }

    fn end(&mut self, ending: Ending<T>) {
        if self.done || self.forks != FORKS.load(Ordering::SeqCst) {
            return;
        }
        self.done = true;
        let gone = self.flights.board(|board| {
            let mine = board.get(&self.key).is_some_and(|f| Arc::ptr_eq(f, &self.flight));
            if mine { board.remove(&self.key) } else { None }
        });
        self.flight.end(ending);
        drop(gone);
    }
}

impl<T: Clone> Drop for Ticket<T> {
    fn drop(&mut self) {
        self.end(Ending::Abandoned);
    }
}

/// One refresh among overlapping ones of a key.
pub struct RefreshTurn<T: Clone> {
    flights: Arc<Flights<T>>,
    key: Digest,
    started: u64,
}

impl<T: Clone> RefreshTurn<T> {
    /// Whether no refresh that started later has stored already; if so this one has.
    #[must_use]
    pub fn may_store(&self) -> bool {
        let mut refreshes = self.flights.refreshes.lock();
        let Some((_, stored)) = refreshes.get_mut(&self.key) else {
            return true;
        };
        let newest = *stored < self.started;
        if newest {
            *stored = self.started;
        }
        newest
    }
}

impl<T: Clone> Drop for RefreshTurn<T> {
    fn drop(&mut self) {
        let mut refreshes = self.flights.refreshes.lock();
        if let Some((active, _)) = refreshes.get_mut(&self.key) {
            *active -= 1;
            if *active == 0 {
                refreshes.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Boarding, Crew, Ending, Flights, next_sequence};
    use crate::index::Token;
    use crate::key::Digest;
    use std::sync::Arc;
    use std::time::Duration;

    type Table = Arc<Flights<u32>>;

    fn lead(flights: &Table, key: Digest) -> super::Ticket<u32> {
        match flights.join(key, next_sequence(), &[None], Crew::Thread) {
            Boarding::Lead(ticket) => ticket,
            _ => panic!("nobody else leads"),
        }
    }

    #[test]
    fn waiters_get_the_leaders_result() {
        let flights = Table::default();
        let key = Digest::of(&[0; 32], b"key");
        let ticket = lead(&flights, key);
        let waiters: Vec<_> = (0..4)
            .map(|_| {
                let Boarding::Wait(flight) =
                    flights.join(key, next_sequence(), &[None], Crew::Thread)
                else {
                    panic!("a leader is there")
                };
                std::thread::spawn(move || flight.wait(Duration::from_mins(1)))
            })
            .collect();
        ticket.land(42);
        for waiter in waiters {
            assert!(matches!(waiter.join().unwrap(), Some(Ending::Landed(42))));
        }
    }

    #[test]
    fn nobody_joins_a_flight_older_than_what_he_saw() {
        let flights = Table::default();
        let key = Digest::of(&[0; 32], b"key");
        let early = next_sequence();
        let ticket = lead(&flights, key);
        let fence = Token::fresh();
        ticket.arm(vec![fence]);
        let late = next_sequence();
        let join = |started, seen| flights.join(key, started, &[seen], Crew::Thread);
        assert!(matches!(join(early, None), Boarding::Wait(_)));
        assert!(matches!(join(late, Some(fence)), Boarding::Wait(_)));
        // Started after the function began, and the generation has changed since.
        assert!(matches!(join(late, None), Boarding::Lead(_)));
        assert!(matches!(join(late, Some(Token::fresh())), Boarding::Lead(_)));
    }

    #[test]
    fn a_dropped_ticket_frees_the_key() {
        let flights = Table::default();
        let key = Digest::of(&[0; 32], b"key");
        let ticket = lead(&flights, key);
        let Boarding::Wait(flight) = flights.join(key, next_sequence(), &[None], Crew::Task) else {
            panic!("a leader is there")
        };
        drop(ticket);
        assert!(matches!(flight.ending(), Some(Ending::Abandoned)));
        drop(lead(&flights, key));
    }

    #[test]
    fn a_thread_never_waits_for_a_task() {
        let flights = Table::default();
        let key = Digest::of(&[0; 32], b"key");
        let _ticket = flights.lead(key, Crew::Task);
        let join = |crew| flights.join(key, next_sequence(), &[None], crew);
        assert!(matches!(join(Crew::Thread), Boarding::Alone));
        assert!(matches!(join(Crew::Task), Boarding::Wait(_)));
    }

    #[test]
    fn the_refresh_that_started_later_wins() {
        let flights = Table::default();
        let key = Digest::of(&[0; 32], b"key");
        let first = flights.refreshing(key);
        let second = flights.refreshing(key);
        assert!(second.may_store());
        assert!(!first.may_store());
        drop((first, second));
        assert!(flights.refreshing(key).may_store());
    }
}
