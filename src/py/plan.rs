//! A compiled key: which fields make it, and which scopes a call belongs to.

use super::bind::{Signature, Values};
use super::encode::Encoder;
use super::fields::{Caller, Field};
use super::loose::{Reading, coerced};
use super::names;
use super::partition::{Member, Run, text_member};
use crate::index::ScopeId;
use crate::key::{Digest, Style, Tag, Writer};
use crate::world;
use pyo3::PyTraverseError;
use pyo3::exceptions::PyValueError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};
use std::cell::Cell;

thread_local! {
    /// The room of the last key text that Python was given, for the next one.
    static SPARE: Cell<String> = const { Cell::new(String::new()) };
}

/// Changes when the same calls are to have other keys.
const FORMAT: &[u8] = b"cache_result keys 1\0";

/// A key constructor, compiled for one function.
pub struct Plan {
    /// What keys look like.
    pub style: Style,
    /// BLAKE3 of namespace, function, version and fields.
    identity: [u8; 32],
    /// Of the name.
    origin: u64,
    lineage: u64,
    /// `Meta.version`.
    pub version: i64,
    /// Canonical bytes that every scope starts with: the function.
    pub function: Vec<u8>,
    /// Of the whole function, in the real world.
    function_scope: ScopeId,
    /// The fields in order.
    pub fields: Vec<Field>,
    /// Whether the only field needs no more than the call's arguments as they come.
    pub straight: bool,
    /// How many positional arguments are all that the key consists of; no call has so many if it
    /// consists of anything else.
    pub positional: usize,
}

/// Arguments that one or more rules map together.
pub struct RuleSet {
    /// Parameter, how it is read, and the model field's `to_python`; sorted by parameter name.
    pub members: Vec<(usize, String, Reading, Py<PyAny>)>,
    /// Whether one of these rules makes entries stale, and not void.
    pub soft: bool,
}

impl RuleSet {
    /// Their names, for people.
    pub fn arguments(&self) -> String {
        let names: Vec<&str> = self.members.iter().map(|(_, name, ..)| &**name).collect();
        names.join(", ")
    }
}

/// A call's key and scopes.
pub struct Parts {
    /// Identity.
    pub key: Digest,
    /// The key under which the entry is stored.
    pub text: String,
    /// Every scope but its own: function, partitions, rule sets, tags, soft ones.
    pub scopes: Vec<ScopeId>,
    /// How many of these, at the end, are soft.
    pub soft: usize,
}

impl Parts {
    /// Whether an open transaction of the caller is going to invalidate one of the scopes.
    pub fn is_touched(&self, py: Python<'_>) -> PyResult<bool> {
        is_touched(py, &self.scopes)
    }

    /// The entry's key, then its generations', its own last, and the graces of soft scopes: what one read of a
    /// shared backend takes.
    pub fn keys(&self) -> Vec<String> {
        let mut keys = Vec::with_capacity(self.scopes.len() + self.soft + 3);
        keys.push(self.text.clone());
        keys.extend(self.scopes.iter().map(ScopeId::key));
        keys.push(ScopeId::own(&self.key).key());
        let first_soft = self.scopes.len() - self.soft;
        keys.extend(self.scopes[first_soft..].iter().map(ScopeId::grace_key));
        keys
    }

    /// The scopes, and how many of them are soft.
    pub fn all_scopes(&self) -> (&[ScopeId], usize) {
        (&self.scopes, self.soft)
    }
}

/// Whether an open transaction of the caller is going to invalidate one of these scopes.
pub fn is_touched(py: Python<'_>, scopes: &[ScopeId]) -> PyResult<bool> {
    let scopes = scopes.iter().map(|scope| PyBytes::new(py, &scope.0));
    names::is_touched(py)?.call1((PyList::new(py, scopes)?,))?.is_truthy()
}

/// What every key of a function has in common.
pub struct Name<'a> {
    /// Text before the function's id; may be empty.
    pub namespace: &'a str,
    /// The function's own name in keys.
    pub function_id: &'a str,
    /// `Meta.version`; 1 is not shown.
    pub version: i64,
}

impl Name<'_> {
    /// Canonical bytes.
    fn bytes(&self) -> PyResult<Vec<u8>> {
        let too_long = |_| PyValueError::new_err("cache_result: the function's name is too long");
        let mut name = Writer::new();
        name.str(self.namespace).map_err(too_long)?;
        name.str(self.function_id).map_err(too_long)?;
        name.int(self.version);
        Ok(name.into_bytes())
    }

    /// Stands for the name in the header of entries.
    fn origin(&self) -> PyResult<u64> {
        let mut origin = [0; 8];
        origin.copy_from_slice(&blake3::hash(&self.bytes()?).as_bytes()[..8]);
        Ok(u64::from_le_bytes(origin))
    }

    /// Stands for namespace and function, whatever the version.
    fn lineage(&self) -> PyResult<u64> {
        Name { version: 0, ..*self }.origin()
    }

    /// Namespace and function, for people.
    fn shown(&self) -> String {
        match self.namespace {
            "" => self.function_id.to_owned(),
            namespace => format!("{namespace}:{}", self.function_id),
        }
    }
}

