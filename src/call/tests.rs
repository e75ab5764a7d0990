//! The flow against a shared backend that is a map.

use super::{Call, First, Landing, Mode, Outcome, Sharing, Status, Surroundings, Target, Windows};
use crate::backoff::Backoffs;
use crate::flight::{Crew, Flights, next_sequence};
use crate::index::{ScopeId, Token};
use crate::key::Digest;
use crate::port::{Answer, Ask, Flow, Lease, Progress, Ran, Snapshot, Storable};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

type Table = Arc<Flights<Landing<u32>>>;
type Bytes = Vec<u8>;
const OWN: usize = 1;

/// One shared scope, one entry, one lease.
#[derive(Default)]
struct Backend {
    entry: Option<Bytes>,
    tokens: HashMap<usize, Token>,
    lease: Option<Token>,
}

impl Backend {
    fn snapshot(&self) -> Snapshot<Bytes> {
        let tokens = (0..=OWN).map(|at| self.tokens.get(&at).copied()).collect();
        let lease = self.lease.map_or(Lease::Free, Lease::Held);
        Snapshot { entry: self.entry.clone(), tokens, graces: Vec::new(), lease }
    }

    /// Does what a call asks; `None` for what its driver does itself.
    fn answer(&mut self, ask: &Ask<u32>) -> Option<Answer<Bytes, u32>> {
        Some(match ask {
            Ask::Read { .. } => Answer::Snapshot(Some(self.snapshot())),
            Ask::Create { missing } => {
                let made = missing
                    .iter()
                    .map(|&at| Some(*self.tokens.entry(at).or_insert_with(Token::fresh)));
                Answer::Tokens(Some(made.collect()))
            }
            Ask::Claim { own, .. } => {
                if self.lease.is_some() {
                    Answer::Taken
                } else {
                    self.lease = Some(*own);
                    Answer::Snapshot(Some(self.snapshot()))
                }
            }
            Ask::Arm { own } => {
                self.tokens.insert(OWN, *own);
                Answer::Done(true)
            }
            Ask::Store { entry, .. } => {
                self.entry = Some(entry.clone());
                Answer::Done(true)
            }
            Ask::Release { .. } => {
                self.lease = None;
                Answer::Done(true)
            }
            Ask::Forget => {
                self.entry = None;
                self.tokens.remove(&OWN);
                Answer::Done(true)
            }
            Ask::Pause { .. } => Answer::Done(true),
            Ask::Added => Answer::Scopes(Vec::new()),
            Ask::Ensure { .. } => Answer::Tokens(None),
            Ask::Prolong { own } => Answer::Done(self.tokens.get(&OWN) == Some(own)),
            Ask::Run { .. } | Ask::Wait { .. } | Ask::Renew { .. } => return None,
        })
    }
}

fn flow(flights: &Table, sharing: Sharing, mode: Mode) -> Flow<Bytes, u32> {
    let target = Target {
        key: Digest::of(&[0; 32], b"key"),
        plan: 1,
        origin: 0,
        scopes: vec![ScopeId::of(b"function")],
        index: None,
        sharing,
        crew: Crew::Task,
        flight_timeout: Duration::from_mins(1),
        soft: 0,
        lease_timeout: Duration::from_mins(1),
        adds_tags: false,
        started: next_sequence(),
        windows: Windows::default(),
    };
    let flights = Arc::clone(flights);
    let surroundings = Surroundings::default();
    Flow::new(move |port| {
        let (renewals, backoffs) = (Table::default(), Arc::<Backoffs>::default());
        let call = Call { target, surroundings, flights, renewals, backoffs, port, renewal: None };
        call.run(mode, First::Unread)
    })
}

fn returned(value: u32) -> Answer<Bytes, u32> {
    let storable = Some(Storable { payload: value.to_le_bytes().to_vec(), ttl_ms: None });
    Answer::Ran(Ran::Returned { value, storable })
}

/// Goes on until the call wants to run the function or to wait, or is over.
fn advance(
    backend: &mut Backend,
    flow: &mut Flow<Bytes, u32>,
    mut answer: Option<Answer<Bytes, u32>>,
) -> Progress<Bytes, u32> {
    loop {
        match flow.resume(answer) {
            Progress::Asks(ask) => match backend.answer(&ask) {
                Some(reply) => answer = Some(reply),
                None => return Progress::Asks(ask),
            },
            over @ Progress::Over(_) => return over,
        }
    }
}

