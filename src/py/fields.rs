//! Key fields: what each contributes to a call's key and scopes.

use super::bind::{Signature, Values};
use super::encode::{Encoder, Refusal};
use super::loose::loose;
use super::names;
use crate::key::{Tag, Writer, base32, readable};
use pyo3::exceptions::PyValueError;
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

/// A named value of a scope: the parameter's (or field's) name, and its loose or typed bytes.
pub type Member = (String, Vec<u8>);

/// A field's part in a call: its members, and text for people.
pub struct Piece {
    /// For the scope.
    pub members: Vec<Member>,
    /// For people.
    pub text: String,
}

/// The bytes of a loose value.
pub fn text_member(text: &str) -> Vec<u8> {
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

/// One call, as fields see it.
pub struct Caller<'a, 'py> {
    /// The interpreter.
    pub py: Python<'py>,
    /// The function's name, for people.
    pub label: &'a str,
    /// The function.
    pub function: &'a Bound<'py, PyAny>,
    /// Its parameters.
    pub signature: &'a Signature,
    /// Their values; some are missing in a partial binding.
    pub values: &'a Values<'py>,
}

impl Caller<'_, '_> {
    /// Writes a field's contribution; a partition field's piece comes back.
    pub fn write(&self, field: &Field, to: &mut Encoder) -> PyResult<Option<Piece>> {
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
                let members = payload_members(field, &payload, written)?;
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
    pub fn partial(&self, field: &Field) -> PyResult<Option<Piece>> {
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

    /// The error for a value that has no key.
    pub fn blame(&self, refusal: Refusal, what: &str) -> PyErr {
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

/// The scope of a payload: loose where its values are simple, typed elsewhere.
fn payload_members(
    field: &Field,
    payload: &Bound<'_, PyAny>,
    written: &[u8],
) -> PyResult<Vec<Member>> {
    let mut members = Vec::new();
    if let Ok(dict) = payload.cast_exact::<PyDict>() {
        for (name, value) in dict.iter() {
            let (Ok(name), Some(text)) = (name.extract::<String>(), loose(&value)?) else {
                members.clear();
                break;
            };
            members.push((format!("\0{}\0{name}", field.name), text_member(&text)));
        }
    }
    if members.is_empty() {
        members.push((format!("\0{}", field.name), typed_member(written)));
    }
    Ok(members)
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

/// A field as Python describes it: name, kind, data, partition, `hash_value`, `sort_lists`.
pub type FieldSpec<'py> = (String, String, Bound<'py, PyAny>, bool, bool, bool);

/// Compiles a field, and adds what distinguishes it to `spec`.
pub fn compile_field(
    field: FieldSpec<'_>,
    parameters: &[&str],
    spec: &mut Writer,
) -> PyResult<Field> {
    let (name, kind, data, partition, hash_value, sort_lists) = field;
    let too_long = |_| PyValueError::new_err("cache_result: the key constructor is too large");
    for text in [&name, &kind, &format!("{partition}{sort_lists}")] {
        spec.str(text).map_err(too_long)?;
    }
    let source = match kind.as_str() {
        "arguments" => {
            let slots: Vec<usize> = data.extract()?;
            if slots.iter().any(|&at| at >= parameters.len()) {
                return Err(PyValueError::new_err(format!(
                    "cache_result: the key field {name:?} names an argument that is not there"
                )));
            }
            for &at in &slots {
                spec.str(parameters[at]).map_err(too_long)?;
            }
            Source::Arguments(slots)
        }
        "constant" => {
            let mut encoder = Encoder::new();
            encoder.sort_lists = sort_lists;
            if encoder.value(&data, 0).is_err() {
                return Err(pyo3::exceptions::PyTypeError::new_err(format!(
                    "cache_result: the constant of the key field {name:?} has no stable key"
                )));
            }
            let text = loose(&data)?.unwrap_or_default();
            Source::Constant(encoder.writer.into_bytes(), text)
        }
        _ => {
            let described: String = data.call_method0("describe")?.extract()?;
            spec.str(&described).map_err(too_long)?;
            Source::Payload(data.unbind())
        }
    };
    Ok(Field { name, source, partition, hash_value, sort_lists })
}
