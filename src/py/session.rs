//! A call under way: turns what the flow asks into calls of the storage, and replies into answers.

use super::binding::{Binding, Prepared};
use super::copying::{Kept, keep};
use super::memory_view::{StoredCall, header};
use super::names;
use super::outcome::{Blob, Finished, Master, Product, Shared};
use super::plan::Parts;
use super::process;
use super::recorded;
use super::renewal::Job;
use super::ttl::Ttl;
use super::wrapper::Wrapper;
use crate::call::{Call, First, Mode, Outcome, Renewal, Status, Surroundings};
use crate::entry;
use crate::flight::{Crew, Flight};
use crate::index::{Generations, Grace, ScopeId, Token};
use crate::port::{Answer, Ask, Flow, Lease, Progress, Ran, Snapshot, Storable};
use crate::store::TooLarge;
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyList, PyString, PyTuple};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What waiters of one of our flights are handed.
pub type Landing = crate::call::Landing<Shared>;
type Replies = Answer<Blob, Shared>;

/// What the lease says when its holder stored nothing: no token is zero.
const BARREN: u128 = 0;

/// What the driver of a session is to do next.
pub enum Step<'py> {
    /// Call this method of the storage and reply with what it returns.
    Io { method: &'static str, args: Bound<'py, PyTuple> },
    /// Run the function.
    Run { store: bool, share: bool },
    /// Have an entry made anew in the background, and say whether that has begun.
    Renew(Job),
    /// Wait for another caller's flight.
    Wait { flight: Arc<Flight<Landing>>, timeout: Duration },
    /// Wait some seconds.
    Pause(f64),
    /// Done.
    Over(Finished),
}

/// How to read the next reply.
enum Expect {
    Nothing,
    Start,
    Run,
    Wait,
    Pause,
    Renew,
    Entry,
    Many {
        lease: bool,
    },
    Created,
    /// The generations of what was added while the entry was made.
    Recorded(Snapshot<Blob>),
    Claimed,
    Success,
    /// Where an in-process storage stands, to be given back when the entry is stored.
    Entered,
    /// The unreadable entry is gone: begin again.
    Recovered,
}

/// One call of one wrapper.
pub struct Session {
    wrapper: Py<Wrapper>,
    binding: Arc<Binding>,
    prepared: Prepared,
    mode: Mode,
    crew: Crew,
    flow: Flow<Blob, Shared>,
    expect: Expect,
    mark: Option<Py<PyAny>>,
    /// What an in-process storage is to store.
    value: Option<Py<PyAny>>,
    /// The same for our own store, and its epoch from before the function ran.
    kept: Option<Arc<Kept>>,
    epoch: u64,
    /// The lease that was asked for and not given back, and the token that says it is ours.
    lease: Option<(String, Token)>,
    recovered: bool,
}

impl Session {
    /// Prepares the session; `first` is a read that was made already.
    pub fn new(
        wrapper: &Bound<'_, Wrapper>,
        binding: Arc<Binding>,
        prepared: Prepared,
        mode: Mode,
        crew: Crew,
        first: First<Blob>,
        renewal: Option<Renewal<Shared>>,
    ) -> PyResult<Self> {
        let flow = begin(wrapper, &binding, &prepared, mode, crew, first, renewal)?;
        let wrapper = wrapper.clone().unbind();
        let expect = Expect::Start;
        Ok(Self {
            wrapper,
            binding,
            prepared,
            mode,
            crew,
            flow,
            expect,
            mark: None,
            value: None,
            kept: None,
            epoch: 0,
            lease: None,
            recovered: false,
        })
    }

    /// The lease, and its token, that a call which ends here would leave behind.
    pub fn held_lease(&self) -> Option<(String, u128)> {
        self.lease.as_ref().map(|(lease, own)| (lease.clone(), own.number()))
    }

