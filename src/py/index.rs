//! `_core.Index`: the generations of one in-process cache.

use super::process::{in_future, scope_ids};
use crate::index::{Generations, ProcessIndex};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::sync::Arc;

/// Generations of an in-process cache, bounded to about `capacity` scopes.
#[pyclass(module = "cache_result._core", frozen)]
pub struct Index {
    /// Shared with the calls that are under way.
    pub index: Arc<ProcessIndex>,
}

#[pymethods]
impl Index {
    #[new]
    fn new(capacity: usize) -> PyResult<Self> {
        if capacity == 0 {
            return Err(PyValueError::new_err("an index has room for at least one scope"));
        }
        Ok(Self { index: Arc::new(ProcessIndex::new(capacity)) })
    }

    /// Starts a new generation of each of these scopes (16-byte ids).
    fn renew(&self, scopes: Vec<Vec<u8>>) -> PyResult<()> {
        scope_ids(&scopes)?.iter().for_each(|scope| self.index.renew(scope));
        Ok(())
    }

    /// Notes which generations soft scopes are in, each with its window (ms), before they change.
    fn remember(&self, scopes: Vec<(Vec<u8>, i64)>) -> PyResult<()> {
        note_all(&*self.index, &scopes)
    }

    /// Closes these scopes for `writer`, for `seconds` at most.
    fn close(&self, scopes: Vec<Vec<u8>>, writer: u64, seconds: f64) -> PyResult<()> {
        let until = in_future(seconds);
        scope_ids(&scopes)?.iter().for_each(|scope| self.index.close(scope, writer, until));
        Ok(())
    }

    /// Ends a writer's closing of these scopes.
    fn open(&self, scopes: Vec<Vec<u8>>, writer: u64) -> PyResult<()> {
        scope_ids(&scopes)?.iter().for_each(|scope| self.index.open(scope, writer));
        Ok(())
    }

    /// Starts a new generation of every scope.
    fn clear(&self) {
        self.index.clear();
    }
}

/// [`Generations::note`] for each scope, with its window (ms).
pub fn note_all(index: &dyn Generations, scopes: &[(Vec<u8>, i64)]) -> PyResult<()> {
    let (ids, windows): (Vec<_>, Vec<_>) = scopes.iter().cloned().unzip();
    let scopes = scope_ids(&ids)?;
    scopes.iter().zip(windows).for_each(|(scope, window)| index.note(scope, window));
    Ok(())
}
