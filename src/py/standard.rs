//! Python values to canonical bytes: types of the standard library, and subclasses of those and of
//! the built-in ones.

use super::encode::Encoder;
use super::names;
use super::objects::{class_name, extras};
use super::refusal::{Refusal, limited, refuse};
use crate::key::{Limit, MAX_BYTES, Tag};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PyMemoryView, PyRange,
    PySet, PyString, PyTuple, PyType,
};

/// Writes an instance of such a type. False: it is none.
pub fn encode(
    to: &mut Encoder,
    value: &Bound<'_, PyAny>,
    class: &Bound<'_, PyType>,
    depth: usize,
) -> Result<bool, Refusal> {
    if let Some((kind, state)) = standard(value, class)? {
        to.writer.standard(kind);
        to.value(&state, depth + 1)?;
        return Ok(true);
    }
    let Some(base) = base_of(value)? else { return Ok(false) };
    if hides_state(class, base.class())? {
        return Err(refuse(value, "has state of its own that only its C code knows"));
    }
    // Class, content, and what the instance carries besides.
    to.object(b's', &class_name(class)?, value)?;
    to.writer.open(Tag::Tuple, 2);
    let base = match base {
        Base::BuiltIn(_) => {
            built_in(to, value, depth)?;
            None
        }
        Base::Standard(base) => {
            if let Some((kind, state)) = standard(value, &base)? {
                to.writer.standard(kind);
                to.value(&state, depth + 1)?;
            }
            Some(base)
        }
    };
    extras(to, value, base.as_ref(), depth)?;
    Ok(true)
}

/// Kind and state of an instance of one of the standard library's classes. It is read through that
/// class, whatever a subclass overrides.
fn standard<'py>(
    value: &Bound<'py, PyAny>,
    class: &Bound<'py, PyType>,
) -> Result<Option<(u8, Bound<'py, PyAny>)>, Refusal> {
    let py = value.py();
    let parts = |names: [&str; 3]| -> PyResult<Bound<'py, PyAny>> {
        let parts = names.into_iter().map(|name| read(value, class, name));
        Ok(PyTuple::new(py, parts.collect::<PyResult<Vec<_>>>()?)?.into_any())
    };
    Ok(Some(if class.is(names::uuid(py)?) {
        (b'u', read(value, class, "bytes")?)
    } else if class.is(names::datetime(py)?) {
        (b't', moment(value, class)?)
    } else if class.is(names::date(py)?) {
        (b'y', class.call_method1(intern!(py, "isoformat"), (value,))?)
    } else if class.is(names::time(py)?) {
        (b'h', moment(value, class)?)
    } else if class.is(names::timedelta(py)?) {
        (b'l', parts(["days", "seconds", "microseconds"])?)
    } else if class.is(names::decimal(py)?) {
        // The context of decimals decides on `e` or `E`.
        let text = class.call_method1(intern!(py, "__str__"), (value,))?;
        (b'd', text.call_method1(intern!(py, "replace"), ("e", "E"))?)
    } else if value.is_exact_instance_of::<PyRange>() {
        (b'r', parts(["start", "stop", "step"])?)
    } else if value.is_exact_instance_of::<PyMemoryView>() {
        if value.getattr("nbytes")?.extract::<usize>()? > MAX_BYTES {
            return Err(limited(Limit::Bytes, value));
        }
        let view = [value.call_method0("tobytes")?, value.getattr("format")?];
        let view = view.into_iter().chain([value.getattr("shape")?]).collect::<Vec<_>>();
        (b'm', PyTuple::new(py, view)?.into_any())
    } else if names::paths(py)?.iter().any(|path| class.is(path)) {
        // Not the class: its module differs from one Python to the next.
        let text = names::pure_path(py)?.call_method1(intern!(py, "__str__"), (value,))?;
        let flavour = class.name()?.into_any();
        (b'/', PyTuple::new(py, [flavour, text])?.into_any())
    } else {
        return Ok(None);
    }))
}

/// An attribute, as `class` has it.
fn read<'py>(
    value: &Bound<'py, PyAny>,
    class: &Bound<'py, PyType>,
    name: &str,
) -> PyResult<Bound<'py, PyAny>> {
    if value.get_type().is(class) {
        return value.getattr(name);
    }
    class.getattr(name)?.call_method1("__get__", (value, value.get_type()))
}

/// What a subclass derives from.
enum Base<'py> {
    BuiltIn(Bound<'py, PyType>),
    Standard(Bound<'py, PyType>),
}

impl<'py> Base<'py> {
    fn class(&self) -> &Bound<'py, PyType> {
        match self {
            Self::BuiltIn(class) | Self::Standard(class) => class,
        }
    }
}

