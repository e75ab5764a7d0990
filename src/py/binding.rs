//! What a wrapper uses until the next reconfiguration, and calls bound to it.

use super::bind::{Mismatch, Values, explain};
use super::copying::Kept;
use super::fields::Caller;
use super::index::Index;
use super::judge::{Judge, Lifetime};
use super::loose::Reading;
use super::memory::Memory;
use super::memory_view::View;
use super::objects::class_identity;
use super::plan::{Parts, RuleSet};
use super::process;
use super::ttl::Ttl;
use super::wrapper::Wrapper;
use super::written::Written;
use crate::call::{Mode, Sharing, Status, Target};
use crate::flight::{Crew, next_sequence};
use crate::index::Generations;
use crate::store::{Entry, Family, KeyRef};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The cache and settings that a wrapper uses until the next reconfiguration.
#[allow(clippy::struct_excessive_bools)] // none goes with another
pub struct Binding {
    enabled: bool,
    /// The cache behind its small interface.
    pub storage: Py<PyAny>,
    /// Bound `get` of an in-process cache.
    pub get: Option<Py<PyAny>>,
    /// Generations of an in-process cache; `None` for shared backends.
    pub index: Option<Arc<dyn Generations>>,
    /// Our own in-process store, which calls use without asking the storage.
    pub memory: Option<Remembered>,
    /// Whether what rules map and tags name is in the key as it is, so that a key has one set of scopes.
    pub covered: bool,
    sharing: Sharing,
    flight_timeout: Duration,
    lease_timeout: Duration,
    /// The cache is a table of a database, and so part of the caller's transactions.
    pub transactional: bool,
    /// Arguments that rules map together.
    pub rules: Vec<RuleSet>,
    /// Whether a rule makes entries stale, and not void.
    pub softens: bool,
    /// Of the key plan and the rules; entries of another one are misses.
    pub fingerprint: u64,
}

/// Our own store, and what distinguishes a wrapper's entries in it.
#[derive(Clone)]
pub struct Remembered {
    /// The store, as the cache sees it.
    pub view: Arc<View>,
    /// Whose entries.
    pub family: Arc<Family>,
    /// Whether calls may look for a quick hit.
    pub is_quick: bool,
}

impl Remembered {
    /// The entry of a call, by its canonical bytes, if it is valid without further thought.
    #[inline(always)]
    #[allow(clippy::inline_always)] // part of every hit
    pub fn call(&self, canonical: &[u8]) -> Option<Arc<Entry<Arc<Kept>>>> {
        self.view.call(&self.family, canonical)
    }

    /// The entry of a call, be it past its time.
    pub fn kept_call(&self, canonical: &[u8]) -> Option<Arc<Entry<Arc<Kept>>>> {
        self.view.kept_call(&self.family, canonical)
    }

    /// Removes the entry of a call.
    pub fn forget(&self, canonical: &[u8]) {
        drop(self.view.vault.store.remove(KeyRef::call(&self.family, canonical)));
    }
}

/// A bound call, its key and its surroundings.
pub struct Prepared {
    /// Key and scopes.
    pub parts: Parts,
    /// The canonical bytes, for our own store.
    pub canonical: Vec<u8>,
    /// An open transaction of the caller has changed one of the scopes.
    pub touched: bool,
    started: u64,
    fingerprint: u64,
    origin: u64,
}

impl Prepared {
    /// What the flow is about.
    pub fn target(&self, binding: &Binding, crew: Crew, wrapper: &Wrapper) -> Target {
        Target {
            key: self.parts.key,
            plan: self.fingerprint,
            origin: self.origin,
            scopes: self.parts.scopes.clone(),
            soft: self.parts.soft,
            index: binding.index.clone(),
            sharing: binding.sharing,
            crew,
            flight_timeout: binding.flight_timeout,
            lease_timeout: binding.lease_timeout,
            adds_tags: wrapper.tags.are_added.load(Ordering::Relaxed),
            started: self.started,
            windows: wrapper.judge.windows,
        }
    }
}