/// What stands for a function, whatever its version.
pub fn lineage_of(namespace: &str, function_id: &str) -> PyResult<u64> {
    Name { namespace, function_id, version: 0 }.lineage().map(in_world)
}

/// What stands for a function and version in the header of its entries.
#[pyfunction]
pub fn origin_of(namespace: &str, function_id: &str, version: i64) -> PyResult<u64> {
    Name { namespace, function_id, version }.origin().map(in_world)
}

fn in_world(number: u64) -> u64 {
    number ^ world::current()
}

impl Plan {
    /// A plan; `spec` is what distinguishes its fields from others. The key of what was defined in a class
    /// may depend on the class that it is called on.
    pub fn new(
        name: &Name<'_>,
        (partition_chars, hash_on_overflow): (usize, bool),
        spec: &[u8],
        fields: Vec<Field>,
        signature: &Signature,
        in_class: bool,
    ) -> PyResult<Self> {
        let mut identity = blake3::Hasher::new();
        identity.update(FORMAT).update(&name.bytes()?).update(spec);
        let mut function = Writer::new();
        let too_long = |_| PyValueError::new_err("cache_result: the function's name is too long");
        function.str(name.function_id).map_err(too_long)?;
        let function = function.into_bytes();
        let straight = match fields.as_slice() {
            [field] if !in_class => signature.plain().filter(|&count| field.is_straight(count)),
            _ => None,
        };
        let all = straight.filter(|&count| signature.is_positional() && fields[0].has_all(count));
        Ok(Self {
            positional: all.unwrap_or(usize::MAX),
            style: Style::new(&name.shown(), name.version, partition_chars, hash_on_overflow),
            identity: *identity.finalize().as_bytes(),
            origin: name.origin()?,
            lineage: name.lineage()?,
            version: name.version,
            function_scope: ScopeId::of(&[function.as_slice(), b"f"].concat()),
            function,
            straight: straight.is_some(),
            fields,
        })
    }

    /// The key under which calls are hashed.
    pub fn identity(&self) -> [u8; 32] {
        world::mixed(self.identity)
    }

    /// Stands for namespace, function and version in the header of entries.
    pub fn origin(&self) -> u64 {
        in_world(self.origin)
    }

    /// Stands for namespace and function.
    pub fn lineage(&self) -> u64 {
        in_world(self.lineage)
    }

    /// The scope of the whole function.
    pub fn function_scope(&self) -> ScopeId {
        self.function_scope.in_world()
    }

    /// Whether a parameter's value is in the key as it is.
    pub fn has_whole(&self, parameter: usize) -> bool {
        self.fields.iter().any(|field| field.has_whole(parameter))
    }

    fn scope(&self, members: &[Member]) -> ScopeId {
        let mut members: Vec<&Member> = members.iter().collect();
        members.sort_unstable();
        let mut writer = Writer::new();
        writer.open(Tag::Set, members.len());
        for (name, value) in members {
            // Both are short: names of parameters, and loose texts that the key has in full.
            let _ = writer.str(name);
            let _ = writer.blob(Tag::Bytes, value);
        }
        let mut bytes = self.function.clone();
        bytes.push(b's');
        bytes.extend_from_slice(writer.as_bytes());
        ScopeId::of(&bytes).in_world()
    }

    /// The scope of calls whose arguments a rule set cannot name.
    fn other_scope(&self, set: &RuleSet) -> ScopeId {
        let mut bytes = self.function.clone();
        bytes.push(b'o');
        for (_, name, _, _) in &set.members {
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(0);
        }
        ScopeId::of(&bytes).in_world()
    }

