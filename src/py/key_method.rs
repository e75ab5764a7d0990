//! `Wrapper.get_cache_key`, taking its arguments as the interpreter has them. `PyO3` makes a tuple of them
//! first where a method has `**kwargs`, which takes a tenth of the time of a whole key.

use super::encode::Encoder;
use super::wrapper::Wrapper;
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};
use pyo3::{Borrowed, ffi};
use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;

const DOC: &CStr = c"get_cache_key($self, /, *args, **kwargs)\n--\n\n\
    The key under which this call's entry lives in the Django cache. No I/O.";

/// Gives the class its method.
pub fn add(class: &Bound<'_, PyType>) -> PyResult<()> {
    let method = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: c"get_cache_key".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: call },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: DOC.as_ptr(),
    }));
    // SAFETY: the class is live, the definition is never freed, and a new reference or null comes back.
    let descriptor = unsafe {
        let descriptor = ffi::PyDescr_NewMethod(class.as_type_ptr(), method);
        Bound::from_owned_ptr_or_err(class.py(), descriptor)?
    };
    class.setattr("get_cache_key", descriptor)
}

/// What the interpreter calls: `count` positional arguments, and behind them the values of `names`.
unsafe extern "C" fn call(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // Counted, or what the key drops would be kept until something else is called.
    Python::attach(|py| {
        // SAFETY: the interpreter holds what it hands over until the call returns.
        let key = catch_unwind(AssertUnwindSafe(|| unsafe {
            let slf = Borrowed::from_ptr(py, slf);
            let argument = |at: usize| Borrowed::from_ptr(py, *args.add(at));
            key(slf.cast()?, argument, count.unsigned_abs(), Borrowed::from_ptr_or_opt(py, names))
        }));
        // The panic itself has been printed.
        match key.unwrap_or_else(|_| Err(PanicException::new_err("get_cache_key() panicked"))) {
            Ok(key) => key.into_ptr(),
            Err(error) => {
                error.restore(py);
                null_mut()
            }
        }
    })
}

fn key<'a, 'py: 'a>(
    slf: Borrowed<'a, 'py, Wrapper>,
    argument: impl Fn(usize) -> Borrowed<'a, 'py, PyAny>,
    count: usize,
    names: Option<Borrowed<'a, 'py, PyAny>>,
) -> PyResult<Bound<'py, PyString>> {
    let (py, this) = (slf.py(), slf.get());
    let mut encoder = Encoder::new();
    if names.is_none() && this.straight(py, (0..count).map(&argument), &mut encoder)? {
        return Ok(this.plan.python_text(py, &encoder, None));
    }
    let kwargs = names.map(|names| -> PyResult<_> {
        let kwargs = PyDict::new(py);
        for (at, name) in names.cast::<PyTuple>()?.iter_borrowed().enumerate() {
            kwargs.set_item(name, argument(count + at))?;
        }
        Ok(kwargs)
    });
    let args = PyTuple::new(py, (0..count).map(&argument))?;
    this.key_text(&args, kwargs.transpose()?.as_ref())
}
