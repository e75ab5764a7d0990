//! Loose text of scope values: `5`, `"5"`, an instance and its pk, a UUID and its text are one.
//!
//! Being too loose only invalidates too much, so no value keeps its type here.

use super::encoders;
use super::names;
use super::objects::{defines, resolve_lazy};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyString};

/// The text of a value that has one; `None` for `None`, collections and unknown objects.
pub fn loose(value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let py = value.py();
    if let Ok(text) = value.cast_exact::<PyString>() {
        return Ok(Some(text.to_string_lossy().into_owned()));
    }
    if value.is_exact_instance_of::<PyInt>() {
        return Ok(Some(match value.extract::<i64>() {
            Ok(small) => small.to_string(),
            // Not `str`, which refuses more than some thousand digits.
            Err(_) => value.call_method1("__format__", ("#x",))?.extract()?,
        }));
    }
    if value.is_none() {
        return Ok(None);
    }
    if let Ok(flag) = value.cast_exact::<PyBool>() {
        return Ok(Some(if flag.is_true() { "1" } else { "0" }.to_owned()));
    }
    if let Some(resolved) = resolve_lazy(value)? {
        return loose(&resolved);
    }
    let class = value.get_type();
    if defines(&class, "__cache_key__")? || encoders::of(&class).is_some() {
        return Ok(None); // the value alone says what it equals
    }
    if names::is_kind(value, names::enumeration(py)?) {
        return loose(&value.getattr(intern!(py, "_value_"))?);
    }
    if names::is_kind(value, names::model(py)?) {
        return loose(&value.getattr(intern!(py, "pk"))?);
    }
    if value.is_instance_of::<PyInt>() {
        return loose(&py.get_type::<PyInt>().call_method1("__int__", (value,))?);
    }
    if value.is_instance_of::<PyString>() {
        // SafeString and other subclasses: the characters alone.
        let joined = PyString::new(py, "").call_method1("join", ((value,),))?;
        return Ok(Some(joined.str()?.to_string_lossy().into_owned()));
    }
    if value.is_instance_of::<PyFloat>() {
        let number: f64 = value.extract()?;
        // Zero has one sign here.
        return Ok(Some((number + 0.0).to_string()));
    }
    if value.is_instance(names::decimal(py)?)? {
        return decimal(value).map(Some);
    }
    if value.is_instance(names::datetime(py)?)? && !value.getattr("tzinfo")?.is_none() {
        // At the ends of the calendar there is no UTC for it.
        let utc = value.call_method1("astimezone", (names::utc(py)?,));
        let moment = utc.as_ref().unwrap_or(value);
        return Ok(Some(moment.call_method0("isoformat")?.extract()?));
    }
    if value.is_instance(names::date(py)?)? || value.is_instance(names::time(py)?)? {
        return Ok(Some(value.call_method0("isoformat")?.extract()?));
    }
    for class in [names::uuid(py)?, names::timedelta(py)?, names::pure_path(py)?] {
        if value.is_instance(class)? {
            return Ok(Some(value.str()?.to_string()));
        }
    }
    Ok(None)
}

/// `1`, `1.0` and `1E0` are one number.
fn decimal(value: &Bound<'_, PyAny>) -> PyResult<String> {
    const LONGEST: i64 = 100;
    let exponent = value.call_method0("adjusted")?.extract::<i64>()?;
    let finite = value.call_method0("is_finite")?.is_truthy()?;
    if !finite || exponent.abs() > LONGEST {
        // Written out it would fill the memory.
        return Ok(value.str()?.to_string());
    }
    let mut text: String = value.call_method1("__format__", ("f",))?.extract()?;
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    Ok(if text == "-0" { "0".to_owned() } else { text })
}

/// How an argument is read for the scopes of a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// As an integer field reads it.
    Integer,
    /// As a text field reads it.
    Text,
    /// By the field's own `to_python`.
    Field,
}

/// The loose text of `value` as the mapped model field reads it; `None`: the rule's other scope.
pub fn coerced(
    value: &Bound<'_, PyAny>,
    reading: Reading,
    to_python: &Bound<'_, PyAny>,
) -> PyResult<Option<String>> {
    match reading {
        Reading::Integer => {
            if value.is_exact_instance_of::<PyInt>() {
                return loose(value);
            }
            if let Ok(text) = value.cast_exact::<PyString>()
                && let Some(number) = text.to_str().ok().and_then(plain_integer)
            {
                return Ok(Some(number.to_string()));
            }
        }
        Reading::Text => {
            if value.is_exact_instance_of::<PyString>() || value.is_exact_instance_of::<PyInt>() {
                return loose(value);
            }
        }
        Reading::Field => {}
    }
    // Python decides; None is "no single value".
    let read = to_python.call1((value,))?;
    loose(&read)
}

fn plain_integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}
