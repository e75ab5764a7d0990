//! `_core.Wrapper`: the base class of `CachedWrapper`.

use super::bind::Signature;
use super::binding::{Binding, Remembered, unusable_status};
use super::bound::BoundWrapper;
use super::compile::{FieldSpec, compile_field};
use super::counters::{Counted, Counters};
use super::encode::Encoder;
use super::explain::{Contribution, NamedScope};
use super::judge::{Judge, Lifetime, Predicate};
use super::loose::coerced;
use super::names;
use super::outcome::Want;
use super::outcome::{Finished, absent, cache_missing, read_want};
use super::plan::{Name, Plan};
use super::session::{Landing, Session};
use super::steps::Steps;
use super::tags::{Tags, TagsSpec};
use super::ttl::read_ttl;
use crate::backoff::Backoffs;
use crate::call::{First, Mode, Windows};
use crate::flight::{Crew, Flights};
use crate::index::ScopeId;
use parking_lot::Mutex;
use pyo3::PyTraverseError;
use pyo3::exceptions::PyValueError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A parameter as Python describes it: name, kind, default, whether there is one.
pub type ParameterSpec = (Py<PyString>, u8, Py<PyAny>, bool);

/// Keys, reads, fills and stores the results of one function.
#[pyclass(module = "cache_result._core", subclass, frozen)]
pub struct Wrapper {
    /// What is wrapped.
    pub function: Py<PyAny>,
    /// Predicate and ttl.
    pub judge: Judge,
    /// The function's parameters.
    pub signature: Signature,
    /// How keys and scopes are made.
    pub plan: Plan,
    /// Its calls' tags.
    pub tags: Tags,
    /// What distinguishes the plan from others of the same function.
    pub spec: Vec<u8>,
    asynchronous: bool,
    /// Module and qualified name of the class in whose body the function was defined, if it was.
    pub owner: Option<(String, String)>,
    /// The configuration epoch, and what was looked up in it.
    pub binding: Mutex<(u64, Option<Arc<Binding>>)>,
    /// Our own store, where the first binding found it, for [`Wrapper::quick`]; and the configuration epoch
    /// in which it is still the one, or 0. To read both takes no lock.
    pub quick: (AtomicU64, OnceLock<Remembered>),
    /// What became of its calls.
    pub counters: Counters,
    /// Fills of this process that others may wait for.
    pub flights: Arc<Flights<Landing>>,
    /// Entries that this process makes anew in the background.
    pub renewals: Arc<Flights<Landing>>,
    /// Keys whose fills have failed in this process.
    pub backoffs: Arc<Backoffs>,
}

