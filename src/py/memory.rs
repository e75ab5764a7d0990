//! `_core.Memory`: an in-process Django cache, as one configuration of it sees the store.

use super::copying::{Kept, keep};
use super::index::note_all;
use super::memory_view::{Held, Text, Vault, View};
use super::plan::lineage_of;
use super::process::{in_future, scope_ids};
use crate::clock;
use crate::index::{Generations, Place, Table};
use crate::store::{Entry, Expected, KeyRef};
use pyo3::PyTraverseError;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;
use std::sync::Arc;

/// What all caches of one LOCATION share: the entries, and the generations of those of wrappers.
#[pyclass(module = "cache_result._core", frozen)]
pub struct MemoryStore {
    vault: Arc<Vault>,
}

#[pymethods]
impl MemoryStore {
    /// A store of about `max_bytes` bytes and at most `max_entries` entries. Its generations are in the file
    /// `host_index`, which other processes of the host may share, or in this process. With `per_user` the
    /// extension of that file is the number of the user that the process runs as.
    #[new]
    #[pyo3(signature = (max_bytes, max_entries=None, host_index=None, per_user=false))]
    fn new(
        max_bytes: u64,
        max_entries: Option<u64>,
        host_index: Option<PathBuf>,
        per_user: bool,
    ) -> PyResult<Self> {
        let table = match host_index {
            None => Table::private(),
            Some(path) => {
                let place = Place { path, per_user };
                Table::host(place).map_err(|error| PyOSError::new_err(error.to_string()))?
            }
        };
        Ok(Self { vault: Arc::new(Vault::new(max_bytes, max_entries, table)) })
    }

    /// Why `host_index` cannot be the file, and what to do about it. It is not made.
    #[staticmethod]
    fn refusal(host_index: PathBuf) -> Option<(String, &'static str)> {
        Table::refusal(&Place { path: host_index, per_user: false })
            .map(|error| (error.reason, error.remedy))
    }

    /// How many entries there are, those included whose time is over.
    fn __len__(&self) -> usize {
        self.vault.store.len()
    }

    /// What the entries take, in bytes.
    #[getter]
    fn weight(&self) -> u64 {
        self.vault.store.weight()
    }
}

/// A store as the caches see it that have the same prefix, version and key function. The methods are those
/// of Django's cache API.
#[pyclass(module = "cache_result._core", frozen)]
pub struct Memory {
    /// Shared with the wrappers that use it.
    pub view: Arc<View>,
}

#[pymethods]
impl Memory {
    /// `make_key(key, version)` makes and checks the text under which a key is stored; without it that is
    /// Django's default. `warn(text)` is called for a text that other backends might not take. `timeout`
    /// is in seconds.
    #[new]
    #[pyo3(signature = (store, prefix, version, timeout, identity, warn, make_key=None))]
    fn new(
        store: &MemoryStore,
        prefix: String,
        version: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        identity: &str,
        warn: Py<PyAny>,
        make_key: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let version = version.str()?.to_string();
        let vault = Arc::clone(&store.vault);
        let view = View::new(vault, prefix, &version, timeout, identity, warn, make_key);
        Ok(Self { view: Arc::new(view) })
    }

