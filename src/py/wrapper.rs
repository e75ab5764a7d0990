//! `_core.Wrapper`: the base class of `CachedWrapper`, and the synchronous call.

use super::bind::{Mismatch, Signature, Values, explain};
use super::bound::BoundWrapper;
use super::loose::Reading;
use super::names;
use super::outcome::{Blob, cache_missing, metadata};
use super::plan::{Field, Parts, Plan, RuleSet, Source};
use super::process;
use super::session::{Finished, Landing, Session, Step, load};
use super::steps::Steps;
use super::ttl::{Ttl, read_ttl};
use crate::call::{Mode, Sharing, Status, Target, valid_in};
use crate::flight::{Crew, Flight, Flights, next_sequence};
use crate::index::ProcessIndex;
use crate::key::Writer;
use crate::port::{Lease, Snapshot};
use parking_lot::Mutex;
use pyo3::PyTraverseError;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple, PyType};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a waiting thread looks for signals such as Ctrl-C.
const SIGNAL_CHECK: Duration = Duration::from_millis(200);
/// Tokens of shared scopes live at least a week, so that few entries die with theirs.
const SHARED_TOKEN_SECONDS: i64 = 7 * 24 * 3600;
/// An entry's own token must outlive the function's run and then the entry.
const LONGEST_FILL_SECONDS: i64 = 3600;
/// Where only the result tells the ttl.
const UNKNOWN_TTL_SECONDS: i64 = 30 * 24 * 3600;

/// How long tokens made by this wrapper's fills live, in seconds; `None` is for ever.
#[derive(Clone, Copy)]
pub struct Lifetimes {
    /// Those of shared scopes.
    pub shared: Option<i64>,
    /// Those of single entries.
    pub own: Option<i64>,
}

/// The cache and settings that a wrapper uses until the next reconfiguration.
pub struct Binding {
    enabled: bool,
    storage: Py<PyAny>,
    /// Bound `get` of an in-process cache.
    get: Option<Py<PyAny>>,
    /// Generations of an in-process cache; `None` for shared backends.
    pub index: Option<Arc<ProcessIndex>>,
    sharing: Sharing,
    flight_timeout: Duration,
    lease_timeout: Duration,
    rules: Vec<RuleSet>,
    fingerprint: u64,
}

/// A bound call, its key and its surroundings.
pub struct Prepared {
    /// Key and scopes.
    pub parts: Parts,
    /// An open transaction of the caller has changed one of the scopes.
    pub touched: bool,
    started: u64,
    fingerprint: u64,
}

impl Prepared {
    /// What the flow is about.
    pub fn target(&self, binding: &Binding, crew: Crew) -> Target {
        Target {
            key: self.parts.key,
            plan: self.fingerprint,
            scopes: self.parts.scopes.clone(),
            index: binding.index.clone(),
            sharing: binding.sharing,
            crew,
            flight_timeout: binding.flight_timeout,
            lease_timeout: binding.lease_timeout,
            started: self.started,
        }
    }
}

enum Lifetime {
    Fixed(Ttl),
    Called { callable: Py<PyAny>, with_call: bool },
}

struct Predicate {
    callable: Py<PyAny>,
    negate: bool,
    with_call: bool,
}

/// What a method of the wrapper gives back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// The value, or `CACHE_MISSING`.
    Value,
    /// `(value, metadata)`.
    Both,
    /// The metadata, or `None` when nothing is cached.
    Metadata,
}

/// Keys, reads, fills and stores the results of one function.
#[pyclass(module = "cache_result._core", subclass, frozen)]
pub struct Wrapper {
    function: Py<PyAny>,
    label: String,
    signature: Signature,
    plan: Plan,
    spec: Vec<u8>,
    lifetime: Lifetime,
    predicate: Option<Predicate>,
    asynchronous: bool,
    /// The class whose body the function was defined in, if it is a method.
    owner: PyOnceLock<Py<PyType>>,
    binding: Mutex<(u64, Option<Arc<Binding>>)>,
    /// Fills of this process that others may wait for.
    pub flights: Arc<Flights<Landing>>,
}