type RuleMember<'py> = (String, String, Bound<'py, PyAny>);
type BindingSpec<'py> = (
    bool,
    Bound<'py, PyAny>,
    Option<Bound<'py, PyAny>>,
    Option<Bound<'py, PyAny>>,
    String,
    f64,
    f64,
    Vec<(Vec<RuleMember<'py>>, bool)>,
    bool,
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
        let this = slf.get();
        this.set_quick(epoch, binding.memory.as_ref());
        let replaced =
            std::mem::replace(&mut *slf.get().binding.lock(), (epoch, Some(Arc::clone(&binding))));
        drop(replaced);
        Ok(binding)
    }

    fn set_quick(&self, epoch: u64, memory: Option<&Remembered>) {
        let (in_force, first) = &self.quick;
        let is_first = |memory: &&Remembered| {
            let first = first.get_or_init(|| (*memory).clone());
            Arc::ptr_eq(&first.view, &memory.view) && first.family == memory.family
        };
        let quick = memory.filter(|memory| memory.is_quick).filter(is_first);
        in_force.store(if quick.is_some() { epoch } else { 0 }, Ordering::Release);
    }

    pub fn compile_binding(&self, spec: BindingSpec<'_>) -> PyResult<Binding> {
        let (
            enabled,
            storage,
            get,
            index,
            sharing,
            flight_timeout,
            lease_timeout,
            rule_sets,
            softens,
        ) = spec;
        let mut shape = blake3::Hasher::new();
        shape.update(&self.spec).update(&[u8::from(softens)]);
        let names: Vec<&str> = self.signature.names().collect();
        let mut rules = Vec::new();
        for (set, soft) in rule_sets {
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
            shape.update(&[b'\n', u8::from(soft)]);
            rules.push(RuleSet { members, soft });
        }
        shape.update(&self.tags.shape);
        let mut fingerprint = [0; 8];
        shape.finalize_xof().fill(&mut fingerprint);
        let fingerprint = u64::from_le_bytes(fingerprint);
        let mapped = |set: &RuleSet| set.members.iter().all(|(at, ..)| self.plan.has_whole(*at));
        let covered = rules.iter().all(mapped) && self.tags.are_covered(&self.plan);
        let stores = !matches!(self.judge.lifetime, Lifetime::Fixed(Ttl::Nothing));
        let mut memory = None;
        let mut generations: Option<Arc<dyn Generations>> = None;
        if let Some(index) = index {
            if let Ok(index) = index.cast::<Index>() {
                generations = Some(Arc::clone(&index.get().index) as _);
            } else {
                let view = Arc::clone(&index.cast::<Memory>()?.get().view);
                generations = Some(Arc::clone(&view) as _);
                // Who has a say in keys or values is asked through the methods of the cache.
                if get.is_none() {
                    let family = Arc::new(view.family(&self.plan, fingerprint));
                    let is_quick = enabled && stores && covered;
                    memory = Some(Remembered { view, family, is_quick });
                }
            }
        }
        Ok(Binding {
            covered,
            memory,
            enabled,
            transactional: !storage.getattr("database")?.is_none(),
            storage: storage.unbind(),
            get: get.map(Bound::unbind),
            index: generations,
            sharing: match sharing.as_str() {
                "cluster" => Sharing::Cluster,
                "process" => Sharing::Process,
                _ => Sharing::Nobody,
            },
            flight_timeout: Duration::from_secs_f64(flight_timeout),
            lease_timeout: Duration::from_secs_f64(lease_timeout),
            rules,
            softens,
            fingerprint,
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
        binding: &Binding,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Prepared> {
        // From before the first read, so that the order of events is told safely.
        let started = next_sequence();
        self.prepare_written(binding, &self.write(args, kwargs, true)?, started, args, kwargs)
    }

    /// The same for a call that is written already, and that has read nothing since `started`.
    pub fn prepare_written<'py>(
        &self,
        binding: &Binding,
        written: &Written<'py>,
        started: u64,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Prepared> {
        let parts = self.parts_of(binding, written, args, kwargs)?;
        let touched = process::any_open_transaction() && parts.is_touched(args.py())?;
        let canonical = match binding.memory {
            Some(_) => written.encoder.writer.as_bytes().to_vec(),
            None => Vec::new(),
        };
        let (fingerprint, origin) = (binding.fingerprint, self.plan.origin());
        Ok(Prepared { parts, canonical, touched, started, fingerprint, origin })
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
