//! What becomes of a call when its flow is over: what the caller gets, what is counted and reported.

use super::outcome::{Blob, Finished, Shared};
use super::session::{Expect, Session, Step};
use crate::call::{Mode, Outcome, Status};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

impl Session {
    /// The last step, or the one that mends an entry which does not load.
    pub(super) fn over<'py>(
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
}
