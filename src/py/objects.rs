//! Python values to canonical bytes: standard-library types, models, classes, own protocols.
//!
//! Every object is written as kind, class and state. The class is named the way it can be
//! imported, and a class that cannot be found under its name is refused: two classes of one
//! name must not share keys.

use super::encode::{Encoder, Refusal, refuse};
use super::names;
use crate::key::Tag;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PyMemoryView,
    PyRange, PySet, PyString, PyTuple, PyType,
};

/// Writes a value that is not of an exact built-in type.
pub fn encode(to: &mut Encoder, value: &Bound<'_, PyAny>, depth: usize) -> Result<(), Refusal> {
    let py = value.py();
    let class = value.get_type();
    if let Ok(class) = value.cast::<PyType>() {
        let name = class_name(class)?;
        return to.blob(Tag::Class, name.as_bytes(), value);
    }
    if let Some(resolved) = resolve_lazy(value)? {
        return to.value(&resolved, depth + 1);
    }
    if class.hasattr(intern!(py, "__cache_key__"))? {
        let state = value.call_method0(intern!(py, "__cache_key__"))?;
        to.object(b'k', &class_name(&class)?, value)?;
        return to.value(&state, depth + 1);
    }
    if value.is_instance(names::enumeration(py)?)? {
        to.object(b'e', &class_name(&class)?, value)?;
        let name = value.getattr(intern!(py, "_name_"))?;
        if name.is_none() {
            return to.value(&value.getattr(intern!(py, "_value_"))?, depth + 1);
        }
        return to.value(&name, depth + 1);
    }
    if standard(to, value, &class, depth)? || inherited(to, value, &class, depth)? {
        return Ok(());
    }
    if value.is_instance(names::model(py)?)? {
        return model(to, value, depth);
    }
    if class.hasattr(intern!(py, "__dataclass_fields__"))? {
        return dataclass(to, value, &class, depth);
    }
    if class.hasattr(intern!(py, "__pydantic_fields__"))? {
        to.object(b'p', &class_name(&class)?, value)?;
        for part in ["__dict__", "__pydantic_extra__", "__pydantic_private__"] {
            to.value(&value.getattr(part)?, depth + 1)?;
        }
        return Ok(());
    }
    Err(refuse(value, "has no stable key"))
}

/// What a lazy translation or a `SimpleLazyObject` stands for; `None` for other values.
pub fn resolve_lazy<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = value.py();
    let class = value.get_type();
    if class.is_subclass(names::lazy_object(py)?)? {
        let wrapped = value.getattr("_wrapped")?;
        if !wrapped.is(names::lazy_empty(py)?) {
            return Ok(Some(wrapped));
        }
        value.call_method0("_setup")?;
        return value.getattr("_wrapped").map(Some);
    }
    if class.is_subclass(names::promise(py)?)? {
        // A lazy proxy pickles as (unpickle, (function, args, kwargs, *result classes)).
        let reduced = value.call_method0("__reduce__")?.get_item(1)?;
        let args = reduced.get_item(1)?;
        let kwargs = reduced.get_item(2)?;
        let call = reduced.get_item(0)?.call(args.cast::<PyTuple>()?, Some(kwargs.cast()?))?;
        return Ok(Some(call));
    }
    Ok(None)
}

/// The name by which `class` can be imported.
pub fn class_name(class: &Bound<'_, PyType>) -> Result<String, Refusal> {
    let py = class.py();
    let module = class.getattr(intern!(py, "__module__"))?.extract::<String>()?;
    let qualname = class.qualname()?.to_string();
    let mut found = names::modules(py)?.get_item(module.as_str()).ok();
    for part in qualname.split('.') {
        found = found.and_then(|holder| holder.getattr(part).ok());
    }
    if !found.is_some_and(|found| found.is(class)) {
        let why = format!(
            "belongs to the class {qualname}, which cannot be imported from {module} under its name"
        );
        return Err(Refusal::Value { kind: qualname, why });
    }
    Ok(format!("{module}:{qualname}"))
}