type ParameterSpec = (Py<PyString>, u8, Py<PyAny>, bool);
type FieldSpec<'py> = (String, String, Bound<'py, PyAny>, bool, bool, bool);
type RuleMember<'py> = (String, String, Bound<'py, PyAny>);
type BindingSpec<'py> = (
    bool,
    Bound<'py, PyAny>,
    Option<Bound<'py, PyAny>>,
    Option<Bound<'py, super::index::Index>>,
    String,
    f64,
    f64,
    Vec<Vec<RuleMember<'py>>>,
);

#[pymethods]
impl Wrapper {
    /// The compiled form of a decorated function; `CachedWrapper` makes the arguments.
    #[new]
    #[pyo3(signature = (function, label, asynchronous, function_id, namespace, version, parameters,
                        fields, ttl, predicate))]
    #[allow(clippy::too_many_arguments)] // one constructor call, made in one place
    fn new(
        py: Python<'_>,
        function: Py<PyAny>,
        label: String,
        asynchronous: bool,
        function_id: &str,
        namespace: &str,
        version: Option<i64>,
        parameters: Vec<ParameterSpec>,
        fields: Vec<FieldSpec<'_>>,
        ttl: (Bound<'_, PyAny>, bool, bool),
        predicate: Option<(Py<PyAny>, bool, bool)>,
    ) -> PyResult<Self> {
        let signature = Signature::new(parameters, py);
        let too_long = |_| PyValueError::new_err("cache_result: the function's name is too long");
        let mut identity = Writer::new();
        identity.str(namespace).map_err(too_long)?;
        identity.str(function_id).map_err(too_long)?;
        let mut head = match namespace {
            "" => function_id.to_owned(),
            _ => format!("{namespace}:{function_id}"),
        };
        if let Some(version) = version {
            identity.int(version);
            head = format!("{head}:v{version}");
        }
        let mut function_bytes = Writer::new();
        function_bytes.str(function_id).map_err(too_long)?;
        let mut spec = Writer::new();
        let fields = fields
            .into_iter()
            .map(|field| compile_field(field, &mut spec))
            .collect::<PyResult<Vec<_>>>()?;
        let (ttl, called, with_call) = ttl;
        Ok(Self {
            function,
            label,
            plan: Plan {
                head: crate::key::readable(&head, head.len().max(2)),
                identity: identity.into_bytes(),
                function_scope: Plan::function_scope_of(function_bytes.as_bytes()),
                function: function_bytes.into_bytes(),
                fields,
            },
            signature,
            spec: spec.into_bytes(),
            lifetime: if called {
                Lifetime::Called { callable: ttl.unbind(), with_call }
            } else {
                Lifetime::Fixed(read_ttl(&ttl)?)
            },
            predicate: predicate.map(|(callable, negate, with_call)| Predicate {
                callable,
                negate,
                with_call,
            }),
            asynchronous,
            owner: PyOnceLock::new(),
            binding: Mutex::new((0, None)),
            flights: Arc::default(),
        })
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::run(slf, args, kwargs, Mode::Get, Want::Value)
    }

    /// The key under which this call's entry lives in the Django cache. No I/O.
    #[pyo3(signature = (*args, **kwargs))]
    fn get_cache_key<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyString>> {
        let binding = Self::binding(slf)?;
        let parts = slf.get().parts(slf.py(), &binding, args, kwargs)?;
        Ok(PyString::new(slf.py(), &parts.text))
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

    fn __set_name__(&self, py: Python<'_>, owner: Bound<'_, PyType>, _name: &str) {
        // The first class counts: an alias in another body does not move the method.
        let _ = self.owner.set(py, owner.unbind());
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
        Self::run(slf, args, kwargs, read_mode(mode)?, read_want(want)?)
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
            let prepared = slf.get().prepare(slf.py(), &binding, args, kwargs)?;
            Ok(Session::new(slf, binding, prepared, mode, Crew::Task, None)?)
        } else if mode == Mode::Peek {
            Err(absent())
        } else {
            let status = unusable_status(&binding, mode);
            Err(Finished { value: None, status, times: None })
        };
        Ok(Steps::new(slf.clone().unbind(), work, read_want(want)?, args, kwargs, mode))
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
        let parts = slf.get().parts(py, &binding, args, kwargs)?;
        let own = PyBytes::new(py, &crate::index::ScopeId::own(&parts.key).0);
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
        let function = this.function.bind(py);
        let values = this.bind(args, kwargs, true)?;
        let rules = &binding.rules;
        let scope = this.plan.prefix(py, &this.label, function, &this.signature, &values, rules)?;
        Ok(PyBytes::new(py, &scope.0))
    }

    /// The scope of the whole function.
    fn _function_scope<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.plan.function_scope.0)
    }

    /// The scopes that a rule changes when it fires with these values of its parameters.
    fn _fired_scopes<'py>(
        slf: &Bound<'py, Self>,
        values: &Bound<'py, PyDict>,
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
                for scope in this.plan.fired(set, &given)? {
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
        if let Lifetime::Called { callable, .. } = &self.lifetime {
            visit.call(callable)?;
        }
        if let Some(predicate) = &self.predicate {
            visit.call(&predicate.callable)?;
        }
        Ok(())
    }
}

