//! Encoders that a project registers for classes of others.

use super::absent::Absent;
use super::names;
use parking_lot::RwLock;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyComplex, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet,
    PyString, PyTuple, PyType, PyWeakrefMethods, PyWeakrefReference,
};
use std::collections::HashMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

static ANY: AtomicBool = AtomicBool::new(false);
/// By the class's address: a weak reference to the class, and its encoder.
static REGISTERED: LazyLock<RwLock<HashMap<usize, Entry>>> = LazyLock::new(RwLock::default);

struct Entry {
    class: Py<PyWeakrefReference>,
    encoder: Py<PyAny>,
}

impl Entry {
    fn is_of(&self, class: &Bound<'_, PyAny>) -> bool {
        self.class.bind(class.py()).upgrade().is_some_and(|known| known.is(class))
    }
}

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
    let is_async = |callable: &Bound<'_, PyAny>| -> PyResult<bool> {
        names::is_coroutine_function(py)?.call1((callable,))?.is_truthy()
    };
    let call = encoder.getattr_opt("__call__")?;
    if !encoder.is_callable()
        || is_async(encoder)?
        || call.is_some_and(|c| is_async(&c).unwrap_or(false))
    {
        return Err(PyTypeError::new_err(format!(
            "cache_result: register_key_encoder({}, {}): give a plain function of one value",
            class.name()?,
            encoder.repr()?
        )));
    }
    if has_a_form(class)? {
        return Err(PyValueError::new_err(format!(
            "cache_result: register_key_encoder({}, ...): {} is encoded already, and keys must not \
             change; register a subclass, or use ArgsKeyField(..., normalizer=...)",
            class.name()?,
            class.name()?
        )));
    }
    let entry = Entry {
        class: PyWeakrefReference::new(class)?.unbind(),
        encoder: encoder.clone().unbind(),
    };
    let mut registered = REGISTERED.write();
    let (gone, kept): (HashMap<_, _>, HashMap<_, _>) =
        registered.drain().partition(|(_, entry)| entry.class.bind(py).upgrade().is_none());
    *registered = kept;
    let replaced = registered.insert(class.as_ptr() as usize, entry);
    ANY.store(true, Ordering::Release);
    drop(registered);
    drop((gone, replaced)); // what is dropped may run Python code, which must not find the lock taken
    Ok(())
}

/// The encoder of the nearest of the class's bases.
pub fn of(class: &Bound<'_, PyType>) -> Option<Py<PyAny>> {
    if !ANY.load(Ordering::Acquire) {
        return None;
    }
    let registered = REGISTERED.read();
    class.mro().iter().find_map(|base| {
        let entry = registered.get(&(base.as_ptr() as usize)).filter(|entry| entry.is_of(&base))?;
        Some(entry.encoder.clone_ref(class.py()))
    })
}

/// Whether instances never ask for an encoder.
fn has_a_form(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let py = class.py();
    // Classes, absent and lazy values are looked at before.
    for kind in [
        &py.get_type::<PyType>(),
        names::lazy_object(py)?,
        names::promise(py)?,
        &py.get_type::<Absent>(),
    ] {
        if class.is_subclass(kind)? {
            return Ok(true);
        }
    }
    let built_in = [
        py.get_type::<PyAny>(),
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
    Ok(built_in.iter().any(|known| known.is(class)))
}