    #[pyo3(signature = (key, default=None, version=None))]
    fn get<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
        version: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = key.py();
        let text = self.view.text(key, version)?;
        match self.view.entry(&text) {
            Some(held) => held.entry.value.give(py),
            None => Ok(default.unwrap_or_else(|| py.None().into_bound(py))),
        }
    }

    #[pyo3(signature = (key, value, timeout, version=None))]
    fn set(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        timeout: &Bound<'_, PyAny>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let text = self.view.text(key, version)?;
        self.put(&text, value, timeout, &Expected::Anything)?;
        Ok(())
    }

    /// Stores a value where there is none; whether it did.
    #[pyo3(signature = (key, value, timeout, version=None))]
    fn add(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        timeout: &Bound<'_, PyAny>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let text = self.view.text(key, version)?;
        if self.view.entry(&text).is_some() {
            return Ok(false);
        }
        self.put(&text, value, timeout, &Expected::Nothing { now: clock::now_ms() })
    }

    /// Has a value live for another `timeout`; whether there is one.
    #[pyo3(signature = (key, timeout, version=None))]
    fn touch(
        &self,
        key: &Bound<'_, PyAny>,
        timeout: &Bound<'_, PyAny>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let text = self.view.text(key, version)?;
        let until = self.view.deadline(timeout)?;
        let Some(held) = self.view.entry(&text) else { return Ok(false) };
        held.entry.touch(until);
        Ok(true)
    }

    /// Deletes a value; whether there was one.
    #[pyo3(signature = (key, version=None))]
    fn delete(&self, key: &Bound<'_, PyAny>, version: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        Ok(self.view.delete(&self.view.text(key, version)?))
    }

    #[pyo3(signature = (key, version=None))]
    fn has_key(
        &self,
        key: &Bound<'_, PyAny>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        Ok(self.view.entry(&self.view.text(key, version)?).is_some())
    }

    /// Adds `delta` to a value, which keeps its end; the new value.
    #[pyo3(signature = (key, delta, version=None))]
    fn incr<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        delta: &Bound<'py, PyAny>,
        version: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = key.py();
        let text = self.view.text(key, version)?;
        loop {
            let Some(Held { key: stored, entry }) = self.view.entry(&text) else {
                return Err(PyValueError::new_err(format!("Key '{}' not found", key.str()?)));
            };
            let value = entry.value.give(py)?.add(delta)?;
            let kept = keep(&value)?;
            let bytes = kept.weight();
            let next = Entry::new(Arc::new(kept), bytes, entry.expires_at(), None);
            let store = &self.view.vault.store;
            // Somebody may have been faster while the two were added.
            let expected = match stored {
                None => Expected::This(&entry),
                // What a wrapper stored is no result of its function any more.
                Some(call) if store.remove_this(call.as_ref(), &entry) => {
                    Expected::Nothing { now: clock::now_ms() }
                }
                Some(_) => continue,
            };
            if store.insert(KeyRef::text(&text).to_key(), next, &expected) {
                return Ok(value);
            }
        }
    }

    /// The values of those keys that have one.
    #[pyo3(signature = (keys, version=None))]
    fn get_many<'py>(
        &self,
        keys: &Bound<'py, PyAny>,
        version: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let found = PyDict::new(keys.py());
        for key in keys.try_iter()? {
            let key = key?;
            if let Some(held) = self.view.entry(&self.view.text(&key, version)?) {
                found.set_item(key, held.entry.value.give(keys.py())?)?;
            }
        }
        Ok(found)
    }

    /// What is wrong with the file of the generations, if anything is.
    #[getter]
    fn trouble(&self) -> Option<String> {
        self.view.vault.table.trouble()
    }

    /// Deletes every entry of the store, whatever its prefix and version.
    fn clear(&self) {
        self.view.vault.clear();
    }

    /// Deletes the entries of a function's smaller versions; how many there were.
    fn delete_versions_before(
        &self,
        namespace: &str,
        function_id: &str,
        version: i64,
    ) -> PyResult<usize> {
        Ok(self.view.delete_versions_before(lineage_of(namespace, function_id)?, version))
    }

    /// The texts under which `set` has stored something that begin so, whatever prefix and version they
    /// are of.
    fn texts_beginning_with(&self, beginning: &str) -> Vec<String> {
        self.view.texts_beginning_with(beginning)
    }

    // What an index has.

    /// Starts a new generation of each of these scopes (16-byte ids).
    fn renew(&self, scopes: Vec<Vec<u8>>) -> PyResult<()> {
        scope_ids(&scopes)?.iter().for_each(|scope| self.view.renew(scope));
        Ok(())
    }

    /// Notes which generations soft scopes are in, each with its window (ms), before they change.
    fn remember(&self, scopes: Vec<(Vec<u8>, i64)>) -> PyResult<()> {
        note_all(&*self.view, &scopes)
    }

    /// Closes these scopes for `writer`, for `seconds` at most.
    fn close(&self, scopes: Vec<Vec<u8>>, writer: u64, seconds: f64) -> PyResult<()> {
        let until = in_future(seconds);
        scope_ids(&scopes)?.iter().for_each(|scope| self.view.close(scope, writer, until));
        Ok(())
    }

    /// Ends a writer's closing of these scopes.
    fn open(&self, scopes: Vec<Vec<u8>>, writer: u64) -> PyResult<()> {
        scope_ids(&scopes)?.iter().for_each(|scope| self.view.open(scope, writer));
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Not what is kept: it holds values of built-in types alone, through which no cycle can run.
        self.view.traverse(&visit)
    }
}

impl Memory {
    /// Stores a value under a text; whether it is there now.
    fn put(
        &self,
        text: &Text,
        value: &Bound<'_, PyAny>,
        timeout: &Bound<'_, PyAny>,
        instead_of: &Expected<'_, Arc<Kept>>,
    ) -> PyResult<bool> {
        let until = self.view.deadline(timeout)?;
        let kept = keep(value)?;
        if until <= clock::now_ms() {
            self.view.delete(text);
            return Ok(true);
        }
        let bytes = kept.weight();
        let entry = Entry::new(Arc::new(kept), bytes, until, None);
        self.view.delete_call(text);
        let (vault, key) = (&self.view.vault, KeyRef::text(text).to_key());
        let taken = vault.store.takes(&key, &entry);
        let stored = vault.store.insert(key, entry, instead_of);
        if let Err(too_large) = taken {
            vault.tell(value.py(), text, &too_large)?;
        }
        Ok(stored)
    }
}
