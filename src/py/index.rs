//! `_core.Index`: the generations of one in-process cache.

use super::process::scope_id;
use crate::clock;
use crate::index::ProcessIndex;
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
        for scope in scopes {
            self.index.renew(&scope_id(&scope)?);
        }
        Ok(())
    }

    /// Closes these scopes for `writer`, for `seconds` at most.
    fn close(&self, scopes: Vec<Vec<u8>>, writer: u64, seconds: f64) -> PyResult<()> {
        #[allow(clippy::cast_possible_truncation)] // settings are checked
        let until = clock::now_ms() + (seconds * 1000.0) as i64;
        for scope in scopes {
            self.index.close(&scope_id(&scope)?, writer, until);
        }
        Ok(())
    }

    /// Ends a writer's closing of these scopes.
    fn open(&self, scopes: Vec<Vec<u8>>, writer: u64) -> PyResult<()> {
        for scope in scopes {
            self.index.open(&scope_id(&scope)?, writer);
        }
        Ok(())
    }

    /// Starts a new generation of every scope.
    fn clear(&self) {
        self.index.clear();
    }
}