/// Standard-library types and their subclasses. False: none of them.
fn standard(
    to: &mut Encoder,
    value: &Bound<'_, PyAny>,
    class: &Bound<'_, PyType>,
    depth: usize,
) -> Result<bool, Refusal> {
    let py = value.py();
    let (kind, base, state): (u8, &Bound<'_, PyType>, Bound<'_, PyAny>) =
        if value.is_instance(names::uuid(py)?)? {
            (b'u', names::uuid(py)?, value.getattr(intern!(py, "bytes"))?)
        } else if value.is_instance(names::datetime(py)?)? {
            (b't', names::datetime(py)?, moment(value, names::datetime(py)?)?)
        } else if value.is_instance(names::date(py)?)? {
            let date = names::date(py)?;
            (b'y', date, date.call_method1("isoformat", (value,))?)
        } else if value.is_instance(names::time(py)?)? {
            (b'h', names::time(py)?, moment(value, names::time(py)?)?)
        } else if value.is_instance(names::timedelta(py)?)? {
            let parts = ["days", "seconds", "microseconds"].map(|part| value.getattr(part));
            let parts = parts.into_iter().collect::<PyResult<Vec<_>>>()?;
            (b'l', names::timedelta(py)?, PyTuple::new(py, parts)?.into_any())
        } else if value.is_instance(names::decimal(py)?)? {
            let decimal = names::decimal(py)?;
            (b'd', decimal, decimal.call_method1("__str__", (value,))?)
        } else if value.is_instance(names::pure_path(py)?)? {
            let parts = PyTuple::new(py, [value.str()?])?;
            to.object(b'/', &class_name(class)?, value)?;
            to.value(parts.as_any(), depth + 1)?;
            return Ok(true);
        } else if let Ok(range) = value.cast::<PyRange>() {
            let parts = ["start", "stop", "step"].map(|part| range.getattr(part));
            let parts = parts.into_iter().collect::<PyResult<Vec<_>>>()?;
            let range_type = class.clone();
            to.object(b'r', &class_name(&range_type)?, value)?;
            to.value(PyTuple::new(py, parts)?.as_any(), depth + 1)?;
            return Ok(true);
        } else if let Ok(view) = value.cast::<PyMemoryView>() {
            let bytes = view.call_method0("tobytes")?;
            let format = view.getattr("format")?;
            let shape = view.getattr("shape")?;
            to.blob(Tag::MemoryView, bytes.cast::<PyBytes>()?.as_bytes(), value)?;
            to.value(&format, depth + 1)?;
            to.value(&shape, depth + 1)?;
            return Ok(true);
        } else {
            return Ok(false);
        };
    to.object(kind, &class_name(class)?, value)?;
    to.value(&state, depth + 1)?;
    if !class.is(base) {
        extras(to, value, depth)?;
    }
    Ok(true)
}

/// A datetime or time: its text, its fold, and its zone by class and name (equal instants in two
/// zones are two values). Read through the base class, whatever the subclass overrides.
fn moment<'py>(
    value: &Bound<'py, PyAny>,
    base: &Bound<'py, PyType>,
) -> Result<Bound<'py, PyAny>, Refusal> {
    let py = value.py();
    let text = base.call_method1("isoformat", (value,))?;
    let fold = value.getattr("fold")?;
    let zone = value.getattr("tzinfo")?;
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