    /// The context in which the function runs belongs to this key.
    pub fn key_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.prepared.parts.key.0)
    }

    /// The first step.
    pub fn start<'py>(&mut self, py: Python<'py>) -> PyResult<Step<'py>> {
        self.expect(&Expect::Start)?;
        self.go_on(py, None)
    }

    /// The step after a storage call that returned `reply`.
    pub fn reply<'py>(&mut self, reply: &Bound<'py, PyAny>) -> PyResult<Step<'py>> {
        let py = reply.py();
        let answer = match std::mem::replace(&mut self.expect, Expect::Nothing) {
            Expect::Success => Answer::Done(reply.is_truthy()?),
            other @ (Expect::Nothing
            | Expect::Start
            | Expect::Run
            | Expect::Wait
            | Expect::Renew
            | Expect::Pause) => {
                self.expect = other;
                return Err(PyRuntimeError::new_err("this is not what the call asked for"));
            }
            Expect::Entered => {
                self.mark = Some(reply.clone().unbind());
                Answer::Done(true)
            }
            Expect::Entry => {
                let entry = match &self.binding.index {
                    Some(index) => recorded::current_in(py, &**index, Blob::read(reply))?,
                    None => Blob::read(reply),
                };
                Answer::Snapshot(Some(kept_here(entry)))
            }
            Expect::Many { lease } => {
                let snapshot = snapshot(reply, &self.prepared.parts, lease)?;
                return self.looked_at(py, snapshot);
            }
            Expect::Recorded(mut snapshot) => {
                recorded::compare(&mut snapshot, reply);
                Answer::Snapshot(Some(snapshot))
            }
            Expect::Created if reply.is_none() => Answer::Tokens(None),
            Expect::Created => {
                let tokens = reply.try_iter()?.map(|token| Ok(token_of(&token?)));
                Answer::Tokens(Some(tokens.collect::<PyResult<_>>()?))
            }
            Expect::Claimed if reply.is_none() => Answer::Snapshot(None),
            Expect::Claimed if reply.is_instance_of::<PyList>() => {
                let snapshot = snapshot(reply, &self.prepared.parts, false)?;
                return self.looked_at(py, snapshot);
            }
            Expect::Claimed => {
                self.lease = None;
                Answer::Taken
            }
            Expect::Recovered => {
                let wrapper = self.wrapper.bind(py).clone();
                self.flow = begin(
                    &wrapper,
                    &self.binding,
                    &self.prepared,
                    self.mode,
                    self.crew,
                    First::Unread,
                    None,
                )?;
                return self.go_on(py, None);
            }
        };
        self.go_on(py, Some(answer))
    }

    /// The step after a read: what was added while the entry was made has to be read as well.
    fn looked_at<'py>(
        &mut self,
        py: Python<'py>,
        snapshot: Option<Snapshot<Blob>>,
    ) -> PyResult<Step<'py>> {
        let Some(mut snapshot) = snapshot else {
            return self.go_on(py, Some(Answer::Snapshot(None)));
        };
        match recorded::keys(py, &mut snapshot, self.binding.fingerprint)? {
            None => self.go_on(py, Some(Answer::Snapshot(Some(snapshot)))),
            Some(keys) => {
                self.expect = Expect::Recorded(snapshot);
                Ok(Step::Io { method: "read", args: (keys,).into_pyobject(py)? })
            }
        }
    }

    /// The step after the function returned `value`. `ttl` is `None` when it is not to be stored.
    pub fn returned<'py>(
        &mut self,
        value: &Bound<'py, PyAny>,
        ttl: Option<Ttl>,
        share: bool,
    ) -> PyResult<Step<'py>> {
        let py = value.py();
        self.expect(&Expect::Run)?;
        let private = self.is_private(py)?;
        let store = !private && !matches!(ttl, None | Some(Ttl::Nothing));
        let mut master = None;
        if store || (share && !private) {
            master = match self.master(value) {
                Ok(master) => Some(master),
                Err(error) if error.is_instance_of::<PyException>(py) => {
                    if store {
                        self.wrapper.bind(py).call_method1("_unpicklable", (error.value(py),))?;
                    }
                    None
                }
                Err(error) => {
                    self.expect = Expect::Run;
                    return self.raised(py, &error);
                }
            };
        }
        let storable = match (&master, ttl) {
            (Some(master), Some(ttl)) if store => Some(Storable {
                payload: self.payload(master, value),
                ttl_ms: match ttl {
                    Ttl::Millis(millis) => Some(millis),
                    _ => None,
                },
            }),
            _ => None,
        };
        let product = Arc::new(Product { value: value.clone().unbind(), master });
        if private {
            return self.go_on(py, Some(Answer::Ran(Ran::Private { value: product })));
        }
        self.go_on(py, Some(Answer::Ran(Ran::Returned { value: product, storable })))
    }

    /// What others' copies of a value are made from.
    fn master(&self, value: &Bound<'_, PyAny>) -> PyResult<Master> {
        if self.binding.memory.is_some() {
            return Ok(Master::Kept(Arc::new(keep(value)?)));
        }
        let pickled = names::pickle_dumps(value.py())?.call1((value, 5))?;
        Ok(Master::Pickle(pickled.cast_into::<PyBytes>()?.into()))
    }

    /// What the entry's bytes hold of a value. In-process stores are given the value beside the header.
    fn payload(&mut self, master: &Master, value: &Bound<'_, PyAny>) -> Blob {
        match master {
            Master::Kept(kept) => self.kept = Some(Arc::clone(kept)),
            Master::Pickle(_) if self.binding.index.is_some() => {
                self.value = Some(value.clone().unbind());
            }
            Master::Pickle(pickle) => return Blob::Python(pickle.clone_ref(value.py())),
        }
        Blob::Owned(Vec::new())
    }

    /// The step after the function raised.
    pub fn raised<'py>(&mut self, py: Python<'py>, error: &PyErr) -> PyResult<Step<'py>> {
        self.expect(&Expect::Run)?;
        let value = error.value(py).clone().into_any().unbind();
        let shared = Arc::new(Product { value, master: None });
        // CancelledError, KeyboardInterrupt and their like concern this caller alone, and so does
        // what goes wrong inside a transaction.
        let ran = if error.is_instance_of::<PyException>(py) && !self.is_private(py)? {
            let spares = self.wrapper.get().judge.spares(error.value(py))?;
            Ran::Raised { error: shared, spares }
        } else {
            Ran::Interrupted { error: shared }
        };
        self.go_on(py, Some(Answer::Ran(ran)))
    }

    /// The step after waiting for `flight`.
    pub fn waited<'py>(
        &mut self,
        py: Python<'py>,
        flight: &Flight<Landing>,
    ) -> PyResult<Step<'py>> {
        self.expect(&Expect::Wait)?;
        self.go_on(py, Some(Answer::Ended(flight.ending())))
    }

    /// The step after a renewal was to begin.
    pub fn renewing<'py>(&mut self, py: Python<'py>, begun: bool) -> PyResult<Step<'py>> {
        self.expect(&Expect::Renew)?;
        self.go_on(py, Some(Answer::Done(begun)))
    }

    /// The step after a pause.
    pub fn paused<'py>(&mut self, py: Python<'py>) -> PyResult<Step<'py>> {
        self.expect(&Expect::Pause)?;
        self.go_on(py, Some(Answer::Done(true)))
    }

    /// Whether the result belongs to an open transaction of the caller, which wrote meanwhile.
    fn is_private(&self, py: Python<'_>) -> PyResult<bool> {
        if !process::any_open_transaction() {
            return Ok(false);
        }
        Ok(names::is_dirty(py)?.call0()?.is_truthy()? || self.prepared.parts.is_touched(py)?)
    }

    /// Fails when the driver answers something else than what was asked.
    fn expect(&mut self, what: &Expect) -> PyResult<()> {
        let expected = std::mem::replace(&mut self.expect, Expect::Nothing);
        if std::mem::discriminant(&expected) == std::mem::discriminant(what) {
            return Ok(());
        }
        self.expect = expected;
        Err(PyRuntimeError::new_err("this is not what the call asked for"))
    }

    fn go_on<'py>(&mut self, py: Python<'py>, mut answer: Option<Replies>) -> PyResult<Step<'py>> {
        loop {
            match self.flow.resume(answer.take()) {
                Progress::Over(outcome) => return self.over(py, outcome),
                Progress::Asks(ask) => match self.at_hand(py, ask)? {
                    Ok(reply) => answer = Some(reply),
                    Err(ask) => return self.step(py, ask),
                },
            }
        }
    }

    /// Answers what our own store can answer at once; anything else comes back.
    fn at_hand(
        &mut self,
        py: Python<'_>,
        ask: Ask<Shared>,
    ) -> PyResult<Result<Replies, Ask<Shared>>> {
        if let Ask::Added = ask {
            let added = recorded::added(py)?;
            if !added.is_empty() {
                self.wrapper.get().tags.are_added.store(true, Ordering::Relaxed);
            }
            return Ok(Ok(Answer::Scopes(added)));
        }
        let Some(memory) = &self.binding.memory else { return Ok(Err(ask)) };
        let parts = &self.prepared.parts;
        Ok(Ok(match ask {
            Ask::Read { .. } => {
                let found = memory.kept_call(&self.prepared.canonical);
                let added = found.iter().filter_map(|entry| entry.fill.as_ref());
                let added = added.flat_map(|fill| fill.recorded.iter().copied());
                let touched = recorded::are_touched(py, added)?;
                let entry = found
                    .filter(|_| !touched)
                    .map(|entry| Blob::Held(header(&entry, self.binding.fingerprint), entry));
                Answer::Snapshot(Some(kept_here(entry)))
            }
            Ask::Arm { .. } => {
                self.epoch = memory.view.vault.table.epoch();
                Answer::Done(true)
            }
            Ask::Store { entry, .. } => {
                let (Some(kept), Some((header, _))) = (self.kept.take(), entry::open(&entry))
                else {
                    return Ok(Ok(Answer::Done(false)));
                };
                let call = StoredCall {
                    family: &memory.family,
                    canonical: &self.prepared.canonical,
                    text: &memory.view.text(PyString::new(py, &parts.text).as_any(), None)?,
                    scopes: &parts.scopes,
                    soft: parts.soft,
                    own: &self.own(),
                    epoch: self.epoch,
                    windows: &self.wrapper.get().judge.windows,
                };
                match memory.view.store_call(&call, kept, &header) {
                    Ok(stored) => Answer::Done(stored),
                    Err(TooLarge { bytes, most }) => {
                        self.wrapper.bind(py).call_method1("_too_large", (bytes, most))?;
                        Answer::Done(false)
                    }
                }
            }
            Ask::Forget => {
                memory.view.renew(&self.own());
                memory.forget(&self.prepared.canonical);
                Answer::Done(true)
            }
            other => return Ok(Err(other)),
        }))
    }

    fn step<'py>(&mut self, py: Python<'py>, ask: Ask<Shared>) -> PyResult<Step<'py>> {
        let (method, args, expect) = match ask {
            Ask::Run { store, share } => {
                self.expect = Expect::Run;
                return Ok(Step::Run { store, share });
            }
            Ask::Wait { flight, timeout } => {
                self.expect = Expect::Wait;
                return Ok(Step::Wait { flight, timeout });
            }
            Ask::Renew { renewal } => {
                self.expect = Expect::Renew;
                let binding = Arc::clone(&self.binding);
                let wrapper = self.wrapper.clone_ref(py);
                let key = self.prepared.parts.key;
                return Ok(Step::Renew(Job { wrapper, binding, key, crew: self.crew, renewal }));
            }
            Ask::Pause { seconds } => {
                self.expect = Expect::Pause;
                return Ok(Step::Pause(seconds));
            }
            Ask::Read { .. } if self.binding.index.is_some() => {
                ("get", (self.entry(),).into_pyobject(py)?, Expect::Entry)
            }
            Ask::Read { lease } => {
                let mut keys = self.prepared.parts.keys();
                let expect = Expect::Many { lease: lease.is_some() };
                keys.extend(lease);
                ("read", (keys,).into_pyobject(py)?, expect)
            }
            Ask::Create { missing } => {
                let own = self.own();
                let scope = |at: usize| self.prepared.parts.scopes.get(at).unwrap_or(&own).key();
                let keys: Vec<String> = missing.into_iter().map(scope).collect();
                let tokens: Vec<u128> = keys.iter().map(|_| Token::fresh().number()).collect();
                let timeout = self.wrapper.get().judge.lifetimes().shared;
                ("create", (keys, tokens, timeout).into_pyobject(py)?, Expect::Created)
            }
            Ask::Ensure { scopes } => {
                let keys: Vec<String> = scopes.iter().map(ScopeId::key).collect();
                let tokens: Vec<u128> = keys.iter().map(|_| Token::fresh().number()).collect();
                let timeout = self.wrapper.get().judge.lifetimes().shared;
                ("create", (keys, tokens, timeout).into_pyobject(py)?, Expect::Created)
            }
            Ask::Added => unreachable!("it is at hand"),
            Ask::Claim { lease, own } => {
                let args = (&lease, own.number(), self.prepared.parts.keys()).into_pyobject(py)?;
                self.lease = Some((lease, own));
                ("claim", args, Expect::Claimed)
            }
            Ask::Arm { .. } if self.binding.index.is_some() => {
                ("enter", PyTuple::empty(py), Expect::Entered)
            }
            Ask::Arm { own } => {
                let timeout = self.wrapper.get().judge.lifetimes().own;
                (
                    "put",
                    (self.own().key(), own.number(), timeout).into_pyobject(py)?,
                    Expect::Success,
                )
            }
            Ask::Prolong { .. } => {
                let timeout = self.wrapper.get().judge.lifetimes().own;
                ("prolong", (self.own().key(), timeout).into_pyobject(py)?, Expect::Success)
            }
            Ask::Store { entry, timeout_ms } => {
                let entry = PyBytes::new(py, &entry);
                // Whole seconds, rounded up: the header decides to the millisecond.
                let timeout = timeout_ms.map(|millis| (millis + 999) / 1000);
                let args = match self.mark.take() {
                    None => (self.entry(), entry, timeout).into_pyobject(py)?,
                    Some(mark) => {
                        let own = PyBytes::new(py, &self.own().0);
                        let value = self.value.take();
                        (self.entry(), (entry, value), timeout, mark, own).into_pyobject(py)?
                    }
                };
                ("store", args, Expect::Success)
            }
            Ask::Forget => {
                let own = PyBytes::new(py, &self.own().0);
                ("forget", (self.entry(), own).into_pyobject(py)?, Expect::Success)
            }
            Ask::Release { lease, barren } => {
                self.lease = None;
                let mark = barren.then_some(BARREN);
                ("release", (lease, mark).into_pyobject(py)?, Expect::Success)
            }
        };
        self.expect = expect;
        Ok(Step::Io { method, args })
    }

    fn over<'py>(
        &mut self,
        py: Python<'py>,
        outcome: Outcome<Blob, Shared>,
    ) -> PyResult<Step<'py>> {
        if self.mode == Mode::Renew {
            return self.renewed(py, outcome);
        }
        let counters = &self.wrapper.get().counters;
        let finished = match outcome {
            Outcome::Found { entry, times, payload, status, spared } => {
                let value = match entry.load(py, payload) {
                    Ok(value) => value,
                    Err(error) => return self.unreadable(py, error),
                };
                match (status, &spared) {
                    (Status::Hit, None) => counters.hit(py, times.fill_us),
                    (_, spared) => counters.served_stale(py, times.fill_us, spared.is_some()),
                }
                if let Some(error) = spared {
                    self.wrapper.bind(py).call_method1("_spared", (&error.value,))?;
                }
                Finished { value: Some(value.unbind()), status, times: Some(times) }
            }
            Outcome::Value { value, times, status, shared } => {
                let value = match if shared { value.copy(py) } else { Ok(value.original(py)) } {
                    Ok(value) => value,
                    Err(error) => return self.unreadable(py, error),
                };
                counters.computed(py, status, times.is_some(), shared);
                Finished { value: Some(value), status, times }
            }
            Outcome::Missing => {
                counters.missed(py);
                Finished { value: None, status: Status::Miss, times: None }
            }
            Outcome::Error { error, status, shared } => {
                let error = error.value.bind(py).clone();
                counters.raised(&error, status, shared);
                return Err(PyErr::from_value(error));
            }
        };
        Ok(Step::Over(finished))
    }

    /// A run in the background is over. Its errors are logged, as nobody waits for it.
    fn renewed<'py>(&self, py: Python<'py>, outcome: Outcome<Blob, Shared>) -> PyResult<Step<'py>> {
        let counters = &self.wrapper.get().counters;
        let mut times = None;
        match outcome {
            Outcome::Value { times: stored, .. } => {
                counters.renewed(py, stored.is_some(), false);
                times = stored;
            }
            Outcome::Error { error, .. } => {
                let error = error.value.bind(py).clone();
                if !error.is_instance_of::<PyException>() {
                    return Err(PyErr::from_value(error));
                }
                counters.renewed(py, false, true);
                self.wrapper.bind(py).call_method1("_not_renewed", (error,))?;
            }
            Outcome::Found { .. } | Outcome::Missing => {}
        }
        Ok(Step::Over(Finished { value: None, status: Status::Refresh, times }))
    }

    /// A value that was pickled and does not unpickle: its entry goes and the call begins again; the
    /// second time it runs alone.
    fn unreadable<'py>(&mut self, py: Python<'py>, error: PyErr) -> PyResult<Step<'py>> {
        if !error.is_instance_of::<PyException>(py) {
            return Err(error);
        }
        self.wrapper.bind(py).call_method1("_unreadable", (error.value(py),))?;
        if self.recovered && self.mode == Mode::Get {
            self.mode = Mode::Bypass;
        }
        self.recovered = true;
        self.expect = Expect::Recovered;
        let args = (vec![self.entry()],).into_pyobject(py)?;
        Ok(Step::Io { method: "delete", args })
    }

    fn entry(&self) -> &str {
        &self.prepared.parts.text
    }

    fn own(&self) -> ScopeId {
        ScopeId::own(&self.prepared.parts.key)
    }
}

