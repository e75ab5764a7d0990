//! Key fields: what each contributes to a call's key and scopes.

use super::absent::absent;
use super::bind::{Signature, Values};
use super::encode::Encoder;
use super::loose::loose;
use super::names;
use super::partition::Run;
use super::refusal::Refusal;
use super::sources::{Arguments, Found, Path, Request, query_of};
use crate::key::Tag;
use pyo3::PyTraverseError;
use pyo3::exceptions::{PyLookupError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use std::cell::{Cell, RefCell};
use std::sync::OnceLock;

thread_local! {
    /// Whether the payload that is being made is that of a partial call.
    static PARTIAL: Cell<bool> = const { Cell::new(false) };
}

/// Whom to blame for query parameters that have no key.
pub const QUERY_STRING: &str = "the request's query string";

/// What a field contributes.
pub enum Source {
    /// The values of arguments.
    Arguments(Arguments),
    /// What a path finds in the request.
    Request { request: Request, path: Path, shown: String },
    /// Parameters of the request's query string; `None` for all of them.
    Query { request: Request, params: Option<Vec<Py<PyString>>> },
    /// The same for every call: canonical bytes, text to read, and the payload.
    Constant { bytes: Vec<u8>, text: String, payload: Py<PyAny> },
    /// What its `shape()` returns, once.
    Shape { field: Py<PyAny>, hash: OnceLock<[u8; 32]> },
    /// What its `get_key_payload` returns.
    Payload(Py<PyAny>),
}

/// One field of a key constructor.
pub struct Field {
    /// Its attribute name.
    pub name: String,
    /// What it contributes.
    pub source: Source,
    /// Entries that share it can be wiped together.
    pub partition: bool,
    /// Its value must not be readable in the key text.
    pub hash_value: bool,
    /// Lists are equal in whatever order their items are.
    pub sort_lists: bool,
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
    /// Their values.
    pub values: &'a Values<'py>,
    /// Some values may be missing.
    pub partial: bool,
    /// What a field of the user's own raised at a partial call.
    pub failed: RefCell<Option<PyErr>>,
}

impl<'py> Caller<'_, 'py> {
    /// Writes a field's contribution, and adds it to the `run` of a partition. False: a partial call
    /// does not say enough.
    pub fn write(&self, field: &Field, to: &mut Encoder, run: Option<&mut Run>) -> PyResult<bool> {
        to.sort_lists = field.sort_lists;
        let mut run = run.filter(|_| field.partition);
        if let Some(run) = &mut run {
            run.separate(':');
        }
        let (py, values, partial) = (self.py, self.values, self.partial);
        match &field.source {
            Source::Arguments(arguments) => {
                to.writer.open(Tag::Tuple, arguments.picks.len());
                for pick in &arguments.picks {
                    let found = arguments.find(pick, values, partial, py)?;
                    let what = || format!("argument '{}'", pick.name);
                    let from = to.writer.len();
                    if !self.put(&found, to, what)? {
                        return Ok(false);
                    }
                    if let Some(run) = &mut run {
                        let scoped = format!("\0{}\0{}", field.name, pick.name);
                        let name = if arguments.plain { &pick.name } else { &scoped };
                        run.separate(',');
                        run.add(field, name, loose_text(&found)?.as_deref(), written(to, from));
                    }
                }
            }
            Source::Request { request, path, shown } => {
                let found = match request.find(values, partial, py)? {
                    Found::Value(request) => path.follow(request)?,
                    nothing => nothing,
                };
                let from = to.writer.len();
                if !self.put(&found, to, || format!("the request's {shown}"))? {
                    return Ok(false);
                }
                if let Some(run) = run {
                    let loose = loose_text(&found)?;
                    run.add(field, &field.scope(), loose.as_deref(), written(to, from));
                }
            }
            Source::Query { request, params } => {
                let query = match request.find(values, partial, py)? {
                    Found::Value(request) => query_of(&request)?,
                    Found::Absent => None,
                    Found::Unbound => return Ok(false),
                };
                let from = to.writer.len();
                let refused = |refusal| self.blame(refusal, QUERY_STRING);
                write_query(query.as_ref(), params.as_deref(), to).map_err(refused)?;
                if let Some(run) = run {
                    run.add_query(field, query.as_ref(), params.as_deref(), written(to, from))?;
                }
            }
            Source::Constant { bytes, text, .. } => {
                let too_large = |_| PyValueError::new_err("the constant is too large");
                to.writer.blob(Tag::Bytes, bytes).map_err(too_large)?;
                if let Some(run) = run {
                    run.add_typed(field, Some(text), bytes);
                }
            }
            Source::Shape { field: object, hash } => {
                let hash = self.shape(field, object, hash)?;
                let too_large = |_| PyValueError::new_err("the key is too large");
                to.writer.blob(Tag::Bytes, hash).map_err(too_large)?;
                if let Some(run) = run {
                    run.add_typed(field, None, hash);
                }
            }
            Source::Payload(object) => {
                let payload = match self.payload(object) {
                    Ok(payload) => payload,
                    Err(error)
                        if !partial || error.is_instance(py, names::synchronous_only(py)?) =>
                    {
                        return Err(error);
                    }
                    // It cannot do with these arguments.
                    Err(error) => {
                        self.failed.replace(Some(error));
                        return Ok(false);
                    }
                };
                let from = to.writer.len();
                to.value(&payload, 0).map_err(|refusal| {
                    self.blame(refusal, &format!("the payload of the key field {:?}", field.name))
                })?;
                if let Some(run) = run {
                    run.add_payload(field, &payload, written(to, from))?;
                }
            }
        }
        Ok(true)
    }

    fn put(
        &self,
        found: &Found<'py>,
        to: &mut Encoder,
        what: impl Fn() -> String,
    ) -> PyResult<bool> {
        match found {
            Found::Value(value) => {
                to.value(value, 0).map_err(|refusal| self.blame(refusal, &what()))?;
            }
            Found::Absent => to.writer.tag(Tag::Absent),
            Found::Unbound => return Ok(false),
        }
        Ok(true)
    }

    fn payload(&self, object: &Py<PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (args, kwargs) = self.signature.spell(self.py, self.values)?;
        let before = PARTIAL.replace(self.partial);
        let payload =
            object.bind(self.py).call_method1("get_key_payload", (self.function, args, kwargs));
        PARTIAL.set(before);
        payload
    }

    fn shape<'a>(
        &self,
        field: &Field,
        object: &Py<PyAny>,
        hash: &'a OnceLock<[u8; 32]>,
    ) -> PyResult<&'a [u8; 32]> {
        if let Some(hash) = hash.get() {
            return Ok(hash);
        }
        let shape = object.bind(self.py).call_method0("shape")?;
        let mut encoder = Encoder::new();
        encoder.value(&shape, 0).map_err(|refusal| {
            self.blame(refusal, &format!("the shape of the key field {:?}", field.name))
        })?;
        let _ = hash.set(*blake3::hash(encoder.writer.as_bytes()).as_bytes());
        Ok(hash.get().expect("it was set"))
    }

    /// What a field's `get_key_payload` returns: names and values.
    pub fn payload_of(&self, field: &Field) -> PyResult<Bound<'py, PyDict>> {
        let (py, values) = (self.py, self.values);
        let payload = PyDict::new(py);
        let put = |name: &str, found: Found<'py>| match found {
            Found::Value(value) => payload.set_item(name, value),
            Found::Absent => payload.set_item(name, absent(py)?),
            Found::Unbound => Ok(()),
        };
        match &field.source {
            Source::Arguments(arguments) => {
                if let Some(missing) = arguments.missing(values, PARTIAL.get(), py)? {
                    return Err(PyLookupError::new_err(missing.to_owned()));
                }
                for pick in &arguments.picks {
                    put(&pick.name, arguments.find(pick, values, false, py)?)?;
                }
            }
            Source::Request { request, path, shown } => {
                let found = match request.find(values, true, py)? {
                    Found::Value(request) => path.follow(request)?,
                    Found::Absent => Found::Absent,
                    Found::Unbound => return Err(PyLookupError::new_err("the request")),
                };
                put(shown, found)?;
            }
            Source::Query { request, params } => {
                let query = match request.find(values, true, py)? {
                    Found::Value(request) => query_of(&request)?,
                    Found::Absent => None,
                    Found::Unbound => return Err(PyLookupError::new_err("the request")),
                };
                match params {
                    None => {
                        for (name, list) in query.iter().flat_map(PyDictMethods::iter) {
                            payload.set_item(name, list)?;
                        }
                    }
                    Some(params) => {
                        for name in params {
                            let list = match &query {
                                Some(query) => query.get_item(name)?,
                                None => None,
                            };
                            let name = name.bind(py).to_str()?;
                            put(name, list.map_or(Found::Absent, Found::Value))?;
                        }
                    }
                }
            }
            Source::Constant { payload: constant, .. } => {
                payload.update(constant.bind(py).cast::<PyDict>()?.as_mapping())?;
            }
            Source::Shape { field: object, .. } => {
                payload.set_item(&field.name, object.bind(py).call_method0("shape")?)?;
            }
            Source::Payload(object) => return Ok(self.payload(object)?.cast_into::<PyDict>()?),
        }
        Ok(payload)
    }

    /// The error for a value that has no key.
    pub fn blame(&self, refusal: Refusal, what: &str) -> PyErr {
        refusal.blame(self.py, what, self.label)
    }
}

