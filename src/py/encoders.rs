//! Encoders that a project registers for classes of others.

use super::names;
use parking_lot::RwLock;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyComplex, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet,
    PyString, PyTuple, PyType,
};
use std::sync::atomic::{AtomicBool, Ordering};

static ANY: AtomicBool = AtomicBool::new(false);
static REGISTERED: RwLock<Vec<(Py<PyType>, Py<PyAny>)>> = RwLock::new(Vec::new());

/// Registers `encoder(value)` for instances of `cls` and of its subclasses: what it returns stands
/// for the value in keys, together with the value's class. Registering a class again replaces its
/// encoder.
#[pyfunction]
pub fn register_key_encoder(cls: &Bound<'_, PyAny>, encoder: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = cls.py();
    let Ok(class) = cls.cast::<PyType>() else {
        return Err(PyTypeError::new_err(format!(
            "cache_result: register_key_encoder({}, ...): give a class",
            cls.repr()?
        )));
    };
    if !encoder.is_callable() || names::is_coroutine_function(py)?.call1((encoder,))?.is_truthy()? {
        return Err(PyTypeError::new_err(format!(
            "cache_result: register_key_encoder({}, {}): give a plain function of one value",
            class.name()?,
            encoder.repr()?
        )));
    }
    if has_a_form(class) {
        return Err(PyValueError::new_err(format!(
            "cache_result: register_key_encoder({}, ...): {} is encoded already, and keys must not \
             change; register a subclass, or use ArgsKeyField(..., normalizer=...)",
            class.name()?,
            class.name()?
        )));
    }
    let mut registered = REGISTERED.write();
    let known = registered.iter().position(|(known, _)| known.is(class));
    let entry = (class.clone().unbind(), encoder.clone().unbind());
    let replaced = if let Some(at) = known {
        Some(std::mem::replace(&mut registered[at], entry))
    } else {
        registered.push(entry);
        None
    };
    ANY.store(true, Ordering::Release);
    drop(registered);
    drop(replaced); // what is dropped may run Python code, which must not find the lock taken
    Ok(())
}

/// The encoder of the nearest of the class's bases.
pub fn of(class: &Bound<'_, PyType>) -> Option<Py<PyAny>> {
    if !ANY.load(Ordering::Acquire) {
        return None;
    }
    let py = class.py();
    let registered = REGISTERED.read();
    class.mro().iter().find_map(|base| {
        registered.iter().find(|(known, _)| known.is(&base)).map(|(_, of)| of.clone_ref(py))
    })
}

/// Whether instances never ask for an encoder.
fn has_a_form(class: &Bound<'_, PyType>) -> bool {
    let py = class.py();
    let built_in = [
        py.get_type::<PyAny>(),
        py.get_type::<PyType>(),
        py.None().bind(py).get_type(),
        py.get_type::<PyBool>(),
        py.get_type::<PyInt>(),
        py.get_type::<PyFloat>(),
        py.get_type::<PyComplex>(),
        py.get_type::<PyString>(),
        py.get_type::<PyBytes>(),
        py.get_type::<PyByteArray>(),
        py.get_type::<PyTuple>(),
        py.get_type::<PyList>(),
        py.get_type::<PyDict>(),
        py.get_type::<PySet>(),
        py.get_type::<PyFrozenSet>(),
    ];
    built_in.iter().any(|known| known.is(class))
}
