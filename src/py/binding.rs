//! What a wrapper uses until the next reconfiguration, and calls bound to it.

use super::bind::{Mismatch, Values, explain};
use super::encode::Encoder;
use super::fields::{Caller, Field, QUERY_STRING, Source, write_query};
use super::judge::{Judge, Lifetime};
use super::loose::Reading;
use super::objects::class_identity;
use super::plan::{Parts, RuleSet};
use super::process;
use super::sources::query_of;
use super::ttl::Ttl;
use super::wrapper::Wrapper;
use crate::call::{Mode, Sharing, Status, Target};
use crate::flight::{Crew, next_sequence};
use crate::index::ProcessIndex;
use crate::key::Tag;
use pyo3::Borrowed;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

/// The cache and settings that a wrapper uses until the next reconfiguration.
pub struct Binding {
    enabled: bool,
    /// The cache behind its small interface.
    pub storage: Py<PyAny>,
    /// Bound `get` of an in-process cache.
    pub get: Option<Py<PyAny>>,
    /// Generations of an in-process cache; `None` for shared backends.
    pub index: Option<Arc<ProcessIndex>>,
    sharing: Sharing,
    flight_timeout: Duration,
    lease_timeout: Duration,
    /// The cache is a table of a database, and so part of the caller's transactions.
    pub transactional: bool,
    /// Arguments that rules map together.
    pub rules: Vec<RuleSet>,
    /// Of the key plan and the rules; entries of another one are misses.
    pub fingerprint: u64,
}

/// A bound call, its key and its surroundings.
pub struct Prepared {
    /// Key and scopes.
    pub parts: Parts,
    /// An open transaction of the caller has changed one of the scopes.
    pub touched: bool,
    started: u64,
    fingerprint: u64,
    origin: u64,
}

