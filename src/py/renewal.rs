//! `_core.Renewal`: an entry that is to be made anew in the background.

use super::binding::Binding;
use super::outcome::{Shared, Want};
use super::session::Session;
use super::steps::Steps;
use super::wrapper::Wrapper;
use crate::call::{self, First, Mode};
use crate::flight::Crew;
use crate::key::Digest;
use parking_lot::Mutex;
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::sync::Arc;

/// What is to be done, and for whom.
pub struct Job {
    /// Whose entry.
    pub wrapper: Py<Wrapper>,
    /// What the caller's call was bound to.
    pub binding: Arc<Binding>,
    /// The entry's key.
    pub key: Digest,
    /// What is to run it.
    pub crew: Crew,
    /// The right to do it.
    pub renewal: call::Renewal<Shared>,
}

/// An entry that is to be made anew, once. Dropping it leaves that to the next reader.
#[pyclass(module = "cache_result._core", frozen)]
pub struct Renewal {
    wrapper: Py<Wrapper>,
    job: Mutex<Option<Job>>,
}

impl Renewal {
    /// One that has not begun.
    pub fn new(py: Python<'_>, job: Job) -> Self {
        // A second reference, as the collector must not wait for a lock.
        let wrapper = job.wrapper.clone_ref(py);
        Self { wrapper, job: Mutex::new(Some(job)) }
    }
}

#[pymethods]
impl Renewal {
    /// The steps of the run, from where it is to run. `None` if there is nothing to do: the arguments make
    /// another key by now.
    #[pyo3(signature = (args, kwargs))]
    fn begin<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Option<Steps>> {
        let py = slf.py();
        let wrapper = slf.get().wrapper.bind(py);
        let this = wrapper.get();
        let Some(binding) = slf.get().job.lock().as_ref().map(|job| Arc::clone(&job.binding))
        else {
            return Ok(None);
        };
        let prepared = this.prepare(&binding, args, kwargs)?;
        let Some(job) = slf.get().job.lock().take() else { return Ok(None) };
        let current = Wrapper::binding(wrapper)?;
        if prepared.parts.key != job.key || !Arc::ptr_eq(&current, &binding) {
            return Ok(None);
        }
        let Job { crew, renewal, .. } = job;
        let first = First::Unread;
        let session =
            Session::new(wrapper, binding, prepared, Mode::Renew, crew, first, Some(renewal))?;
        let wrapper = wrapper.clone().unbind();
        Ok(Some(Steps::new(wrapper, Ok(session), Want::Stored, args, kwargs, Mode::Renew)))
    }

    /// Leaves it to the next reader.
    fn drop(&self) {
        drop(self.job.lock().take());
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.wrapper)
    }
}
