//! A compiled key: which arguments and fields make it, and which scopes a call belongs to.

use super::bind::{Signature, Values};
use super::encode::{Encoder, Refusal};
use super::loose::{Reading, coerced, loose};
use super::names;
use crate::index::ScopeId;
use crate::key::{Digest, Tag, Writer, base32, key_text, readable};
use pyo3::PyTraverseError;
use pyo3::exceptions::PyValueError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// What a field contributes.
pub enum Source {
    /// The values of these parameters.
    Arguments(Vec<usize>),
    /// The same for every call: canonical bytes, and text to read.
    Constant(Vec<u8>, String),
    /// What its `get_key_payload` returns.
    Payload(Py<PyAny>),
}

/// One field of a key constructor.
pub struct Field {
    /// Its attribute name.
    pub name: String,
    /// Where its value comes from.
    pub source: Source,
    /// Entries that share it can be wiped together.
    pub partition: bool,
    /// Its value must not be readable in the key text.
    pub hash_value: bool,
    /// Lists are equal in whatever order their items are.
    pub sort_lists: bool,
}

/// A key constructor, compiled for one function.
pub struct Plan {
    /// The readable start of every key.
    pub head: String,
    /// Canonical bytes that every key starts with: namespace, function, version.
    pub identity: Vec<u8>,
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

/// A named value of a scope: the parameter's (or field's) name, and its loose or typed bytes.
type Member = (String, Vec<u8>);

/// A field's part in a call: its members, and text for people.
struct Piece {
    members: Vec<Member>,
    text: String,
}

fn text_member(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.push(b't');
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn typed_member(canonical: &[u8]) -> Vec<u8> {
    let mut bytes = vec![b'v'];
    bytes.extend_from_slice(blake3::hash(canonical).as_bytes());
    bytes
}

fn fingerprint_text(bytes: &[u8]) -> String {
    base32(&blake3::hash(bytes).as_bytes()[..5])
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
        py: Python<'_>,
        label: &str,
        function: &Bound<'_, PyAny>,
        signature: &Signature,
        values: &Values<'_>,
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
        let caller = Caller { py, label, function, signature, values };
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
            if let Some(scope) = self.rule_scope(set, values)?
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
    pub fn prefix(
        &self,
        py: Python<'_>,
        label: &str,
        function: &Bound<'_, PyAny>,
        signature: &Signature,
        values: &Values<'_>,
        rules: &[RuleSet],
    ) -> PyResult<ScopeId> {
        let partitions: Vec<&Field> = self.fields.iter().filter(|f| f.partition).collect();
        if partitions.is_empty() && values.iter().all(Option::is_none) {
            return Ok(self.function_scope);
        }
        let caller = Caller { py, label, function, signature, values };
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
        let given: Vec<usize> = (0..values.len()).filter(|&at| values[at].is_some()).collect();
        for set in rules {
            let mut members: Vec<usize> = set.members.iter().map(|(at, ..)| *at).collect();
            members.sort_unstable();
            if members == given
                && let Some(scope) = self.rule_scope(set, values)?
            {
                return Ok(scope);
            }
        }
        if partitions.is_empty() {
            return Ok(self.function_scope);
        }
        Err(PyValueError::new_err(nothing_to_wipe(label, signature, &partitions, rules)))
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

/// One call, as fields see it.
struct Caller<'a, 'py> {
    py: Python<'py>,
    label: &'a str,
    function: &'a Bound<'py, PyAny>,
    signature: &'a Signature,
    values: &'a Values<'py>,
}

impl Caller<'_, '_> {
    /// Writes a field's contribution; a partition field's piece comes back.
    fn write(&self, field: &Field, to: &mut Encoder) -> PyResult<Option<Piece>> {
        to.sort_lists = field.sort_lists;
        match &field.source {
            Source::Arguments(slots) => self.write_arguments(field, slots, to),
            Source::Constant(bytes, text) => {
                let blamed = |_| PyValueError::new_err("the constant is too large");
                to.writer.blob(Tag::Bytes, bytes).map_err(blamed)?;
                let members = vec![(format!("\0{}", field.name), typed_member(bytes))];
                let shown = if field.hash_value { fingerprint_text(bytes) } else { text.clone() };
                Ok(field.partition.then_some(Piece { members, text: shown }))
            }
            Source::Payload(object) => {
                let (args, kwargs) = self.signature.spell(self.py, self.values)?;
                let payload = object
                    .bind(self.py)
                    .call_method1("get_key_payload", (self.function, args, kwargs))?;
                let from = to.writer.as_bytes().len();
                to.value(&payload, 0).map_err(|refusal| {
                    self.blame(refusal, &format!("the payload of the key field {:?}", field.name))
                })?;
                if !field.partition {
                    return Ok(None);
                }
                let written = &to.writer.as_bytes()[from..];
                let members = vec![(format!("\0{}", field.name), typed_member(written))];
                let shown = if field.hash_value { None } else { readable_payload(&payload)? };
                let text = shown.unwrap_or_else(|| fingerprint_text(written));
                Ok(Some(Piece { members, text }))
            }
        }
    }

    fn write_arguments(
        &self,
        field: &Field,
        slots: &[usize],
        to: &mut Encoder,
    ) -> PyResult<Option<Piece>> {
        let mut piece = Piece { members: Vec::new(), text: String::new() };
        to.writer.open(Tag::Tuple, slots.len());
        for &at in slots {
            let Some(value) = &self.values[at] else {
                continue;
            };
            let from = to.writer.as_bytes().len();
            to.value(value, 0).map_err(|refusal| {
                let name = self.signature.names().nth(at).unwrap_or_default();
                self.blame(refusal, &format!("argument '{name}'"))
            })?;
            if field.partition {
                let written = &to.writer.as_bytes()[from..];
                let name = self.signature.names().nth(at).unwrap_or_default().to_owned();
                let text = loose(value)?;
                let member = match &text {
                    Some(text) => text_member(text),
                    None => typed_member(written),
                };
                piece.members.push((name, member));
                if !piece.text.is_empty() {
                    piece.text.push(',');
                }
                match text {
                    Some(text) if !field.hash_value => piece.text.push_str(&readable(&text, 40)),
                    _ => piece.text.push_str(&fingerprint_text(written)),
                }
            }
        }
        Ok(field.partition.then_some(piece))
    }

    /// A partition field's piece of a partial binding; `None` when it needs more arguments.
    fn partial(&self, field: &Field) -> PyResult<Option<Piece>> {
        if let Source::Arguments(slots) = &field.source
            && slots.iter().any(|&at| self.values[at].is_none())
        {
            return Ok(None);
        }
        match self.write(field, &mut Encoder::new()) {
            // A field of the user's own that cannot do with these arguments has no value here.
            Err(_) if matches!(field.source, Source::Payload(_)) => Ok(None),
            outcome => outcome,
        }
    }

    fn blame(&self, refusal: Refusal, what: &str) -> PyErr {
        let (kind, why) = match refusal {
            Refusal::Python(error) => return error,
            Refusal::Value { kind, why } => (kind, why),
        };
        let message = format!(
            "cache_result: {what} of {} is or contains a <{kind}>, which {why}; pass a plain value \
             such as its primary key, name the arguments that matter with \
             ArgsKeyField(\"name\", path=\"pk\"), or give the class a __cache_key__() method",
            self.label
        );
        match names::unkeyable_argument(self.py) {
            Ok(class) => PyErr::from_type(class.clone(), message),
            Err(error) => error,
        }
    }
}

/// Text for a payload of simple values: `{"country": "JP"}` reads `JP`.
fn readable_payload(payload: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let Ok(dict) = payload.cast::<PyDict>() else {
        return loose(payload);
    };
    let mut texts = Vec::new();
    for value in dict.values() {
        let Some(text) = loose(&value)? else {
            return Ok(None);
        };
        texts.push(readable(&text, 40));
    }
    Ok(Some(texts.join(",")))
}

/// Says what `delete_by_prefix` takes.
fn nothing_to_wipe(
    label: &str,
    signature: &Signature,
    partitions: &[&Field],
    rules: &[RuleSet],
) -> String {
    let names: Vec<&str> = signature.names().collect();
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