impl Field {
    /// The name of the field's own values in scopes, which no parameter can have.
    pub fn scope(&self) -> String {
        format!("\0{}", self.name)
    }

    /// Whether all `count` arguments in order, or the query string of one of them, are what it
    /// contributes, and not to a partition.
    pub fn is_straight(&self, count: usize) -> bool {
        let straight = match &self.source {
            Source::Arguments(arguments) => arguments.are_first(count),
            Source::Query { request, .. } => request.argument.is_some(),
            _ => false,
        };
        straight && !self.partition
    }

    /// Whether all `count` arguments in order are what it contributes.
    pub fn has_all(&self, count: usize) -> bool {
        matches!(&self.source, Source::Arguments(arguments) if arguments.are_first(count))
    }

    /// Whether it contributes the value of a parameter as it is.
    pub fn has_whole(&self, parameter: usize) -> bool {
        matches!(&self.source, Source::Arguments(arguments) if arguments.have_whole(parameter))
    }

    /// What a partial call must say for this field, for people.
    pub fn needs(&self) -> String {
        match &self.source {
            Source::Arguments(arguments) => arguments.needs(),
            Source::Request { .. } | Source::Query { .. } => "the request".to_owned(),
            _ => format!("what the field {:?} needs", self.name),
        }
    }

