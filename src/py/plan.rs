//! A compiled key: which fields make it, and which scopes a call belongs to.

use super::bind::Values;
use super::encode::Encoder;
use super::fields::{Caller, Field, Member, Source, text_member};
use super::loose::{Reading, coerced};
use super::names;
use crate::index::ScopeId;
use crate::key::{Digest, Tag, Writer, key_text};
use pyo3::PyTraverseError;
use pyo3::exceptions::PyValueError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

/// A key constructor, compiled for one function.
pub struct Plan {
    /// The readable start of every key.
    pub head: String,
    /// What every key starts with: BLAKE3 of namespace, function and version.
    pub identity: [u8; 32],
    /// Canonical bytes that every scope starts with: the function.
    pub function: Vec<u8>,
    /// The scope of the whole function.
    pub function_scope: ScopeId,
    /// The fields in order.
    pub fields: Vec<Field>,
}

/// Arguments that one or more rules map together.
pub struct RuleSet {
    /// Parameter, how it is read, and the model field's `to_python`; sorted by parameter name.
    pub members: Vec<(usize, String, Reading, Py<PyAny>)>,
}

/// A call's key and scopes.
pub struct Parts {
    /// Identity.
    pub key: Digest,
    /// The key under which the entry is stored.
    pub text: String,
    /// Every scope but its own: function, partitions, rule sets.
    pub scopes: Vec<ScopeId>,
}

impl Parts {
    /// Whether an open transaction of the caller is going to invalidate one of the scopes.
    pub fn is_touched(&self, py: Python<'_>) -> PyResult<bool> {
        let scopes = self.scopes.iter().map(|scope| PyBytes::new(py, &scope.0));
        names::is_touched(py)?.call1((PyList::new(py, scopes)?,))?.is_truthy()
    }

    /// The entry's key, then its generations', its own last: what one read of a shared backend takes.
    pub fn keys(&self) -> Vec<String> {
        let mut keys = Vec::with_capacity(self.scopes.len() + 3);
        keys.push(self.text.clone());
        keys.extend(self.scopes.iter().map(ScopeId::key));
        keys.push(ScopeId::own(&self.key).key());
        keys
    }
}

impl Plan {
    /// The scope of the whole function with these canonical bytes.
    pub fn function_scope_of(function: &[u8]) -> ScopeId {
        ScopeId::of(&[function, b"f"].concat())
    }

    fn scope<'a>(&self, members: impl Iterator<Item = (&'a str, &'a [u8])>) -> ScopeId {
        let mut members: Vec<(&str, &[u8])> = members.collect();
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
        ScopeId::of(&bytes)
    }

    /// The scope of calls whose arguments a rule set cannot name.
    fn other_scope(&self, set: &RuleSet) -> ScopeId {
        let mut bytes = self.function.clone();
        bytes.push(b'o');
        for (_, name, _, _) in &set.members {
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(0);
        }
        ScopeId::of(&bytes)
    }

    /// The scopes that a firing of the rule set changes: that of `values`, and the other one.
    pub fn fired(&self, set: &RuleSet, values: &[Bound<'_, PyAny>]) -> PyResult<Vec<ScopeId>> {
        let other = self.other_scope(set);
        let mut members = Vec::with_capacity(values.len());
        for ((_, name, reading, to_python), value) in set.members.iter().zip(values) {
            match coerced(value, *reading, to_python.bind(value.py()))? {
                Some(text) => members.push((name.as_str(), text_member(&text))),
                None => return Ok(vec![other]),
            }
        }
        let named = self.scope(members.iter().map(|(name, value)| (*name, value.as_slice())));
        Ok(vec![named, other])
    }

    /// The scope of a call under a rule set; `None` when an argument is not bound.
    fn rule_scope(&self, set: &RuleSet, values: &Values<'_>) -> PyResult<Option<ScopeId>> {
        let bound: Option<Vec<_>> =
            set.members.iter().map(|(at, ..)| values[*at].clone()).collect();
        let Some(bound) = bound else { return Ok(None) };
        self.fired(set, &bound).map(|scopes| scopes.first().copied())
    }

    /// Key and scopes of a bound call.
    pub fn build(
        &self,
        caller: &Caller<'_, '_>,
        rules: &[RuleSet],
        heir: Option<&str>,
    ) -> PyResult<Parts> {
        let mut encoder = Encoder::after(&self.identity);
        if let Some(heir) = heir {
            let too_long = |_| PyValueError::new_err("cache_result: the class's name is too long");
            encoder.writer.blob(Tag::Class, heir.as_bytes()).map_err(too_long)?;
        }
        let mut scopes = vec![self.function_scope];
        let mut run: Vec<Member> = Vec::new();
        let mut partition: Option<String> = None;
        for field in &self.fields {
            let piece = caller.write(field, &mut encoder)?;
            if let Some(piece) = piece {
                run.extend(piece.members);
                scopes.push(self.scope(run.iter().map(|(n, v)| (n.as_str(), v.as_slice()))));
                let text = partition.get_or_insert_default();
                if !text.is_empty() {
                    text.push(':');
                }
                text.push_str(&piece.text);
            }
        }
        for set in rules {
            if let Some(scope) = self.rule_scope(set, caller.values)?
                && !scopes.contains(&scope)
            {
                scopes.push(scope);
            }
        }
        let key = Digest::of(encoder.writer.as_bytes());
        let text = key_text(&self.head, partition.as_deref(), &key);
        Ok(Parts { key, text, scopes })
    }

    /// The narrowest scope that covers what `values` (partially bound) names.
    ///
    /// # Errors
    /// `ValueError` that lists what can be wiped.
    pub fn prefix(&self, caller: &Caller<'_, '_>, rules: &[RuleSet]) -> PyResult<ScopeId> {
        let partitions: Vec<&Field> = self.fields.iter().filter(|f| f.partition).collect();
        if partitions.is_empty() && caller.values.iter().all(Option::is_none) {
            return Ok(self.function_scope);
        }
        let mut run: Vec<Member> = Vec::new();
        for field in &partitions {
            match caller.partial(field)? {
                Some(piece) => run.extend(piece.members),
                None => break,
            }
        }
        if !run.is_empty() {
            return Ok(self.scope(run.iter().map(|(n, v)| (n.as_str(), v.as_slice()))));
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
            return Ok(self.function_scope);
        }
        Err(PyValueError::new_err(nothing_to_wipe(caller, &partitions, rules)))
    }

    /// For Python's garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        for field in &self.fields {
            if let Source::Payload(object) = &field.source {
                visit.call(object)?;
            }
        }
        Ok(())
    }
}

/// Says what `delete_by_prefix` takes.
fn nothing_to_wipe(caller: &Caller<'_, '_>, partitions: &[&Field], rules: &[RuleSet]) -> String {
    let label = caller.label;
    let names: Vec<&str> = caller.signature.names().collect();
    let mut ways: Vec<String> = Vec::new();
    let mut run: Vec<String> = Vec::new();
    for field in partitions {
        run.push(match &field.source {
            Source::Arguments(slots) => {
                slots.iter().map(|&at| names[at]).collect::<Vec<_>>().join(", ")
            }
            _ => format!("what the field {:?} needs", field.name),
        });
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
