//! Compiles key fields from what Python says of them.

use super::bind::{Mismatch, Signature, explain};
use super::encode::Encoder;
use super::fields::{Caller, Field, Source};
use super::loose::loose;
use super::sources::{ArgumentsSpec, Path, RequestSpec};
use super::wrapper::ParameterSpec;
use crate::key::Writer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::cell::RefCell;
use std::sync::OnceLock;

/// A field as Python describes it: name, kind, data, partition, `hash_value`, `sort_lists`.
pub type FieldSpec<'py> = (String, String, Bound<'py, PyAny>, bool, bool, bool);

/// Compiles a field, and adds what distinguishes it to `spec`.
pub fn compile_field(field: FieldSpec<'_>, spec: &mut Encoder) -> PyResult<Field> {
    let (name, kind, data, partition, hash_value, sort_lists) = field;
    let py = data.py();
    let add = |spec: &mut Encoder, text: &str| {
        let too_long = |_| PyValueError::new_err("cache_result: the key constructor is too large");
        spec.writer.str(text).map_err(too_long)
    };
    for text in [&name, &kind, &format!("{partition}{sort_lists}")] {
        add(spec, text)?;
    }
    let (data, described): (Bound<'_, PyAny>, Option<String>) = data.extract()?;
    if let Some(described) = described {
        add(spec, &described)?;
    }
    let source = match kind.as_str() {
        "arguments" => Source::Arguments(data.extract::<ArgumentsSpec>()?.into()),
        "request" => {
            let (request, path, shown): (RequestSpec, _, _) = data.extract()?;
            Source::Request { request: request.into(), path: Path(path), shown }
        }
        "query" => {
            let (request, params): (RequestSpec, _) = data.extract()?;
            Source::Query { request: request.into(), params }
        }
        "constant" => {
            let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = data.extract()?;
            let mut encoder = Encoder { writer: Writer::new(), sort_lists };
            encoder.value(&value, 0).map_err(|refusal| {
                refusal.blame(
                    py,
                    &format!("the constant of the key field {name:?}"),
                    "a key constructor",
                )
            })?;
            let payload = PyDict::new(py);
            payload.set_item(key, &value)?;
            Source::Constant {
                bytes: encoder.writer.into_bytes(),
                text: loose(&value)?.unwrap_or_default(),
                payload: payload.into_any().unbind(),
            }
        }
        "shape" => Source::Shape { field: data.unbind(), hash: OnceLock::new() },
        _ => Source::Payload(data.unbind()),
    };
    Ok(Field { name, source, partition, hash_value, sort_lists })
}

/// What `get_key_payload` of a field that the core runs returns.
#[pyfunction]
pub fn field_payload<'py>(
    field: FieldSpec<'py>,
    parameters: Vec<ParameterSpec>,
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyDict>> {
    let py = function.py();
    let field = compile_field(field, &mut Encoder::new())?;
    let signature = Signature::new(parameters, py);
    let label = "the function";
    let values = signature
        .bind(args, Some(kwargs), true)
        .map_err(|Mismatch| explain(function, label, args, Some(kwargs), true))?;
    let signature = &signature;
    let failed = RefCell::new(None);
    let caller = Caller { py, label, function, signature, values: &values, partial: true, failed };
    caller.payload_of(&field)
}