    /// The names of what it contributes, where they are known from the start.
    pub fn labels(&self) -> Vec<String> {
        match &self.source {
            Source::Arguments(arguments) => {
                arguments.picks.iter().map(|pick| pick.name.clone()).collect()
            }
            Source::Request { shown, .. } => vec![shown.clone()],
            Source::Query { params: Some(params), .. } => {
                params.iter().map(ToString::to_string).collect()
            }
            _ => Vec::new(),
        }
    }

    /// For Python's garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.source {
            Source::Payload(object) | Source::Shape { field: object, .. } => visit.call(object),
            Source::Constant { payload, .. } => visit.call(payload),
            Source::Arguments(arguments) => arguments.traverse(visit),
            Source::Request { .. } | Source::Query { .. } => Ok(()),
        }
    }
}

fn written(to: &Encoder, from: usize) -> &[u8] {
    &to.writer.as_bytes()[from..]
}

fn loose_text(found: &Found<'_>) -> PyResult<Option<String>> {
    match found {
        Found::Value(value) => loose(value),
        _ => Ok(None),
    }
}

/// Writes the query parameters of a request; those named in `params`, if any are.
pub fn write_query(
    query: Option<&Bound<'_, PyDict>>,
    params: Option<&[Py<PyString>]>,
    to: &mut Encoder,
) -> Result<(), Refusal> {
    let Some(params) = params else {
        match query {
            Some(query) => to.dict(query, 0)?,
            None => to.writer.tag(Tag::Absent),
        }
        return Ok(());
    };
    to.writer.open(Tag::Tuple, params.len());
    for name in params {
        let list = match query {
            Some(query) => query.get_item(name)?,
            None => None,
        };
        match list {
            Some(list) => match list.cast_into_exact::<PyList>() {
                Ok(list) if to.single(&list) => {}
                Ok(list) => to.list(&list, 0)?,
                Err(other) => to.value(&other.into_inner(), 0)?,
            },
            None => to.writer.tag(Tag::Absent),
        }
    }
    Ok(())
}