    /// The scopes that a firing of the rule set changes: that of `values`, and the other one.
    pub fn fired(&self, set: &RuleSet, values: &[Bound<'_, PyAny>]) -> PyResult<Vec<ScopeId>> {
        let other = self.other_scope(set);
        let mut members = Vec::with_capacity(values.len());
        for ((_, name, reading, to_python), value) in set.members.iter().zip(values) {
            match coerced(value, *reading, to_python.bind(value.py()))? {
                Some(text) => members.push((name.clone(), text_member(&text))),
                None => return Ok(vec![other]),
            }
        }
        Ok(vec![self.scope(&members), other])
    }

    /// The scope of a call under a rule set; `None` when an argument is not bound.
    pub fn rule_scope(&self, set: &RuleSet, values: &Values<'_>) -> PyResult<Option<ScopeId>> {
        let bound: Option<Vec<_>> =
            set.members.iter().map(|(at, ..)| values[*at].clone()).collect();
        let Some(bound) = bound else { return Ok(None) };
        self.fired(set, &bound).map(|scopes| scopes.first().copied())
    }

    /// Writes the canonical bytes of a bound call, and what its partition consists of.
    pub fn write(
        &self,
        caller: &Caller<'_, '_>,
        heir: Option<&str>,
        to: &mut Encoder,
        run: &mut Run,
    ) -> PyResult<()> {
        if let Some(heir) = heir {
            let too_long = |_| PyValueError::new_err("cache_result: the class's name is too long");
            to.writer.blob(Tag::Class, heir.as_bytes()).map_err(too_long)?;
        }
        for field in &self.fields {
            caller.write(field, to, Some(&mut *run))?;
            if field.partition
                && let Some(members) = &run.members
            {
                run.leads.push(members.len());
            }
        }
        Ok(())
    }

    /// The text of a call's key, for Python.
    pub fn python_text<'py>(
        &self,
        py: Python<'py>,
        canonical: &Encoder,
        partition: Option<&str>,
    ) -> Bound<'py, PyString> {
        let key = self.digest(canonical);
        let mut text = SPARE.try_with(Cell::take).unwrap_or_default();
        text.clear();
        self.style.push_key(&mut text, partition, &key);
        let python = PyString::new(py, &text);
        // At the end of a thread there is nowhere to keep it.
        let _ = SPARE.try_with(|spare| spare.set(text));
        python
    }

    /// Digest and text of a call's key.
    pub fn key(&self, canonical: &Encoder, partition: Option<&str>) -> (Digest, String) {
        let key = self.digest(canonical);
        (key, self.style.key_text(partition, &key))
    }

    fn digest(&self, canonical: &Encoder) -> Digest {
        Digest::of(&self.identity(), canonical.writer.as_bytes())
    }

    /// The scopes of a written call: the function's, and one for each leading run of partition fields.
    pub fn scopes(&self, run: &Run) -> Vec<ScopeId> {
        let members = run.members.as_deref().unwrap_or_default();
        let leads = run.leads.iter().map(|&lead| self.scope(&members[..lead]));
        std::iter::once(self.function_scope()).chain(leads).collect()
    }

    /// The narrowest scope that covers what `values` (partially bound) names.
    ///
    /// # Errors
    /// `ValueError` that lists what can be wiped.
    pub fn prefix(&self, caller: &Caller<'_, '_>, rules: &[RuleSet]) -> PyResult<ScopeId> {
        let partitions: Vec<&Field> = self.fields.iter().filter(|f| f.partition).collect();
        if partitions.is_empty() && caller.values.iter().all(Option::is_none) {
            return Ok(self.function_scope());
        }
        let mut named = Vec::new();
        let mut run = Run { members: Some(Vec::new()), ..Run::default() };
        for field in &partitions {
            if !caller.write(field, &mut Encoder::new(), Some(&mut run))? {
                break;
            }
            named = run.members.clone().unwrap_or_default();
        }
        if !named.is_empty() {
            return Ok(self.scope(&named));
        }
        // On a bound method the instance is always given.
        let bound_method =
            caller.signature.names().next().is_some_and(|n| n == "self" || n == "cls")
                && caller.values.first().is_some_and(Option::is_some);
        let given: Vec<usize> =
            (0..caller.values.len()).filter(|&at| caller.values[at].is_some()).collect();
        for set in rules {
            let mut members: Vec<usize> = set.members.iter().map(|(at, ..)| *at).collect();
            members.sort_unstable();
            if (members == given || bound_method && members == given[1..])
                && let Some(scope) = self.rule_scope(set, caller.values)?
            {
                return Ok(scope);
            }
        }
        if partitions.is_empty() {
            return Ok(self.function_scope());
        }
        let error = PyValueError::new_err(nothing_to_wipe(caller, &partitions, rules));
        error.set_cause(caller.py, caller.failed.take());
        Err(error)
    }

    /// For Python's garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.fields.iter().try_for_each(|field| field.traverse(visit))
    }
}

/// Says what `delete_by_prefix` takes.
fn nothing_to_wipe(caller: &Caller<'_, '_>, partitions: &[&Field], rules: &[RuleSet]) -> String {
    let label = caller.label;
    let mut ways: Vec<String> = Vec::new();
    let mut run: Vec<String> = Vec::new();
    for field in partitions {
        run.push(field.needs());
        ways.push(format!("({})", run.join(", ")));
    }
    for set in rules {
        let members: Vec<&str> = set.members.iter().map(|(_, name, ..)| name.as_str()).collect();
        ways.push(format!("({})", members.join(", ")));
    }
    format!(
        "cache_result: these arguments of {label} name no group of entries; delete_by_prefix \
         takes {}; delete_cache() removes one call's entry, invalidate_all() all of them",
        ways.join(" or ")
    )
}
