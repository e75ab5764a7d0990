//! Python values to canonical bytes: own protocols, enumerations, models, dataclasses, classes.
//!
//! Every object is written as kind, class and state. The class is named the way it can be
//! imported, and a class that cannot be found under its name is refused: two classes of one
//! name must not share keys.

use super::absent::Absent;
use super::encode::Encoder;
use super::encoders;
use super::names;
use super::refusal::{Refusal, refuse_class, refuse_unknown, refuse_unsaved};
use super::standard;
use crate::key::Tag;
use pyo3::exceptions::PyAttributeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

/// Writes a value that is not of an exact built-in type.
pub fn encode(to: &mut Encoder, value: &Bound<'_, PyAny>, depth: usize) -> Result<(), Refusal> {
    let py = value.py();
    let class = value.get_type();
    if let Ok(class) = value.cast::<PyType>() {
        let name = class_name(class)?;
        return to.blob(Tag::Class, name.as_bytes(), value);
    }
    if value.is_exact_instance_of::<Absent>() {
        to.writer.tag(Tag::Absent);
        return Ok(());
    }
    if let Some(resolved) = resolve_lazy(value)? {
        return to.value(&resolved, depth + 1);
    }
    if let Some(encoder) = encoders::of(&class) {
        let state = encoder.bind(py).call1((value,))?;
        to.object(b'r', &class_identity(&class)?, value)?;
        return to.value(&state, depth + 1);
    }
    if defines(&class, "__cache_key__")? {
        let state = value.call_method0(intern!(py, "__cache_key__"))?;
        to.object(b'k', &class_identity(&class)?, value)?;
        return to.value(&state, depth + 1);
    }
    if names::is_kind(value, names::enumeration(py)?) {
        to.object(b'e', &class_name(&class)?, value)?;
        let name = value.getattr(intern!(py, "_name_"))?;
        if name.is_none() {
            return to.value(&value.getattr(intern!(py, "_value_"))?, depth + 1);
        }
        return to.value(&name, depth + 1);
    }
    if standard::encode(to, value, &class, depth)? {
        return Ok(());
    }
    if names::is_kind(value, names::model(py)?) {
        return model(to, value, depth);
    }
    if defines(&class, "__dataclass_fields__")? {
        return dataclass(to, value, &class, depth);
    }
    if defines(&class, "__pydantic_fields__")? {
        to.object(b'p', &class_name(&class)?, value)?;
        let parts = [
            "__dict__",
            "__pydantic_extra__",
            "__pydantic_private__",
            "__pydantic_fields_set__", // what `exclude_unset` goes by
        ];
        to.writer.open(Tag::Tuple, parts.len());
        for part in parts {
            to.value(&value.getattr(part)?, depth + 1)?;
        }
        return Ok(());
    }
    Err(refuse_unknown(value))
}

/// Whether the class or one of its bases has such an attribute of its own; its metaclass does not count.
pub fn defines(class: &Bound<'_, PyType>, name: &str) -> PyResult<bool> {
    for base in class.mro().iter() {
        if base.getattr(intern!(class.py(), "__dict__"))?.contains(name)? {
            return Ok(true);
        }
    }
    Ok(false)
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
    importable_name(class)?.map_err(|(module, qualname)| {
        let why = format!(
            "belongs to the class {qualname}, which cannot be imported from {module} under its name"
        );
        refuse_class(qualname, why)
    })
}

/// [`class_name`]; or, for a class that says itself what its instances' keys are, a name that holds
/// in this process.
pub fn class_identity(class: &Bound<'_, PyType>) -> PyResult<String> {
    Ok(match importable_name(class)? {
        Ok(name) => name,
        Err((module, qualname)) => {
            let token = names::class_token(class.py())?.call1((class,))?;
            format!("{module}:{qualname}~{}", token.extract::<String>()?)
        }
    })
}

fn importable_name(class: &Bound<'_, PyType>) -> PyResult<Result<String, (String, String)>> {
    let py = class.py();
    let module = class.getattr(intern!(py, "__module__"))?.extract::<String>()?;
    let qualname = class.qualname()?.to_string();
    let mut found = names::modules(py)?.get_item(module.as_str()).ok();
    for part in qualname.split('.') {
        found = found.and_then(|holder| holder.getattr(part).ok());
    }
    let ambiguous = module.contains(':') || qualname.contains(':');
    let importable = !ambiguous && found.is_some_and(|found| found.is(class));
    Ok(if importable { Ok(format!("{module}:{qualname}")) } else { Err((module, qualname)) })
}

/// What an instance of a subclass of `base` carries in its `__dict__` and in slots; those of `base`
/// itself are its own affair.
pub fn extras(
    to: &mut Encoder,
    value: &Bound<'_, PyAny>,
    base: Option<&Bound<'_, PyType>>,
    depth: usize,
) -> Result<(), Refusal> {
    let py = value.py();
    let found = PyDict::new(py);
    if let Some(state) = value.getattr_opt(intern!(py, "__dict__"))? {
        found.update(state.cast::<PyDict>()?.as_mapping())?;
    }
    let slot_type = names::member_descriptor(py)?;
    for (level, class) in value.get_type().mro().iter().enumerate() {
        if base.is_some_and(|base| class.is(base)) {
            break;
        }
        for pair in class.getattr("__dict__")?.call_method0("items")?.try_iter()? {
            let (name, slot): (Bound<'_, PyString>, Bound<'_, PyAny>) = pair?.extract()?;
            if !names::is_kind(&slot, slot_type) {
                continue;
            }
            match slot.call_method1("__get__", (value,)) {
                // Two classes may have slots of one name.
                Ok(content) if found.contains(&name)? => {
                    found.set_item((name, level), content)?;
                }
                Ok(content) => found.set_item(name, content)?,
                Err(error) if error.is_instance_of::<PyAttributeError>(py) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    to.dict(&found, depth)
}

fn model(to: &mut Encoder, value: &Bound<'_, PyAny>, depth: usize) -> Result<(), Refusal> {
    let state = value.getattr("_state")?;
    let pk = value.getattr("pk")?;
    if pk.is_none() || state.getattr("adding")?.is_truthy()? {
        return Err(refuse_unsaved(value));
    }
    let label = value.getattr("_meta")?.getattr("label")?;
    let parts = PyTuple::new(value.py(), [label, state.getattr("db")?, pk])?;
    to.writer.standard(b'M');
    to.value(parts.as_any(), depth + 1)
}

fn dataclass(
    to: &mut Encoder,
    value: &Bound<'_, PyAny>,
    class: &Bound<'_, PyType>,
    depth: usize,
) -> Result<(), Refusal> {
    to.object(b'D', &class_name(class)?, value)?;
    let state = PyDict::new(value.py());
    for field in names::dataclass_fields(value.py())?.call1((class,))?.try_iter()? {
        let name = field?.getattr("name")?;
        let name = name.cast::<PyString>()?;
        if let Some(content) = value.getattr_opt(name)? {
            state.set_item(name, content)?;
        }
    }
    // A subclass that is no dataclass itself may carry more than the fields.
    let inherited = !class.getattr("__dict__")?.contains("__dataclass_fields__")?;
    to.writer.open(Tag::Tuple, 1 + usize::from(inherited));
    to.dict(&state, depth)?;
    if inherited {
        extras(to, value, None, depth)?;
    }
    Ok(())
}