/// Whether instances are larger than `base` and what Python adds to it (slots, `__dict__`, weak
/// references) explain, as those of `pandas.Timestamp` are.
fn hides_state(class: &Bound<'_, PyType>, base: &Bound<'_, PyType>) -> PyResult<bool> {
    let py = class.py();
    let number = |class: &Bound<'_, PyType>, name: &str| class.getattr(name)?.extract::<isize>();
    let more = number(class, "__basicsize__")? - number(base, "__basicsize__")?;
    if more <= 0 {
        return Ok(false);
    }
    let mut explained = 0;
    for offset in ["__dictoffset__", "__weakrefoffset__"] {
        explained += isize::from(number(class, offset)? != 0);
    }
    let slot_type = names::member_descriptor(py)?;
    for between in class.mro().iter().take_while(|between| !between.is(base)) {
        for slot in between.getattr("__dict__")?.call_method0("values")?.try_iter()? {
            explained += isize::from(names::is_kind(&slot?, slot_type));
        }
    }
    Ok(more > explained * isize::try_from(size_of::<usize>()).unwrap_or(8))
}

fn base_of<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Base<'py>>> {
    let py = value.py();
    let class = value.get_type();
    let built_in = [
        py.get_type::<PyString>(),
        py.get_type::<PyInt>(),
        py.get_type::<PyFloat>(),
        py.get_type::<PyBytes>(),
        py.get_type::<PyByteArray>(),
        py.get_type::<PyTuple>(),
        py.get_type::<PyList>(),
        names::ordered_dict(py)?.clone(),
        py.get_type::<PyDict>(),
        py.get_type::<PySet>(),
        py.get_type::<PyFrozenSet>(),
    ];
    if let Some(base) = built_in.into_iter().find(|base| names::is_kind(value, base)) {
        return Ok(Some(Base::BuiltIn(base)));
    }
    // A datetime is a date, so the order decides.
    let simple = [
        names::uuid(py)?,
        names::datetime(py)?,
        names::date(py)?,
        names::time(py)?,
        names::timedelta(py)?,
        names::decimal(py)?,
    ];
    for base in simple.into_iter().chain(names::paths(py)?.iter().map(|path| path.bind(py))) {
        if class.is_subclass(base)? {
            return Ok(Some(Base::Standard(base.clone())));
        }
    }
    Ok(None)
}

/// A datetime or time: its text, its fold, and its zone by class and name (equal instants in two
/// zones are two values).
fn moment<'py>(
    value: &Bound<'py, PyAny>,
    base: &Bound<'py, PyType>,
) -> Result<Bound<'py, PyAny>, Refusal> {
    let py = value.py();
    let text = base.call_method1(intern!(py, "isoformat"), (value,))?;
    let fold = read(value, base, "fold")?;
    let zone = read(value, base, "tzinfo")?;
    if zone.is_none() {
        return Ok(PyTuple::new(py, [text, fold, zone])?.into_any());
    }
    let name = match zone.getattr("key").or_else(|_| zone.getattr("zone")) {
        Ok(name) if !name.is_none() => name,
        _ => zone.repr()?.into_any(),
    };
    if name.str()?.to_string_lossy().contains(" at 0x") {
        return Err(refuse(&zone, "is a time zone without a name"));
    }
    let class = zone.get_type().fully_qualified_name()?.into_any();
    Ok(PyTuple::new(py, [text, fold, class, name])?.into_any())
}

/// The content of an instance of a subclass of a built-in type, read through that type.
fn built_in(to: &mut Encoder, value: &Bound<'_, PyAny>, depth: usize) -> Result<(), Refusal> {
    let py = value.py();
    if value.is_instance_of::<PyString>() {
        let plain = py.get_type::<PyString>().call_method1("__str__", (value,))?;
        let plain = if plain.is_exact_instance_of::<PyString>() {
            plain
        } else {
            PyString::new(py, "").call_method1("join", ((value,),))?
        };
        to.text(plain.cast::<PyString>()?)?;
    } else if let Ok(int) = value.cast::<PyInt>() {
        to.int(int)?;
    } else if let Ok(float) = value.cast::<PyFloat>() {
        to.writer.float(float.value());
    } else if let Ok(bytes) = value.cast::<PyBytes>() {
        to.blob(Tag::Bytes, bytes.as_bytes(), value)?;
    } else if let Ok(array) = value.cast::<PyByteArray>() {
        to.byte_array(array)?;
    } else if let Ok(items) = value.cast::<PyTuple>() {
        to.sequence(Tag::Tuple, items.iter_borrowed(), value, depth)?;
    } else if let Ok(list) = value.cast::<PyList>() {
        to.list(list, depth)?;
    } else if let Ok(dict) = value.cast::<PyDict>() {
        mapping(to, dict, depth)?;
    } else if value.is_instance_of::<PySet>() {
        to.set(Tag::Set, value, depth)?;
    } else {
        to.set(Tag::FrozenSet, value, depth)?;
    }
    Ok(())
}

/// A subclass of `dict`; an `OrderedDict` has an order. (The factory of a `defaultdict` is a slot.)
fn mapping(to: &mut Encoder, dict: &Bound<'_, PyDict>, depth: usize) -> Result<(), Refusal> {
    let py = dict.py();
    if dict.is_instance(names::ordered_dict(py)?)? {
        let items = names::ordered_dict(py)?.call_method1("items", (dict,))?;
        let pairs = items.try_iter()?.collect::<PyResult<Vec<_>>>()?;
        return to.sequence(Tag::List, pairs.iter(), dict, depth);
    }
    to.dict(dict, depth)
}