/// What the storage's `read` returned for the keys of a call, and of the lease.
pub fn snapshot(
    reply: &Bound<'_, PyAny>,
    parts: &Parts,
    with_lease: bool,
) -> PyResult<Option<Snapshot<Blob>>> {
    if reply.is_none() {
        return Ok(None);
    }
    let list = reply.cast::<PyList>()?;
    let lease = if with_lease { lease_of(&list.get_item(list.len() - 1)?) } else { Lease::Free };
    let found = read_snapshot(parts, |at| list.get_item(at))?;
    Ok(Some(Snapshot { lease, ..found }))
}

/// What is under the keys of a call, by their places.
pub fn read_snapshot<'py>(
    parts: &Parts,
    found: impl Fn(usize) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Snapshot<Blob>> {
    let scopes = parts.scopes.len();
    let entry = Blob::read(&found(0)?);
    let tokens = (1..=scopes + 1).map(|at| Ok(token_of(&found(at)?)));
    let tokens = tokens.collect::<PyResult<_>>()?;
    let graces = (scopes + 2..scopes + 2 + parts.soft).map(|at| Ok(grace_of(&found(at)?)));
    let graces = graces.collect::<PyResult<_>>()?;
    Ok(Snapshot { entry, tokens, graces, lease: Lease::Free })
}

