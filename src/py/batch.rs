//! `_core.Batch`: calls whose entries are read together.

use super::binding::{Binding, Prepared};
use super::outcome::{Blob, Finished, Want, cache_missing, give, read_want};
use super::process;
use super::recorded;
use super::replies::read_snapshot;
use super::session::Session;
use super::steps::Steps;
use super::thread::{Read, looked_at};
use super::wrapper::Wrapper;
use crate::call::{First, Mode, Status};
use crate::flight::Crew;
use ahash::{HashMap, HashSet};
use parking_lot::Mutex;
use pyo3::PyTraverseError;
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Its arguments.
type CallSpec<'py> = (Bound<'py, PyTuple>, Bound<'py, PyDict>);

/// One of the calls.
struct Item {
    args: Py<PyTuple>,
    kwargs: Py<PyDict>,
    prepared: Prepared,
    /// Where its keys are among those of all: the entry, then the generations, the own one last.
    places: Vec<usize>,
    first: First<Blob>,
    /// The call was there before: what is read for that one may be old when this one's turn comes.
    again: bool,
}

/// Calls of one wrapper whose entries a shared cache reads together: `read` what is under `keys`,
/// `compare` what is under the keys which that returns, take what there is from `hits`, and run the others one
/// by one.
#[pyclass(module = "cache_result._core", frozen)]
pub struct Batch {
    wrapper: Py<Wrapper>,
    binding: Arc<Binding>,
    keys: Vec<String>,
    items: Mutex<Vec<Option<Item>>>,
    /// The function has run in the thread: what was read before may be old.
    has_run: AtomicBool,
}

#[pymethods]
impl Batch {
    /// Calls to be read together, each as `(args, kwargs)`. `None` where that would spare nothing: where the
    /// cache takes no part, or is in this process.
    #[staticmethod]
    fn of(wrapper: &Bound<'_, Wrapper>, calls: Vec<CallSpec<'_>>) -> PyResult<Option<Self>> {
        let this = wrapper.get();
        let binding = Wrapper::binding(wrapper)?;
        if binding.index.is_some() || !this.usable(&binding, Mode::Get) {
            return Ok(None);
        }
        let mut keys = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::default();
        let mut seen = HashSet::default();
        let mut items = Vec::with_capacity(calls.len());
        for (args, kwargs) in calls {
            let prepared = this.prepare(&binding, &args, Some(&kwargs))?;
            let place = |key: String| {
                *known.entry(key).or_insert_with_key(|key| {
                    keys.push(key.clone());
                    keys.len() - 1
                })
            };
            let places = prepared.parts.keys().into_iter().map(place).collect();
            let again = !seen.insert(prepared.parts.key.0);
            let (args, kwargs) = (args.unbind(), kwargs.unbind());
            let first = First::Unread;
            items.push(Some(Item { args, kwargs, prepared, places, first, again }));
        }
        let wrapper = wrapper.clone().unbind();
        let (items, has_run) = (Mutex::new(items), AtomicBool::new(false));
        Ok(Some(Self { wrapper, binding, keys, items, has_run }))
    }

    /// What to read, each key once.
    #[getter]
    fn keys(&self) -> Vec<String> {
        self.keys.clone()
    }

    /// The cache behind its small interface.
    #[getter]
    fn storage(&self, py: Python<'_>) -> Py<PyAny> {
        self.binding.storage.clone_ref(py)
    }

    /// Takes what the storage's `read` returned for `keys`. Returns the keys of tags that functions have added,
    /// which have to be read as well.
    fn read(&self, reply: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
        let py = reply.py();
        let mut more = Vec::new();
        self.each(|item| {
            if reply.is_none() {
                item.first = First::Down;
                return Ok(());
            }
            let found = |at: usize| reply.get_item(item.places[at]);
            let mut snapshot = read_snapshot(&item.prepared.parts, found)?;
            item.places.clear();
            if let Some(keys) = recorded::keys(py, &mut snapshot, self.binding.fingerprint)? {
                item.places = vec![more.len(), keys.len()];
                more.extend(keys);
            }
            item.first = First::Read(snapshot);
            Ok(())
        })?;
        Ok(more)
    }

    /// Takes what the storage's `read` returned for the keys of added tags.
    fn compare(&self, reply: &Bound<'_, PyAny>) -> PyResult<()> {
        let list = reply.cast::<PyList>().ok();
        self.each(|item| {
            if let (&[from, count], First::Read(snapshot)) = (&item.places[..], &mut item.first) {
                match list {
                    Some(list) => {
                        let part = list.get_slice(from, from + count);
                        recorded::compare(snapshot, part.as_any());
                    }
                    None => snapshot.entry = None,
                }
            }
            Ok(())
        })
    }