impl Prepared {
    /// What the flow is about.
    pub fn target(&self, binding: &Binding, crew: Crew) -> Target {
        Target {
            key: self.parts.key,
            plan: self.fingerprint,
            origin: self.origin,
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

impl Wrapper {
    /// Whether the cache takes part in calls of this mode at all.
    pub fn usable(&self, binding: &Binding, mode: Mode) -> bool {
        binding.enabled
            && mode != Mode::Bypass
            && !matches!((mode, &self.judge.lifetime), (Mode::Get, Lifetime::Fixed(Ttl::Nothing)))
    }

    pub fn binding(slf: &Bound<'_, Self>) -> PyResult<Arc<Binding>> {
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

    pub fn compile_binding(&self, spec: BindingSpec<'_>) -> PyResult<Binding> {
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
                    PyValueError::new_err(format!("{} has no argument {name:?}", self.judge.label))
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
            transactional: !storage.getattr("database")?.is_none(),
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

    pub fn bind<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        partial: bool,
    ) -> PyResult<Values<'py>> {
        self.signature.bind(args, kwargs, partial).map_err(|Mismatch| {
            let function = self.function.bind(args.py());
            explain(function, &self.judge.label, args, kwargs, partial)
        })
    }

    pub fn parts<'py>(
        &self,
        py: Python<'py>,
        binding: &Binding,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Parts> {
        if binding.rules.is_empty()
            && let Some(encoder) = self.straight_call(args, kwargs)?
        {
            let (key, text) = self.plan.key(&encoder, None);
            return Ok(Parts { key, text, scopes: vec![self.plan.function_scope] });
        }
        let values = self.bind(args, kwargs, false)?;
        let heir = self.heir(py, &values)?;
        self.plan.build(&self.caller(py, &values, false), &binding.rules, heir.as_deref())
    }

    /// The text of a call's key.
    pub fn key_text<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyString>> {
        if let Some(encoder) = self.straight_call(args, kwargs)? {
            return Ok(self.plan.python_text(py, &encoder, None));
        }
        let values = self.bind(args, kwargs, false)?;
        let heir = self.heir(py, &values)?;
        self.plan.text(&self.caller(py, &values, false), heir.as_deref())
    }

    /// The canonical bytes of a call.
    pub fn canonical(
        &self,
        py: Python<'_>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Encoder> {
        if let Some(encoder) = self.straight_call(args, kwargs)? {
            return Ok(encoder);
        }
        let values = self.bind(args, kwargs, false)?;
        let heir = self.heir(py, &values)?;
        self.plan.canonical(&self.caller(py, &values, false), heir.as_deref())
    }

    fn straight_call(
        &self,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Option<Encoder>> {
        // A copy: encoding a value may run code that changes the dict.
        let keywords: Option<SmallVec<[_; 8]>> = kwargs.map(|kwargs| kwargs.iter().collect());
        self.straight(args.py(), args.iter_borrowed(), keywords.as_deref().unwrap_or_default())
    }

    /// The canonical bytes of a call whose arguments need no binding; `None` for any other.
    pub fn straight<'a, 'py>(
        &'a self,
        py: Python<'py>,
        args: impl ExactSizeIterator<Item = Borrowed<'a, 'py, PyAny>>,
        keywords: &'a [(Bound<'py, PyAny>, Bound<'py, PyAny>)],
    ) -> PyResult<Option<Encoder>> {
        if !self.plan.straight || self.owner.is_some() {
            return Ok(None);
        }
        let Some(values) = self.signature.lay_out(py, args, keywords) else { return Ok(None) };
        let field = &self.plan.fields[0];
        if let Source::Query { request, params } = &field.source {
            let request = request.argument.map(|at| values[at]).filter(|given| !given.is_none());
            return request
                .map(|request| self.query(field, &request, params.as_deref()))
                .transpose();
        }
        let mut encoder = Encoder::new();
        encoder.sort_lists = field.sort_lists;
        encoder.writer.open(Tag::Tuple, values.len());
        for (at, value) in values.into_iter().enumerate() {
            encoder.value(&value, 0).map_err(|refusal| {
                let name = self.signature.names().nth(at).unwrap_or_default();
                refusal.blame(py, &format!("argument '{name}'"), &self.judge.label)
            })?;
        }
        Ok(Some(encoder))
    }

    /// The canonical bytes of a call of which the query string of this request is all that counts.
    fn query(
        &self,
        field: &Field,
        request: &Bound<'_, PyAny>,
        params: Option<&[Py<PyString>]>,
    ) -> PyResult<Encoder> {
        let query = query_of(request)?;
        let mut encoder = Encoder::new();
        encoder.sort_lists = field.sort_lists;
        write_query(query.as_ref(), params, &mut encoder)
            .map_err(|refusal| refusal.blame(request.py(), QUERY_STRING, &self.judge.label))?;
        Ok(encoder)
    }

    /// The class on which a method is called, where it is not the one that was defined: what the method
    /// does may depend on it, so its results are not the parent's.
    pub fn heir(&self, py: Python<'_>, values: &Values<'_>) -> PyResult<Option<String>> {
        let (Some((module, qualname)), Some(Some(first))) = (&self.owner, values.first()) else {
            return Ok(None);
        };
        let class = match first.cast::<PyType>() {
            Ok(class) => class.clone(),
            Err(_) => first.get_type(),
        };
        let is_owner = |class: &Bound<'_, PyType>| -> PyResult<bool> {
            Ok(class.qualname()? == qualname.as_str()
                && class.getattr(intern!(py, "__module__"))?.eq(module)?)
        };
        let mut owns = false;
        for base in class.mro().iter() {
            owns = owns || is_owner(base.cast::<PyType>()?)?;
        }
        if !owns {
            return Ok(None); // a static method, or a function that was put into other classes
        }
        let identity = class_identity(&class)?;
        let is_the_one = is_owner(&class)? && identity == format!("{module}:{qualname}");
        Ok((!is_the_one).then_some(identity))
    }

    pub fn prepare<'py>(
        &self,
        py: Python<'py>,
        binding: &Binding,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Prepared> {
        // From before the first read, so that the order of events is told safely.
        let started = next_sequence();
        let parts = self.parts(py, binding, args, kwargs)?;
        let touched = process::any_open_transaction() && parts.is_touched(py)?;
        let (fingerprint, origin) = (binding.fingerprint, self.plan.origin);
        Ok(Prepared { parts, touched, started, fingerprint, origin })
    }

    /// The call, as fields see it.
    pub fn caller<'a, 'py>(
        &'a self,
        py: Python<'py>,
        values: &'a Values<'py>,
        partial: bool,
    ) -> Caller<'a, 'py> {
        let Self { function, signature, judge: Judge { label, .. }, .. } = self;
        let function = function.bind(py);
        Caller { py, label, function, signature, values, partial, failed: RefCell::new(None) }
    }
}

/// How a call resolves in which the cache takes no part: with `ttl=0` it is a plain miss.
pub fn unusable_status(binding: &Binding, mode: Mode) -> Status {
    if binding.enabled && mode == Mode::Get { Status::Miss } else { Status::Bypass }
}