fn value(progress: &Progress<Bytes, u32>) -> Option<(u32, Status)> {
    match progress {
        Progress::Over(Outcome::Value { value, status, .. }) => Some((*value, *status)),
        Progress::Over(Outcome::Found { entry, payload, .. }) => {
            let bytes = entry[*payload..].try_into().expect("four bytes");
            Some((u32::from_le_bytes(bytes), Status::Hit))
        }
        _ => None,
    }
}

fn call(backend: &mut Backend, flights: &Table, mode: Mode, computed: u32) -> (u32, Status) {
    let mut flow = flow(flights, Sharing::Cluster, mode);
    let mut progress = advance(backend, &mut flow, None);
    if matches!(progress, Progress::Asks(Ask::Run { .. })) {
        progress = advance(backend, &mut flow, Some(returned(computed)));
    }
    value(&progress).expect("the call is over")
}

#[test]
fn a_miss_fills_and_the_next_call_hits() {
    let (mut backend, flights) = (Backend::default(), Table::default());
    assert_eq!(call(&mut backend, &flights, Mode::Get, 1), (1, Status::Miss));
    assert_eq!(call(&mut backend, &flights, Mode::Get, 2), (1, Status::Hit));
    assert_eq!(call(&mut backend, &flights, Mode::Refresh, 3), (3, Status::Refresh));
    assert_eq!(call(&mut backend, &flights, Mode::Get, 4), (3, Status::Hit));
    assert_eq!(backend.lease, None);
}

#[test]
fn a_scope_that_changes_during_the_run_makes_the_entry_void() {
    for mode in [Mode::Get, Mode::Refresh] {
        for scope in [0, OWN] {
            let (mut backend, flights) = (Backend::default(), Table::default());
            let mut flow = flow(&flights, Sharing::Cluster, mode);
            let running = advance(&mut backend, &mut flow, None);
            assert!(matches!(running, Progress::Asks(Ask::Run { .. })));
            backend.tokens.insert(scope, Token::fresh());
            advance(&mut backend, &mut flow, Some(returned(1)));
            assert_eq!(call(&mut backend, &flights, Mode::Get, 2), (2, Status::Miss));
        }
    }
}

#[test]
fn a_second_caller_waits_for_the_first_unless_something_changed() {
    let (mut backend, flights) = (Backend::default(), Table::default());
    let mut first = flow(&flights, Sharing::Process, Mode::Get);
    let running = advance(&mut backend, &mut first, None);
    assert!(matches!(running, Progress::Asks(Ask::Run { .. })));

    let mut second = flow(&flights, Sharing::Process, Mode::Get);
    let Progress::Asks(Ask::Wait { flight, .. }) = advance(&mut backend, &mut second, None) else {
        panic!("the second caller waits")
    };
    backend.tokens.insert(0, Token::fresh());
    let mut third = flow(&flights, Sharing::Process, Mode::Get);
    let running = advance(&mut backend, &mut third, None);
    assert!(matches!(running, Progress::Asks(Ask::Run { .. })), "the third has seen a change");

    advance(&mut backend, &mut first, Some(returned(1)));
    let ended = Answer::Ended(flight.ending());
    assert_eq!(value(&advance(&mut backend, &mut second, Some(ended))), Some((1, Status::Miss)));
    let done = advance(&mut backend, &mut third, Some(returned(3)));
    assert_eq!(value(&done), Some((3, Status::Miss)));
    assert_eq!(call(&mut backend, &flights, Mode::Get, 4), (3, Status::Hit));
}

#[test]
fn a_call_that_is_dropped_while_it_leads_is_replaced() {
    let (mut backend, flights) = (Backend::default(), Table::default());
    let mut first = flow(&flights, Sharing::Process, Mode::Get);
    advance(&mut backend, &mut first, None);
    let mut second = flow(&flights, Sharing::Process, Mode::Get);
    let Progress::Asks(Ask::Wait { flight, .. }) = advance(&mut backend, &mut second, None) else {
        panic!("the second caller waits")
    };
    drop(first);
    let ended = Answer::Ended(flight.ending());
    let running = advance(&mut backend, &mut second, Some(ended));
    assert!(matches!(running, Progress::Asks(Ask::Run { .. })), "the second leads now");
}