/// Subclasses of built-in types: class, content, and what the instance carries besides.
fn inherited(
    to: &mut Encoder,
    value: &Bound<'_, PyAny>,
    class: &Bound<'_, PyType>,
    depth: usize,
) -> Result<bool, Refusal> {
    let py = value.py();
    let head = |to: &mut Encoder| to.object(b's', &class_name(class)?, value);
    // Read through the base class, never through methods that the subclass may have changed.
    if value.is_instance_of::<PyString>() {
        head(to)?;
        let plain = py.get_type::<PyString>().call_method1("__str__", (value,))?;
        let plain = if plain.is_exact_instance_of::<PyString>() {
            plain
        } else {
            PyString::new(py, "").call_method1("join", ((value,),))?
        };
        to.value(&plain, depth + 1)?;
    } else if value.is_instance_of::<PyBool>() {
        return Ok(false);
    } else if let Ok(int) = value.cast::<PyInt>() {
        head(to)?;
        to.int(int)?;
    } else if let Ok(float) = value.cast::<PyFloat>() {
        head(to)?;
        to.writer.float(float.value());
    } else if let Ok(bytes) = value.cast::<PyBytes>() {
        head(to)?;
        to.blob(Tag::Bytes, bytes.as_bytes(), value)?;
    } else if let Ok(array) = value.cast::<PyByteArray>() {
        head(to)?;
        to.blob(Tag::ByteArray, &array.to_vec(), value)?;
    } else if let Ok(items) = value.cast::<PyTuple>() {
        head(to)?;
        let items = PyTuple::new(py, items.iter())?;
        to.sequence(Tag::Tuple, &items, depth)?;
    } else if let Ok(list) = value.cast::<PyList>() {
        head(to)?;
        to.list(list, depth)?;
    } else if let Ok(dict) = value.cast::<PyDict>() {
        head(to)?;
        if value.is_instance(names::ordered_dict(py)?)? {
            let items = names::ordered_dict(py)?.call_method1("items", (value,))?;
            let pairs = items.try_iter()?.collect::<PyResult<Vec<_>>>()?;
            to.sequence(Tag::List, &PyTuple::new(py, pairs)?, depth)?;
        } else {
            to.dict(dict, depth)?;
        }
        if value.is_instance(names::default_dict(py)?)? {
            to.value(&value.getattr("default_factory")?, depth + 1)?;
        }
    } else if value.is_instance_of::<PySet>() {
        head(to)?;
        to.set(Tag::Set, value, depth)?;
    } else if value.is_instance_of::<PyFrozenSet>() {
        head(to)?;
        to.set(Tag::FrozenSet, value, depth)?;
    } else {
        return Ok(false);
    }
    extras(to, value, depth)?;
    Ok(true)
}

/// Attributes that an instance of a subclass carries in `__dict__` and `__slots__`.
fn extras(to: &mut Encoder, value: &Bound<'_, PyAny>, depth: usize) -> Result<(), Refusal> {
    let py = value.py();
    let found = PyDict::new(py);
    if let Some(state) = value.getattr_opt(intern!(py, "__dict__"))? {
        found.update(state.cast::<PyDict>()?.as_mapping())?;
    }
    for class in value.get_type().mro().iter() {
        let Some(slots) = class.getattr("__dict__")?.call_method1("get", ("__slots__",))?.into()
        else {
            continue;
        };
        let slots: Bound<'_, PyAny> = slots;
        if slots.is_none() {
            continue;
        }
        let slots = if slots.is_instance_of::<PyString>() {
            PyTuple::new(py, [slots])?.into_any()
        } else {
            slots
        };
        for slot in slots.try_iter()? {
            let slot: String = slot?.extract()?;
            // A private name is stored as Python mangles it.
            let slot = if slot.starts_with("__") && !slot.ends_with("__") {
                let owner: String = class.getattr("__name__")?.extract()?;
                format!("_{}{slot}", owner.trim_start_matches('_'))
            } else {
                slot
            };
            if let Some(content) = value.getattr_opt(slot.as_str())? {
                found.set_item(slot, content)?;
            }
        }
    }
    to.dict(&found, depth)
}

fn model(to: &mut Encoder, value: &Bound<'_, PyAny>, depth: usize) -> Result<(), Refusal> {
    let state = value.getattr("_state")?;
    let pk = value.getattr("pk")?;
    if pk.is_none() || state.getattr("adding")?.is_truthy()? {
        return Err(refuse(value, "is not saved yet, so it has no identity"));
    }
    let label = value.getattr("_meta")?.getattr("label")?;
    let parts = PyTuple::new(value.py(), [label, state.getattr("db")?, pk])?;
    to.object(b'm', "", value)?;
    to.value(parts.as_any(), depth + 1)
}

fn dataclass(
    to: &mut Encoder,
    value: &Bound<'_, PyAny>,
    class: &Bound<'_, PyType>,
    depth: usize,
) -> Result<(), Refusal> {
    to.object(b'D', &class_name(class)?, value)?;
    let fields = class.getattr("__dataclass_fields__")?;
    let fields = fields.cast::<PyDict>()?.keys().to_tuple();
    let state = PyDict::new(value.py());
    for name in fields.iter_borrowed() {
        // Class variables and init-only ones are fields of the class, not of the instance.
        if let Some(content) = value.getattr_opt(name.cast::<PyString>()?)? {
            state.set_item(name, content)?;
        }
    }
    to.dict(&state, depth)?;
    if !class.getattr("__dict__")?.contains("__dataclass_fields__")? {
        // A subclass that is no dataclass itself may carry more than the fields.
        extras(to, value, depth)?;
    }
    Ok(())
}
