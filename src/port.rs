//! A call asks for I/O without doing it, so that one flow serves threads and asyncio alike.
//!
//! The flow of a call is a Rust future. Whenever it needs the world (a read, the function, a
//! pause) it leaves an [`Ask`] and suspends; whoever drives it does what was asked, in whatever
//! way it likes to wait, and resumes it with the [`Answer`].

use crate::call::{Landing, Outcome, Renewal};
use crate::flight::{Ending, Flight};
use crate::index::{Grace, ScopeId, Token};
use parking_lot::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// What a call needs from outside.
pub enum Ask<V: Clone> {
    /// The entry and its generations, in one round trip; the lease too if asked for.
    Read { lease: Option<String> },
    /// Tokens for the scopes at these positions, the own one last: add, then read back.
    Create { missing: Vec<usize> },
    /// The cluster's lease, and if it was had, what is stored now.
    Claim { lease: String, own: Token },
    /// The entry's own token, before the function runs. Where this process keeps the tokens it is
    /// set already, and the storage notes where it stands.
    Arm { own: Token },
    /// That the entry's own token, which is to stay, lives as long as a new one would.
    Prolong { own: Token },
    /// A new value in the background, while this call goes on.
    Renew { renewal: Renewal<V> },
    /// The function. `store`: the result may be stored, so ask predicate and ttl. `share`: others
    /// may be waiting, so keep a copy for them.
    Run { store: bool, share: bool },
    /// The scopes of tags that the function has added.
    Added,
    /// Tokens for these scopes: add, then read back.
    Ensure { scopes: Vec<ScopeId> },
    /// The entry under its key.
    Store { entry: Vec<u8>, timeout_ms: Option<i64> },
    /// The entry and its own token gone.
    Forget,
    /// The lease gone, or marked as having led to nothing that others could read.
    Release { lease: String, barren: bool },
    /// The end of another caller's flight.
    Wait { flight: Arc<Flight<Landing<V>>>, timeout: Duration },
    /// Some time.
    Pause { seconds: f64 },
}

/// What is stored for a call right now.
pub struct Snapshot<E> {
    /// The entry's bytes.
    pub entry: Option<E>,
    /// Shared scopes in order, the own one last. Empty where this process keeps them.
    pub tokens: Vec<Option<Token>>,
    /// Of the soft scopes, which are the last of the shared ones. Empty where this process keeps them.
    pub graces: Vec<Option<Grace>>,
    /// What the lease says.
    pub lease: Lease,
}

/// State of a cluster lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// Nobody holds it.
    Free,
    /// Held by the filler who drew this own token.
    Held(Token),
    /// Its holder finished and stored nothing.
    Barren,
}

/// What came of running the function.
pub enum Ran<E, V> {
    /// A value, and what to store if it is to be stored.
    Returned { value: V, storable: Option<Storable<E>> },
    /// A value that belongs to this caller's open transaction, and to nobody else.
    Private { value: V },
    /// An exception, for everybody who waits, and whether a stale value spares it.
    Raised { error: V, spares: bool },
    /// An interruption of this caller alone (cancelled, exiting, inside a transaction).
    Interrupted { error: V },
}

/// A payload and how long it is valid.
pub struct Storable<E> {
    /// The pickled value.
    pub payload: E,
    /// Milliseconds; `None` is for ever.
    pub ttl_ms: Option<i64>,
}

/// The reply to an [`Ask`].
pub enum Answer<E, V> {
    /// To `Read`, and to `Claim` when the lease was had; `None` when the backend is down.
    Snapshot(Option<Snapshot<E>>),
    /// To `Claim`: somebody else holds the lease.
    Taken,
    /// To `Added`.
    Scopes(Vec<ScopeId>),
    /// To `Create` and `Ensure`: the tokens now current, `None` when the backend is down.
    Tokens(Option<Vec<Option<Token>>>),
    /// To `Run`.
    Ran(Ran<E, V>),
    /// To `Wait`; `None` when the time was over.
    Ended(Option<Ending<Landing<V>>>),
    /// To everything else: whether it worked.
    Done(bool),
}

/// Where asks and answers change hands.
pub struct Port<E, V: Clone> {
    slot: Mutex<Slot<E, V>>,
}

enum Slot<E, V: Clone> {
    Empty,
    Ask(Ask<V>),
    Answer(Answer<E, V>),
}

impl<E, V: Clone> Port<E, V> {
    /// Leaves `ask` for the driver and waits for its answer.
    pub async fn ask(&self, ask: Ask<V>) -> Answer<E, V> {
        *self.slot.lock() = Slot::Ask(ask);
        Handover { port: self, left: false }.await
    }
}

struct Handover<'a, E, V: Clone> {
    port: &'a Port<E, V>,
    left: bool,
}

impl<E, V: Clone> Future for Handover<'_, E, V> {
    type Output = Answer<E, V>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.left {
            self.left = true;
            return Poll::Pending;
        }
        match std::mem::replace(&mut *self.port.slot.lock(), Slot::Empty) {
            Slot::Answer(answer) => Poll::Ready(answer),
            _ => unreachable!("a flow is resumed with an answer"),
        }
    }
}

type Running<E, V> = Pin<Box<dyn Future<Output = Outcome<E, V>> + Send>>;

/// A call that is under way. Dropping it abandons whatever it leads.
pub struct Flow<E, V: Clone> {
    port: Arc<Port<E, V>>,
    running: Running<E, V>,
}

/// Where a flow stands.
pub enum Progress<E, V: Clone> {
    /// It needs this.
    Asks(Ask<V>),
    /// It is over.
    Over(Outcome<E, V>),
}

impl<E, V: Clone> Flow<E, V> {
    /// Prepares a flow; nothing happens before the first [`Flow::resume`].
    pub fn new<F>(make: impl FnOnce(Arc<Port<E, V>>) -> F) -> Self
    where
        F: Future<Output = Outcome<E, V>> + Send + 'static,
    {
        let port = Arc::new(Port { slot: Mutex::new(Slot::Empty) });
        Self { running: Box::pin(make(Arc::clone(&port))), port }
    }

    /// Goes on until the next ask or the end. The first call has no answer to give.
    pub fn resume(&mut self, answer: Option<Answer<E, V>>) -> Progress<E, V> {
        if let Some(answer) = answer {
            *self.port.slot.lock() = Slot::Answer(answer);
        }
        match self.running.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Progress::Over(outcome),
            Poll::Pending => match std::mem::replace(&mut *self.port.slot.lock(), Slot::Empty) {
                Slot::Ask(ask) => Progress::Asks(ask),
                _ => unreachable!("a flow suspends only to ask"),
            },
        }
    }
}