impl Wrapper {
    /// The synchronous call, from arguments to result.
    pub fn run<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        mode: Mode,
        want: Want,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let binding = Self::binding(slf)?;
        if !this.usable(&binding, mode) {
            if mode == Mode::Peek {
                return give(py, absent(), want);
            }
            let value = this.function.bind(py).call(args, kwargs)?;
            let status = unusable_status(&binding, mode);
            let finished = Finished { value: Some(value.unbind()), status, times: None };
            return give(py, finished, want);
        }
        let prepared = this.prepare(py, &binding, args, kwargs)?;
        let mut first = None;
        if let (Some(get), Mode::Get | Mode::Peek, false) = (&binding.get, mode, prepared.touched) {
            let entry = match get.bind(py).call1((prepared.parts.text.as_str(),)) {
                Ok(stored) => Blob::read(&stored),
                // The value under this key does not load: the storage deletes it.
                Err(error) if error.is_instance_of::<PyException>(py) => {
                    let keys = PyList::new(py, [prepared.parts.text.as_str()])?;
                    binding.storage.bind(py).call_method1("delete", (keys,))?;
                    None
                }
                Err(error) => return Err(error),
            };
            if let (Some(entry), Some(index)) = (&entry, &binding.index) {
                let Parts { key, scopes, .. } = &prepared.parts;
                let bytes = entry.as_ref();
                let found = valid_in(index, bytes, binding.fingerprint, key, scopes);
                let loaded = found.map(|(times, payload)| (times, load(py, entry, payload)));
                if let Some((times, Ok(value))) = loaded {
                    let value = Some(value.unbind());
                    let times = Some(times);
                    return give(py, Finished { value, status: Status::Hit, times }, want);
                }
            }
            let snapshot = Snapshot { entry, tokens: Vec::new(), lease: Lease::Free };
            first = Some(snapshot);
        }
        let session = Session::new(slf, Arc::clone(&binding), prepared, mode, Crew::Thread, first)?;
        let finished = this.drive(py, &binding, session, args, kwargs)?;
        give(py, finished, want)
    }

    fn drive<'py>(
        &self,
        py: Python<'py>,
        binding: &Binding,
        mut session: Session,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Finished> {
        let storage = binding.storage.bind(py);
        let mut step = session.start(py)?;
        loop {
            step = match step {
                Step::Over(finished) => return Ok(finished),
                Step::Io { method, args } => {
                    let reply = storage.call_method1(method, args)?;
                    session.reply(&reply)?
                }
                Step::Run { store, share } => {
                    match self.invoke(py, &session, store || share, args, kwargs) {
                        Err(error) => session.raised(py, &error)?,
                        Ok(value) if !store => session.returned(&value, None, share)?,
                        Ok(value) => match self.verdict(py, &value, args, kwargs) {
                            Ok(ttl) => session.returned(&value, ttl, share)?,
                            Err(error) => session.raised(py, &error)?,
                        },
                    }
                }
                Step::Wait { flight, timeout } => {
                    wait(py, &flight, timeout)?;
                    session.waited(py, &flight)?
                }
                Step::Pause(seconds) => {
                    py.detach(|| std::thread::sleep(Duration::from_secs_f64(seconds)));
                    py.check_signals()?;
                    session.paused(py)?
                }
            };
        }
    }

    /// Runs the function; while it leads a fill, nested calls of the same key run through.
    fn invoke<'py>(
        &self,
        py: Python<'py>,
        session: &Session,
        leads: bool,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let function = self.function.bind(py);
        if !leads {
            return function.call(args, kwargs);
        }
        let leading = names::leading(py)?;
        let held = leading.call_method0(intern!(py, "get"))?;
        let key = PyTuple::new(py, [session.key_bytes(py)])?;
        let more = held.call_method1(intern!(py, "union"), (key,))?;
        let token = leading.call_method1(intern!(py, "set"), (more,))?;
        let result = function.call(args, kwargs);
        leading.call_method1(intern!(py, "reset"), (token,))?;
        result
    }

    /// Whether and how long the value is stored; `None`: not at all. Errors of user code are
    /// reported and mean "not"; `_verdict_failed` raises them in DEBUG.
    fn verdict<'py>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Option<Ttl>> {
        let judged = || -> PyResult<Option<Ttl>> {
            if let Some(said) = self.ask_predicate(py, value, args, kwargs)?
                && !self.accepts(&said)?
            {
                return Ok(None);
            }
            let ttl = self.ask_ttl(py, value, args, kwargs)?;
            ttl.map_or_else(|| Ok(self.fixed_ttl()), |ttl| read_ttl(&ttl).map(Some))
        };
        judged().or_else(|error| {
            if !error.is_instance_of::<PyException>(py) {
                return Err(error);
            }
            self.report_verdict(py, &error).map(|()| None)
        })
    }

    fn report_verdict(&self, py: Python<'_>, error: &PyErr) -> PyResult<()> {
        let report = py.import("cache_result.reports")?.getattr("verdict_failed")?;
        report.call1((&self.label, error.value(py)))?;
        Ok(())
    }

    /// What the predicate says of `value` (it may be awaitable); `None` without a predicate.
    pub fn ask_predicate<'py>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(predicate) = &self.predicate else {
            return Ok(None);
        };
        ask(predicate.callable.bind(py), predicate.with_call, value, args, kwargs).map(Some)
    }

    /// Whether what the predicate said means "store".
    pub fn accepts(&self, said: &Bound<'_, PyAny>) -> PyResult<bool> {
        let negate = self.predicate.as_ref().is_some_and(|predicate| predicate.negate);
        Ok(said.is_truthy()? != negate)
    }

    /// What a callable ttl says of `value` (it may be awaitable); `None` for a fixed one.
    pub fn ask_ttl<'py>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Lifetime::Called { callable, with_call } = &self.lifetime else {
            return Ok(None);
        };
        ask(callable.bind(py), *with_call, value, args, kwargs).map(Some)
    }

    /// The ttl that does not depend on the result.
    pub fn fixed_ttl(&self) -> Option<Ttl> {
        match self.lifetime {
            Lifetime::Fixed(ttl) => Some(ttl),
            Lifetime::Called { .. } => None,
        }
    }

    /// How long this wrapper's tokens live.
    pub fn lifetimes(&self) -> Lifetimes {
        let longest = match self.lifetime {
            Lifetime::Fixed(Ttl::Forever) => {
                return Lifetimes { shared: None, own: None };
            }
            Lifetime::Fixed(Ttl::Millis(millis)) => millis / 1000 + 1,
            Lifetime::Fixed(Ttl::Nothing) => 0,
            Lifetime::Called { .. } => UNKNOWN_TTL_SECONDS,
        };
        Lifetimes {
            shared: Some(SHARED_TOKEN_SECONDS.max(longest * 2)),
            own: Some(longest + LONGEST_FILL_SECONDS),
        }
    }

    /// Whether the cache takes part in calls of this mode at all.
    fn usable(&self, binding: &Binding, mode: Mode) -> bool {
        binding.enabled
            && mode != Mode::Bypass
            && !matches!((mode, &self.lifetime), (Mode::Get, Lifetime::Fixed(Ttl::Nothing)))
    }

    fn binding(slf: &Bound<'_, Self>) -> PyResult<Arc<Binding>> {
        let epoch = process::epoch();
        {
            let held = slf.get().binding.lock();
            if let (at, Some(binding)) = &*held
                && *at == epoch
            {
                return Ok(Arc::clone(binding));
            }
        }
        let spec: BindingSpec<'_> = slf.call_method0("_bind")?.extract()?;
        let binding = Arc::new(slf.get().compile_binding(spec)?);
        let replaced =
            std::mem::replace(&mut *slf.get().binding.lock(), (epoch, Some(Arc::clone(&binding))));
        drop(replaced);
        Ok(binding)
    }

    fn compile_binding(&self, spec: BindingSpec<'_>) -> PyResult<Binding> {
        let (enabled, storage, get, index, sharing, flight_timeout, lease_timeout, rule_sets) =
            spec;
        let mut shape = blake3::Hasher::new();
        shape.update(&self.spec);
        let names: Vec<&str> = self.signature.names().collect();
        let mut rules = Vec::new();
        for set in rule_sets {
            let mut members = Vec::new();
            for (name, reading, to_python) in set {
                let at = names.iter().position(|known| *known == name).ok_or_else(|| {
                    PyValueError::new_err(format!("{} has no argument {name:?}", self.label))
                })?;
                shape.update(name.as_bytes()).update(b"\0").update(reading.as_bytes());
                let reading = match reading.as_str() {
                    "integer" => Reading::Integer,
                    "text" => Reading::Text,
                    _ => Reading::Field,
                };
                members.push((at, name, reading, to_python.unbind()));
            }
            members.sort_by(|one, two| one.1.cmp(&two.1));
            shape.update(b"\n");
            rules.push(RuleSet { members });
        }
        let mut fingerprint = [0; 8];
        shape.finalize_xof().fill(&mut fingerprint);
        Ok(Binding {
            enabled,
            storage: storage.unbind(),
            get: get.map(Bound::unbind),
            index: index.map(|index| Arc::clone(&index.get().index)),
            sharing: match sharing.as_str() {
                "cluster" => Sharing::Cluster,
                "process" => Sharing::Process,
                _ => Sharing::Nobody,
            },
            flight_timeout: Duration::from_secs_f64(flight_timeout),
            lease_timeout: Duration::from_secs_f64(lease_timeout),
            rules,
            fingerprint: u64::from_le_bytes(fingerprint),
        })
    }

    fn bind<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        partial: bool,
    ) -> PyResult<Values<'py>> {
        self.signature.bind(args, kwargs, partial).map_err(|Mismatch| {
            let function = self.function.bind(args.py());
            explain(function, &self.label, args, kwargs, partial)
        })
    }

    fn parts<'py>(
        &self,
        py: Python<'py>,
        binding: &Binding,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Parts> {
        let values = self.bind(args, kwargs, false)?;
        let function = self.function.bind(py);
        let heir = self.heir(py, &values)?;
        let heir = heir.as_deref();
        self.plan.build(py, &self.label, function, &self.signature, &values, &binding.rules, heir)
    }

    /// The class on which an inherited method is called, where it is not the defining one: what the
    /// method does may depend on it, so its results are not the parent's.
    fn heir(&self, py: Python<'_>, values: &Values<'_>) -> PyResult<Option<String>> {
        let (Some(owner), Some(Some(first))) = (self.owner.get(py), values.first()) else {
            return Ok(None);
        };
        let class = match first.cast::<PyType>() {
            Ok(class) => class.clone(),
            Err(_) => first.get_type(),
        };
        if class.is(owner) {
            return Ok(None);
        }
        Ok(Some(class.fully_qualified_name()?.to_string()))
    }

    fn prepare<'py>(
        &self,
        py: Python<'py>,
        binding: &Binding,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Prepared> {
        // From before the first read, so that the order of events is told safely.
        let started = next_sequence();
        let parts = self.parts(py, binding, args, kwargs)?;
        let touched = process::any_open_transaction() && {
            let scopes = parts.scopes.iter().map(|scope| PyBytes::new(py, &scope.0));
            names::is_touched(py)?.call1((PyList::new(py, scopes)?,))?.is_truthy()?
        };
        Ok(Prepared { parts, touched, started, fingerprint: binding.fingerprint })
    }
}

