//! Values that have no key: why, and what to do about it.

use super::names;
use crate::key::Limit;
use pyo3::prelude::*;

/// Why a value has no key.
pub enum Refusal {
    /// This value cannot be part of a key.
    Value {
        /// Its type, for people.
        kind: String,
        /// The sentence that begins with the type.
        why: String,
        /// What to write instead.
        remedy: &'static str,
    },
    /// Python code of the value raised.
    Python(PyErr),
}

const GENERAL: &str = "pass a plain value such as its primary key, name the arguments that matter \
    with ArgsKeyField(\"name\", path=\"pk\"), give the class a __cache_key__() method, or \
    register_key_encoder() for it";
const REQUEST: &str = "say what of the request matters with RequestValueKeyField(\"user.pk\"), \
    QueryParamsKeyField() or ViewKwargsKeyField() in a KeyConstructor, or pass on the values \
    themselves";
const VIEW: &str = "put @cache_response on the view, or name the arguments that matter in a KeyConstructor: \
    RequestValueKeyField(\"user.pk\"), QueryParamsKeyField(), ViewKwargsKeyField()";
const QUERYSET: &str =
    "pass what selects its rows, or their keys: list(rows.values_list(\"pk\", flat=True))";
const UNSAVED: &str = "save it first, or pass the values that matter";
const FUNCTION: &str = "pass a name that stands for it, or leave it out of the key by naming the \
    arguments that matter with ArgsKeyField(...)";
const TOO_LARGE: &str = "pass something that stands for it, such as a primary key or a digest";

impl From<PyErr> for Refusal {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl From<pyo3::CastError<'_, '_>> for Refusal {
    fn from(error: pyo3::CastError<'_, '_>) -> Self {
        Self::Python(error.into())
    }
}

/// A refusal of `value`, which...
pub fn refuse(value: &Bound<'_, PyAny>, why: impl Into<String>) -> Refusal {
    Refusal::Value { kind: kind(value), why: why.into(), remedy: GENERAL }
}

/// A refusal of an unsaved model instance.
pub fn refuse_unsaved(value: &Bound<'_, PyAny>) -> Refusal {
    let why = "is not saved yet, so it has no identity".to_owned();
    Refusal::Value { kind: kind(value), why, remedy: UNSAVED }
}

/// A refusal of a class, by its name, or of what belongs to it.
pub fn refuse_class(kind: String, why: String) -> Refusal {
    Refusal::Value { kind, why, remedy: GENERAL }
}

/// A refusal of a value whose type nobody knows how to encode.
pub fn refuse_unknown(value: &Bound<'_, PyAny>) -> Refusal {
    let py = value.py();
    let is = |class: PyResult<&Bound<'_, pyo3::types::PyType>>| {
        class.is_ok_and(|class| value.is_instance(class).unwrap_or(false))
    };
    let kind = kind(value);
    let remedy = if names::is_request(value).unwrap_or(false) {
        REQUEST
    } else if is(names::view(py)) {
        VIEW
    } else if is(names::queryset(py)) {
        QUERYSET
    } else if ["function", "method", "builtin_function_or_method"].contains(&kind.as_str()) {
        FUNCTION
    } else {
        GENERAL
    };
    Refusal::Value { kind, why: "has no stable key".to_owned(), remedy }
}

/// A refusal of a value that goes past a bound.
#[cold]
pub fn limited(limit: Limit, value: &Bound<'_, PyAny>) -> Refusal {
    let why = match limit {
        Limit::Depth => "is nested too deeply, or contains itself",
        Limit::Bytes => "is too large to be a key (16 MiB at most)",
    };
    Refusal::Value { kind: kind(value), why: why.to_owned(), remedy: TOO_LARGE }
}

fn kind(value: &Bound<'_, PyAny>) -> String {
    value.get_type().qualname().map_or_else(|_| "object".into(), |n| n.to_string())
}

impl Refusal {
    /// The error for `what` ("argument 'user'") of the function `label`.
    pub fn blame(self, py: Python<'_>, what: &str, label: &str) -> PyErr {
        let (kind, why, remedy) = match self {
            Self::Value { kind, why, remedy } => (kind, why, remedy),
            Self::Python(error) => {
                let note =
                    format!("cache_result: raised while making the key of {what} of {label}");
                // A note that cannot be added must not hide the error itself.
                let _ = error.value(py).call_method1("add_note", (note,));
                return error;
            }
        };
        let message = format!(
            "cache_result: {what} of {label} is or contains a <{kind}>, which {why}; {remedy}"
        );
        match names::unkeyable_argument(py) {
            Ok(class) => PyErr::from_type(class.clone(), message),
            Err(error) => error,
        }
    }
}