    /// The values of the hits in their places, and `CACHE_MISSING` in those of the others.
    fn hits<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let this = self.wrapper.get();
        let mut values = Vec::new();
        self.each(|item| {
            let first = std::mem::replace(&mut item.first, First::Unread);
            match first {
                First::Read(snapshot) if !is_touched(py, &item.prepared)? => {
                    let plan = self.binding.fingerprint;
                    match looked_at(py, plan, snapshot, &this.judge.windows)? {
                        Read::Valid(finished, fill_us) => {
                            this.counters.hit(py, fill_us);
                            values.push(give(py, finished, Want::Value)?);
                            return Ok(());
                        }
                        Read::Unsure(found) if !item.again => item.first = found,
                        Read::Unsure(_) => {}
                    }
                }
                First::Read(_) => {}
                other => item.first = other,
            }
            values.push(cache_missing(py)?.into_bound(py).into_any());
            Ok(())
        })?;
        Ok(values)
    }

    /// Runs the call at a place that was no hit, in this thread.
    #[pyo3(signature = (at, want = "value"))]
    fn run<'py>(&self, py: Python<'py>, at: usize, want: &str) -> PyResult<Bound<'py, PyAny>> {
        let want = read_want(want)?;
        let (session, args, kwargs) = self.session(py, at, Crew::Thread)?;
        let (args, kwargs) = (args.bind(py), Some(kwargs.bind(py)));
        let finished = self.wrapper.get().drive(py, &self.binding, session, args, kwargs);
        if !matches!(&finished, Ok(Finished { status: Status::Hit | Status::Stale, .. })) {
            self.has_run.store(true, Ordering::Relaxed);
        }
        give(py, finished?, want)
    }

    /// The same call, for asyncio to drive.
    #[pyo3(signature = (at, want = "value"))]
    fn steps(&self, py: Python<'_>, at: usize, want: &str) -> PyResult<Steps> {
        let want = read_want(want)?;
        let (session, args, kwargs) = self.session(py, at, Crew::Task)?;
        let (args, kwargs) = (args.bind(py), Some(kwargs.bind(py)));
        let wrapper = self.wrapper.clone_ref(py);
        Ok(Steps::new(wrapper, Ok(session), want, args, kwargs, Mode::Get))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.wrapper)?;
        // A collector must not wait for a lock; what it misses now it finds later.
        let Some(items) = self.items.try_lock() else { return Ok(()) };
        items.iter().flatten().try_for_each(|item| {
            visit.call(&item.args)?;
            visit.call(&item.kwargs)
        })
    }
}

impl Batch {
    /// Does `work` with each of the calls that are left. They are taken out meanwhile, so that no lock is held
    /// while Python code runs.
    fn each(&self, mut work: impl FnMut(&mut Item) -> PyResult<()>) -> PyResult<()> {
        let mut items = std::mem::take(&mut *self.items.lock());
        let done = items.iter_mut().flatten().try_for_each(&mut work);
        *self.items.lock() = items;
        done
    }

    /// A call's flow, from what has been read.
    fn session(
        &self,
        py: Python<'_>,
        at: usize,
        crew: Crew,
    ) -> PyResult<(Session, Py<PyTuple>, Py<PyDict>)> {
        let item = self.items.lock().get_mut(at).and_then(Option::take);
        let Some(Item { args, kwargs, mut prepared, first, .. }) = item else {
            return Err(PyRuntimeError::new_err("this call has begun already"));
        };
        let wrapper = self.wrapper.bind(py);
        // The calls before it may have changed something: what a transaction has written, arguments, the cache.
        let anew = wrapper.get().prepare(&self.binding, args.bind(py), Some(kwargs.bind(py)))?;
        let is_same =
            anew.parts.key == prepared.parts.key && anew.parts.scopes == prepared.parts.scopes;
        let is_current = is_same && !anew.touched && !self.has_run.load(Ordering::Relaxed);
        prepared.touched = anew.touched;
        let (prepared, first) = if is_current { (prepared, first) } else { (anew, First::Unread) };
        let binding = Arc::clone(&self.binding);
        let session = Session::new(wrapper, binding, prepared, Mode::Get, crew, first, None)?;
        Ok((session, args, kwargs))
    }
}

/// Whether an open transaction of the caller has changed one of the call's scopes.
fn is_touched(py: Python<'_>, prepared: &Prepared) -> PyResult<bool> {
    Ok(process::any_open_transaction() && prepared.parts.is_touched(py)?)
}