/// How a call resolves in which the cache takes no part: with `ttl=0` it is a plain miss.
fn unusable_status(binding: &Binding, mode: Mode) -> Status {
    if binding.enabled && mode == Mode::Get { Status::Miss } else { Status::Bypass }
}

fn compile_field(field: FieldSpec<'_>, spec: &mut Writer) -> PyResult<Field> {
    let (name, kind, data, partition, hash_value, sort_lists) = field;
    let too_long = |_| PyValueError::new_err("cache_result: the key constructor is too large");
    for text in [&name, &kind, &format!("{partition}{sort_lists}")] {
        spec.str(text).map_err(too_long)?;
    }
    let source = match kind.as_str() {
        "arguments" => {
            let slots: Vec<usize> = data.extract()?;
            spec.str(&format!("{slots:?}")).map_err(too_long)?;
            Source::Arguments(slots)
        }
        "constant" => {
            let mut encoder = super::encode::Encoder::new();
            encoder.sort_lists = sort_lists;
            if encoder.value(&data, 0).is_err() {
                return Err(pyo3::exceptions::PyTypeError::new_err(format!(
                    "cache_result: the constant of the key field {name:?} has no stable key"
                )));
            }
            let text = super::loose::loose(&data)?.unwrap_or_default();
            Source::Constant(encoder.writer.into_bytes(), text)
        }
        _ => {
            let class = data.get_type().fully_qualified_name()?.to_string();
            spec.str(&class).map_err(too_long)?;
            Source::Payload(data.unbind())
        }
    };
    Ok(Field { name, source, partition, hash_value, sort_lists })
}