#[pymethods]
impl Wrapper {
    /// The compiled form of a decorated function; `CachedWrapper` makes the arguments.
    #[new]
    #[pyo3(signature = (function, label, asynchronous, function_id, namespace, version, style, parameters,
                        owner, fields, ttl, predicate, windows, tags))]
    #[allow(clippy::too_many_arguments)] // one constructor call, made in one place
    fn new(
        py: Python<'_>,
        function: Py<PyAny>,
        label: String,
        asynchronous: bool,
        function_id: &str,
        namespace: &str,
        version: i64,
        style: (usize, bool),
        parameters: Vec<ParameterSpec>,
        owner: Option<(String, String)>,
        fields: Vec<FieldSpec<'_>>,
        ttl: (Bound<'_, PyAny>, bool, bool),
        predicate: Option<(Py<PyAny>, bool, bool)>,
        windows: WindowsSpec,
        tags: TagsSpec,
    ) -> PyResult<Self> {
        let signature = Signature::new(parameters, py);
        let mut spec = Encoder::new();
        let fields = fields
            .into_iter()
            .map(|field| compile_field(field, &mut spec))
            .collect::<PyResult<Vec<_>>>()?;
        let spec = std::mem::take(&mut spec.writer).into_bytes();
        let name = Name { namespace, function_id, version };
        let (ttl, called, with_call) = ttl;
        let lifetime = if called {
            Lifetime::Called { callable: ttl.unbind(), with_call }
        } else {
            Lifetime::Fixed(read_ttl(&ttl)?)
        };
        let (windows, error_types) = read_windows(windows);
        let predicate = predicate.map(|(callable, negate, with_call)| Predicate {
            callable,
            negate,
            with_call,
        });
        Ok(Self {
            function,
            judge: Judge { label, lifetime, predicate, windows, error_types },
            plan: Plan::new(&name, style, &spec, fields, &signature, owner.is_some())?,
            tags: Tags::new(tags, signature.names())?,
            signature,
            spec,
            asynchronous,
            owner,
            binding: Mutex::new((0, None)),
            quick: Default::default(),
            counters: Counters::default(),
            flights: Arc::default(),
            renewals: Arc::default(),
            backoffs: Arc::default(),
        })
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut encoder = Encoder::new();
        if let Some(value) = slf.get().quick(args, kwargs, &mut encoder)? {
            return Ok(value);
        }
        let written = (!encoder.writer.is_empty()).then(|| encoder.into());
        Self::run(slf, written, args, kwargs, Mode::Get, Want::Value)
    }

    /// The canonical bytes of a call: what its key is the hash of.
    #[pyo3(signature = (*args, **kwargs))]
    fn _canonical<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let written = self.write(args, kwargs, false)?;
        Ok(PyBytes::new(args.py(), written.encoder.writer.as_bytes()))
    }

    /// Key, contributions of the fields, and scopes of a call.
    #[pyo3(signature = (args, kwargs))]
    fn _explain<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<(String, Vec<Contribution>, Vec<NamedScope>)> {
        let binding = Self::binding(slf)?;
        slf.get().explain(slf.py(), &binding, args, kwargs)
    }

    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        instance: Option<Bound<'py, PyAny>>,
        _owner: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match instance {
            None => Ok(slf.clone().into_any()),
            Some(instance) => {
                let bound = BoundWrapper::new(slf.clone().unbind(), instance.unbind());
                Ok(Bound::new(slf.py(), bound)?.into_any())
            }
        }
    }

    /// A synchronous call in one of the modes "get", "peek", "refresh", "bypass".
    #[pyo3(signature = (mode, want, args, kwargs))]
    fn _run<'py>(
        slf: &Bound<'py, Self>,
        mode: &str,
        want: &str,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::run(slf, None, args, kwargs, read_mode(mode)?, read_want(want)?)
    }

    /// The same call, for asyncio to drive.
    #[pyo3(signature = (mode, want, args, kwargs))]
    fn _steps<'py>(
        slf: &Bound<'py, Self>,
        mode: &str,
        want: &str,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Steps> {
        let mode = read_mode(mode)?;
        let binding = Self::binding(slf)?;
        let work = if slf.get().usable(&binding, mode) {
            let prepared = slf.get().prepare(&binding, args, kwargs)?;
            Ok(Session::new(slf, binding, prepared, mode, Crew::Task, First::Unread, None)?)
        } else if mode == Mode::Peek {
            Err(absent())
        } else {
            let status = unusable_status(&binding, mode);
            Err(Finished { value: None, status, times: None })
        };
        Ok(Steps::new(slf.clone().unbind(), work, read_want(want)?, args, kwargs, mode))
    }

    /// The value of a hit in our own store, which takes no I/O; else `CACHE_MISSING`, and nothing has
    /// happened.
    #[pyo3(signature = (args, kwargs))]
    fn _hit<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        match Self::hit_at_hand(slf, args, kwargs) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Ok(cache_missing(py)?.into_bound(py).into_any()),
            // The key has to load something first.
            Err(error) if error.is_instance(py, names::synchronous_only(py)?) => {
                Ok(cache_missing(py)?.into_bound(py).into_any())
            }
            Err(error) => Err(error),
        }
    }

    /// What has been counted of its calls, as the fields of `CacheInfo`.
    fn _counted(&self, py: Python<'_>) -> Counted {
        self.counters.read(py)
    }

    /// The last call counts as one in which the cache took no part; see [`Counters::passed`].
    fn _passed(&self, py: Python<'_>, found: bool, run_us: u64) {
        self.counters.passed(py, found, run_us);
    }

    /// The storage that calls use now.
    fn _storage(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Ok(Self::binding(slf)?.storage.clone_ref(slf.py()))
    }

    /// `(key, own scope, other scopes)` of a call.
    #[pyo3(signature = (args, kwargs))]
    fn _parts<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<(String, Bound<'py, PyBytes>, Vec<Bound<'py, PyBytes>>)> {
        let py = slf.py();
        let binding = Self::binding(slf)?;
        let parts = slf.get().parts(&binding, args, kwargs)?;
        let own = PyBytes::new(py, &ScopeId::own(&parts.key).0);
        let scopes = parts.scopes.iter().map(|scope| PyBytes::new(py, &scope.0)).collect();
        Ok((parts.text, own, scopes))
    }

    /// The scope that a partial call names.
    #[pyo3(signature = (args, kwargs))]
    fn _prefix_scope<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let py = slf.py();
        let this = slf.get();
        let binding = Self::binding(slf)?;
        let values = this.bind(args, kwargs, true)?;
        let scope = this.plan.prefix(&this.caller(py, &values, true), &binding.rules)?;
        Ok(PyBytes::new(py, &scope.0))
    }

    /// What the keys of every version of the function start with.
    fn _head(&self) -> &str {
        self.plan.style.head()
    }

    /// The scope of the whole function, or its soft twin.
    #[pyo3(signature = (soft = false))]
    fn _function_scope<'py>(&self, py: Python<'py>, soft: bool) -> Bound<'py, PyBytes> {
        self.whole(py, soft)
    }

    /// The scopes that a rule changes when it fires with these values of its parameters, or their soft twins.
    #[pyo3(signature = (values, soft = false))]
    fn _fired_scopes<'py>(
        slf: &Bound<'py, Self>,
        values: &Bound<'py, PyDict>,
        soft: bool,
    ) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let py = slf.py();
        let this = slf.get();
        let binding = Self::binding(slf)?;
        let mut scopes = Vec::new();
        for set in &binding.rules {
            if set.members.len() != values.len() {
                continue;
            }
            let given: Option<Vec<Bound<'py, PyAny>>> = set
                .members
                .iter()
                .map(|(_, name, ..)| values.get_item(name).ok().flatten())
                .collect();
            if let Some(given) = given {
                if given.iter().zip(&set.members).any(|(value, (_, _, reading, to_python))| {
                    !value.is_none()
                        && coerced(value, *reading, to_python.bind(py)).is_ok_and(|t| t.is_none())
                }) {
                    // A value that is there and names no scope (a relation, a list).
                    return Ok(vec![this.whole(py, soft)]);
                }
                for scope in this.plan.fired(set, &given)? {
                    let scope = if soft { scope.soft() } else { scope };
                    if !scopes.contains(&scope) {
                        scopes.push(scope);
                    }
                }
            }
        }
        Ok(scopes.iter().map(|scope| PyBytes::new(py, &scope.0)).collect())
    }

    /// Whether the wrapped function is a coroutine function.
    #[getter]
    fn is_async(&self) -> bool {
        self.asynchronous
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.function)?;
        self.signature.traverse(&visit)?;
        self.plan.traverse(&visit)?;
        self.tags.traverse(&visit)?;
        self.judge.traverse(&visit)?;
        Ok(())
    }
}