/// An entry of a cache whose generations are in this process.
pub fn kept_here(entry: Option<Blob>) -> Snapshot<Blob> {
    Snapshot { entry, tokens: Vec::new(), graces: Vec::new(), lease: Lease::Free }
}

/// The grace that the storage has returned, if it is one.
fn grace_of(value: &Bound<'_, PyAny>) -> Option<Grace> {
    let number = value.cast_exact::<PyInt>().ok()?;
    let token = number.call_method1("__rshift__", (Grace::TIME_BITS,)).ok()?;
    let at = number.call_method1("__and__", (u64::MAX,)).ok()?;
    Some(Grace::from_parts(token.extract().ok()?, at.extract().ok()?))
}

/// The token that the storage has returned, if it is one.
pub fn token_of(value: &Bound<'_, PyAny>) -> Option<Token> {
    let number: u128 = value.cast_exact::<PyInt>().ok()?.extract().ok()?;
    (number != BARREN).then(|| Token::from_number(number))
}

fn lease_of(value: &Bound<'_, PyAny>) -> Lease {
    match token_of(value) {
        Some(holder) => Lease::Held(holder),
        None if value.is_none() => Lease::Free,
        None => Lease::Barren,
    }
}

fn begin(
    wrapper: &Bound<'_, Wrapper>,
    binding: &Binding,
    prepared: &Prepared,
    mode: Mode,
    crew: Crew,
    first: First<Blob>,
    renewal: Option<Renewal<Shared>>,
) -> PyResult<Flow<Blob, Shared>> {
    let py = wrapper.py();
    let open = process::any_open_transaction();
    let key = PyBytes::new(py, &prepared.parts.key.0);
    let surroundings = Surroundings {
        bypassed: prepared.touched,
        dirty: open && names::is_dirty(py)?.call0()?.is_truthy()?
            || binding.transactional
                && binding.storage.bind(py).call_method0("in_transaction")?.is_truthy()?,
        reentrant: names::is_inside(py)?.call1((key,))?.is_truthy()?,
        snapshot: if process::any_snapshot() {
            names::snapshot_time(py)?.call0()?.extract()?
        } else {
            None
        },
    };
    let this = wrapper.get();
    let target = prepared.target(binding, crew, this);
    let flights = Arc::clone(&this.flights);
    let renewals = Arc::clone(&this.renewals);
    let backoffs = Arc::clone(&this.backoffs);
    Ok(Flow::new(move |port| {
        let call = Call { target, surroundings, flights, renewals, backoffs, port, renewal };
        call.run(mode, first)
    }))
}