fn ask<'py>(
    callable: &Bound<'py, PyAny>,
    with_call: bool,
    value: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    if !with_call {
        return callable.call1((value,));
    }
    let py = value.py();
    let mut all = vec![value.clone()];
    all.extend(args.iter());
    callable.call(PyTuple::new(py, all)?, kwargs)
}

/// Blocks without the GIL until the flight has ended or the time is over.
fn wait(py: Python<'_>, flight: &Flight<Landing>, timeout: Duration) -> PyResult<()> {
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).min(SIGNAL_CHECK);
        if py.detach(|| flight.wait(left)).is_some() || Instant::now() >= deadline {
            return Ok(());
        }
        py.check_signals()?;
    }
}

/// What a peek finds when there is nothing.
pub fn absent() -> Finished {
    Finished { value: None, status: Status::Miss, times: None }
}

/// A finished call in the form that was wanted.
pub fn give(py: Python<'_>, finished: Finished, want: Want) -> PyResult<Bound<'_, PyAny>> {
    let Finished { value, status, times } = finished;
    match (want, value) {
        (Want::Value, Some(value)) => Ok(value.into_bound(py)),
        (Want::Value, None) => Ok(cache_missing(py)?.into_bound(py).into_any()),
        (Want::Metadata, None) => Ok(py.None().into_bound(py)),
        (Want::Metadata, Some(_)) => Ok(metadata(py, status, times)?.into_any()),
        (Want::Both, value) => {
            let value = match value {
                Some(value) => value,
                None => cache_missing(py)?.into_any(),
            };
            let metadata = metadata(py, status, times)?.into_any();
            Ok(PyTuple::new(py, [value.into_bound(py), metadata])?.into_any())
        }
    }
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

fn read_want(want: &str) -> PyResult<Want> {
    match want {
        "value" => Ok(Want::Value),
        "both" => Ok(Want::Both),
        "metadata" => Ok(Want::Metadata),
        _ => Err(PyValueError::new_err(format!("no such result: {want:?}"))),
    }
}