impl Wrapper {
    fn whole<'py>(&self, py: Python<'py>, soft: bool) -> Bound<'py, PyBytes> {
        let scope = self.plan.function_scope();
        PyBytes::new(py, &if soft { scope.soft() } else { scope }.0)
    }
}

/// `stale_while_revalidate`, `stale_if_error`, `fill_timeout` in seconds; beta, jitter, classes of errors.
pub type WindowsSpec = (f64, f64, Option<f64>, f64, f64, Py<PyTuple>);

fn read_windows(spec: WindowsSpec) -> (Windows, Py<PyTuple>) {
    let (while_revalidate, if_error, fill_timeout, early, jitter, error_types) = spec;
    #[allow(clippy::cast_possible_truncation)] // saturates
    let millis = |seconds: f64| (seconds * 1000.0).ceil() as i64;
    let windows = Windows {
        while_revalidate: millis(while_revalidate),
        if_error: millis(if_error),
        fill_timeout: fill_timeout.map(Duration::from_secs_f64),
        early,
        jitter,
    };
    (windows, error_types)
}

fn read_mode(mode: &str) -> PyResult<Mode> {
    match mode {
        "get" => Ok(Mode::Get),
        "peek" => Ok(Mode::Peek),
        "refresh" => Ok(Mode::Refresh),
        "bypass" => Ok(Mode::Bypass),
        _ => Err(PyValueError::new_err(format!("no such mode: {mode:?}"))),
    }
}
