//! `_core.Steps`: one call in steps, for asyncio to drive.

use super::outcome::{Finished, Want, absent, give};
use super::renewal::Renewal;
use super::session::{Landing, Session, Step};
use super::ttl::{Ttl, read_ttl};
use super::wrapper::Wrapper;
use crate::call::{Mode, Status};
use crate::flight::Flight;
use parking_lot::Mutex;
use pyo3::PyTraverseError;
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::sync::Arc;

struct State {
    session: Option<Session>,
    /// How the call resolves when there is no session.
    status: Status,
    flight: Option<Arc<Flight<Landing>>>,
    share: bool,
}

/// A call under way. Each method performs no I/O and returns the next step as a tuple:
/// `("io", method, args)`, `("run", store)`, `("renew", renewal)`, `("wait", seconds)`,
/// `("pause", seconds)` or `("over", result)`.
#[pyclass(module = "cache_result._core", frozen)]
pub struct Steps {
    wrapper: Py<Wrapper>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
    mode: Mode,
    want: Want,
    state: Mutex<State>,
}

impl Steps {
    /// `work` is an error, how the call resolves, when the cache takes no part in it.
    pub fn new(
        wrapper: Py<Wrapper>,
        work: Result<Session, Finished>,
        want: Want,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
        mode: Mode,
    ) -> Self {
        let (session, status) = match work {
            Ok(session) => (Some(session), Status::Miss),
            Err(finished) => (None, finished.status),
        };
        Self {
            wrapper,
            args: args.clone().unbind(),
            kwargs: kwargs.map(|kwargs| kwargs.clone().unbind()),
            mode,
            want,
            state: Mutex::new(State { session, status, flight: None, share: false }),
        }
    }

    /// Takes the session out while it works, so that no lock is held while Python code runs.
    fn with_session<'py>(
        &self,
        py: Python<'py>,
        work: impl FnOnce(&mut Session) -> PyResult<Step<'py>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let taken = self.state.lock().session.take();
        let mut session =
            taken.ok_or_else(|| PyRuntimeError::new_err("this call is over or being resumed"))?;
        let step = work(&mut session)?;
        let told = match step {
            Step::Over(finished) => {
                return ("over", give(py, finished, self.want)?).into_pyobject(py);
            }
            Step::Io { method, args } => ("io", method, args).into_pyobject(py)?,
            Step::Run { store, share } => {
                self.state.lock().share = share;
                ("run", store).into_pyobject(py)?
            }
            Step::Renew(job) => ("renew", Renewal::new(py, job)).into_pyobject(py)?,
            Step::Wait { flight, timeout } => {
                self.state.lock().flight = Some(flight);
                ("wait", timeout.as_secs_f64()).into_pyobject(py)?
            }
            Step::Pause(seconds) => ("pause", seconds).into_pyobject(py)?,
        };
        self.state.lock().session = Some(session);
        Ok(told)
    }

    fn flight(&self) -> PyResult<Arc<Flight<Landing>>> {
        let flight = self.state.lock().flight.clone();
        flight.ok_or_else(|| PyRuntimeError::new_err("this call waits for nobody"))
    }

    fn kwargs<'py>(&self, py: Python<'py>) -> Option<&Bound<'py, PyDict>> {
        self.kwargs.as_ref().map(|kwargs| kwargs.bind(py))
    }
}

#[pymethods]
impl Steps {
    /// The first step.
    fn start<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let idle = self.state.lock().session.is_none();
        if !idle {
            return self.with_session(py, |session| session.start(py));
        }
        if self.mode == Mode::Peek {
            self.wrapper.get().counters.missed(py);
            return ("over", give(py, absent(), self.want)?).into_pyobject(py);
        }
        ("run", false).into_pyobject(py)
    }

    /// After "io": what the storage's method returned.
    fn reply<'py>(&self, reply: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
        self.with_session(reply.py(), |session| session.reply(reply))
    }

    /// After "run": the function's value; `accepted` and `ttl` are what predicate and callable ttl
    /// said, `None` where there are none. With `refused`, it is not stored.
    #[pyo3(signature = (value, accepted=None, ttl=None, refused=false))]
    fn returned<'py>(
        &self,
        value: &Bound<'py, PyAny>,
        accepted: Option<&Bound<'py, PyAny>>,
        ttl: Option<&Bound<'py, PyAny>>,
        refused: bool,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let py = value.py();
        let alone = {
            let state = self.state.lock();
            state.session.is_none().then_some(state.status)
        };
        if let Some(status) = alone {
            self.wrapper.get().counters.ran(py, status, None);
            let finished = Finished { value: Some(value.clone().unbind()), status, times: None };
            return ("over", give(py, finished, self.want)?).into_pyobject(py);
        }
        let wrapper = self.wrapper.get();
        let refused = refused || !accepted.map_or(Ok(true), |said| wrapper.judge.accepts(said))?;
        let ttl: Option<Ttl> = match ttl {
            _ if refused => None,
            None => wrapper.judge.fixed_ttl(),
            Some(said) => Some(read_ttl(said)?),
        };
        let share = self.state.lock().share;
        self.with_session(py, |session| session.returned(value, ttl, share))
    }

    /// After "run": the function's exception. Raises it when the call is over.
    fn raised<'py>(
        &self,
        py: Python<'py>,
        error: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let error = PyErr::from_value(error);
        let alone = {
            let state = self.state.lock();
            state.session.is_none().then_some(state.status)
        };
        if let Some(status) = alone {
            self.wrapper.get().counters.ran(py, status, Some(&error));
            return Err(error);
        }
        self.with_session(py, |session| session.raised(py, &error))
    }

    /// After "wait".
    fn waited<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let flight = self.flight()?;
        self.with_session(py, |session| session.waited(py, &flight))
    }

    /// After "renew": whether that has begun.
    fn renewing<'py>(&self, py: Python<'py>, begun: bool) -> PyResult<Bound<'py, PyTuple>> {
        self.with_session(py, |session| session.renewing(py, begun))
    }

    /// After "pause".
    fn paused<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        self.with_session(py, |session| session.paused(py))
    }

    /// During "wait": has `callback` called once, by whatever thread ends the flight.
    fn on_end(&self, callback: Py<PyAny>) -> PyResult<()> {
        self.flight()?.on_end(Box::new(move || {
            Python::attach(|py| {
                // The waiter's loop may be closed by now; then nobody waits.
                let _ = callback.call0(py);
            });
        }));
        Ok(())
    }

    /// What the predicate says of `value`; maybe awaitable.
    fn ask_predicate<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = value.py();
        self.wrapper.get().judge.ask_predicate(py, value, self.args.bind(py), self.kwargs(py))
    }

    /// What a callable ttl says of `value`; maybe awaitable.
    fn ask_ttl<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = value.py();
        self.wrapper.get().judge.ask_ttl(py, value, self.args.bind(py), self.kwargs(py))
    }

    /// The key that nested calls compare with to find that they are inside of this fill.
    fn key<'py>(&self, py: Python<'py>) -> Option<Bound<'py, pyo3::types::PyBytes>> {
        self.state.lock().session.as_ref().map(|session| session.key_bytes(py))
    }

    /// Ends the call wherever it stands: a flight that it leads is abandoned. Returns the lease that
    /// it would leave behind, and the token that says it is its own.
    fn close(&self) -> Option<(String, u128)> {
        let session = self.state.lock().session.take();
        let held = session.as_ref().and_then(Session::held_lease);
        drop(session);
        held
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.wrapper)?;
        visit.call(&self.args)?;
        visit.call(&self.kwargs)
    }
}
