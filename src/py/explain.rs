//! What a call's key is made of, for people.

use super::binding::Binding;
use super::encode::Encoder;
use super::fields::Field;
use super::wrapper::Wrapper;
use crate::index::ScopeId;
use crate::key::{Tag, Value, fingerprint_text, read};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

/// A field's name, whether it is of the partition, and what it contributes: names and values.
pub type Contribution = (String, bool, Vec<(String, String)>);
/// What a scope is, and the key of its generation.
pub type NamedScope = (String, String);

impl Wrapper {
    /// Key, contributions and scopes of a call.
    pub fn explain<'py>(
        &self,
        py: Python<'py>,
        binding: &Binding,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<(String, Vec<Contribution>, Vec<NamedScope>)> {
        let values = self.bind(args, kwargs, false)?;
        let heir = self.heir(py, &values)?;
        let caller = self.caller(py, &values, false);
        let parts = self.parts(binding, args, kwargs)?;
        let mut contributions = Vec::new();
        if let Some(heir) = heir {
            contributions.push(("class".to_owned(), false, vec![("class".to_owned(), heir)]));
        }
        for field in &self.plan.fields {
            let mut encoder = Encoder::new();
            caller.write(field, &mut encoder, None)?;
            let shown = contribution(field, encoder.writer.as_bytes())?;
            contributions.push((field.name.clone(), field.partition, shown));
        }
        let mut names = vec!["every entry of the function".to_owned()];
        let mut run: Vec<&str> = Vec::new();
        for field in self.plan.fields.iter().filter(|field| field.partition) {
            run.push(&field.name);
            names.push(format!("partition of {}", run.join(", ")));
        }
        for set in &binding.rules {
            let scope = self.plan.rule_scope(set, &values)?;
            let name = format!("rules that map {}", set.arguments());
            match scope.and_then(|scope| parts.scopes.iter().position(|known| *known == scope)) {
                Some(at) if at < names.len() => names[at] = format!("{}; {name}", names[at]),
                _ => names.push(name),
            }
        }
        let mut tagged = Vec::new();
        for text in self.tags.texts(&values, args, kwargs)? {
            let family = text.split(':').next().unwrap_or_default();
            let shown = [format!("tag {text:?}"), format!("tags that begin with {family:?}")];
            for (scope, name) in ScopeId::of_tag(&text).zip(shown) {
                if !tagged.contains(&scope) {
                    tagged.push(scope);
                    names.push(name);
                }
            }
        }
        let mut twins = Vec::new();
        if binding.softens {
            names.push("every entry of the function, for soft rules".to_owned());
        }
        for set in binding.rules.iter().filter(|set| set.soft) {
            let scope = self.plan.rule_scope(set, &values)?;
            if !twins.contains(&scope) {
                twins.push(scope);
                names.push(format!("soft rules that map {}", set.arguments()));
            }
        }
        let keys = parts.scopes.iter().map(ScopeId::key);
        let mut scopes: Vec<NamedScope> = names.into_iter().zip(keys).collect();
        scopes.push(("this entry".to_owned(), ScopeId::own(&parts.key).key()));
        Ok((parts.text, contributions, scopes))
    }
}

/// Names and values of a field's canonical bytes.
fn contribution(field: &Field, bytes: &[u8]) -> PyResult<Vec<(String, String)>> {
    let malformed = |_| PyRuntimeError::new_err("cache_result: a key that cannot be read back");
    let (mut value, _) = read(bytes).map_err(malformed)?;
    if let Value::Blob(Tag::Bytes, constant) = &value
        && let Ok((inner, end)) = read(constant)
        && end == constant.len()
    {
        value = inner;
    }
    let labels = field.labels();
    if field.hash_value {
        let label = labels.into_iter().next().unwrap_or_else(|| field.name.clone());
        return Ok(vec![(label, format!("<hash {}>", fingerprint_text(bytes)))]);
    }
    Ok(match value {
        Value::Items(Tag::Tuple, items) if labels.len() == items.len() => {
            labels.into_iter().zip(items.iter().map(ToString::to_string)).collect()
        }
        Value::Pairs(pairs) if labels.is_empty() => pairs
            .iter()
            .map(|(name, value)| {
                let name = match name {
                    Value::Blob(Tag::Str, text) => {
                        String::from_utf8_lossy(text).escape_debug().to_string()
                    }
                    other => format!("[{other}]"),
                };
                (name, value.to_string())
            })
            .collect(),
        other => {
            let label = labels.into_iter().next().unwrap_or_else(|| field.name.clone());
            vec![(label, other.to_string())]
        }
    })
}

/// The canonical bytes of `value`: what stands for it in keys.
#[pyfunction]
#[pyo3(signature = (value, sort_lists = false))]
pub fn canonical_bytes<'py>(
    value: &Bound<'py, PyAny>,
    sort_lists: bool,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = value.py();
    let mut encoder = Encoder { sort_lists, ..Encoder::new() };
    encoder.value(value, 0).map_err(|refusal| refusal.blame(py, "the value", "canonical_bytes"))?;
    Ok(PyBytes::new(py, encoder.writer.as_bytes()))
}
