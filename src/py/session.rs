//! A call under way: turns what the flow asks into calls of the storage, and replies into answers.

use super::binding::{Binding, Prepared};
use super::copying::{Kept, keep};
use super::names;
use super::outcome::{Blob, Finished, Master, Product, Shared};
use super::process;
use super::recorded;
use super::renewal::Job;
use super::replies::{kept_here, snapshot, token_of};
use super::ttl::Ttl;
use super::wrapper::Wrapper;
use crate::call::{Call, First, Mode, Renewal, Surroundings};
use crate::flight::{Crew, Flight};
use crate::index::{ScopeId, Token};
use crate::port::{Answer, Flow, Progress, Ran, Snapshot, Storable};
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use std::sync::Arc;
use std::time::Duration;

/// What waiters of one of our flights are handed.
pub type Landing = crate::call::Landing<Shared>;
pub(super) type Replies = Answer<Blob, Shared>;

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
pub(super) enum Expect {
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
    pub(super) wrapper: Py<Wrapper>,
    pub(super) binding: Arc<Binding>,
    pub(super) prepared: Prepared,
    pub(super) mode: Mode,
    pub(super) crew: Crew,
    pub(super) flow: Flow<Blob, Shared>,
    pub(super) expect: Expect,
    pub(super) mark: Option<Py<PyAny>>,
    /// What an in-process storage is to store.
    pub(super) value: Option<Py<PyAny>>,
    /// The same for our own store, and its epoch from before the function ran.
    pub(super) kept: Option<Arc<Kept>>,
    pub(super) epoch: u64,
    /// The lease that was asked for and not given back, and the token that says it is ours.
    pub(super) lease: Option<(String, Token)>,
    pub(super) recovered: bool,
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

    pub(super) fn entry(&self) -> &str {
        &self.prepared.parts.text
    }

    pub(super) fn own(&self) -> ScopeId {
        ScopeId::own(&self.prepared.parts.key)
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
