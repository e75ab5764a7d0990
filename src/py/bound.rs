//! `obj.method`: a wrapper bound to an instance.

use super::names;
use super::wrapper::Wrapper;
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// Methods that take the function's arguments, the instance first.
const PER_CALL: [&str; 10] = [
    "get_with_metadata",
    "get_cache_only",
    "get_cache_key",
    "get_cached_metadata",
    "refresh",
    "bypass_cache",
    "delete_cache",
    "delete_by_prefix",
    "explain_key",
    "__call__",
];

/// Methods that take many calls, each of which has the instance first.
const PER_CALLS: [&str; 2] = ["get_many", "warm"];

// A cached method of one instance: call it, or call `.refresh(...)` and the rest on it. No documentation for
// Python: it would be that of each method.
#[pyclass(module = "cache_result._core", frozen)]
pub struct BoundWrapper {
    wrapper: Py<Wrapper>,
    instance: Py<PyAny>,
}

impl BoundWrapper {
    /// Binds `wrapper` to `instance`.
    pub fn new(wrapper: Py<Wrapper>, instance: Py<PyAny>) -> Self {
        Self { wrapper, instance }
    }
}

#[pymethods]
impl BoundWrapper {
    /// The instance.
    #[getter]
    fn __self__(&self, py: Python<'_>) -> Py<PyAny> {
        self.instance.clone_ref(py)
    }

    /// The wrapper.
    #[getter]
    fn __func__(&self, py: Python<'_>) -> Py<Wrapper> {
        self.wrapper.clone_ref(py)
    }

    /// What the function says of itself, as methods of Python do.
    #[getter]
    fn __doc__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.wrapper.bind(py).getattr("__doc__")
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        let mut all = Vec::with_capacity(args.len() + 1);
        all.push(self.instance.bind(py).clone());
        all.extend(args.iter());
        self.wrapper.bind(py).call(PyTuple::new(py, all)?, kwargs)
    }

    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let found = self.wrapper.bind(py).getattr(name)?;
        let is_one_of = |names: &[&str]| {
            names.contains(&name)
                || name.strip_prefix('a').is_some_and(|base| names.contains(&base))
        };
        if is_one_of(&PER_CALL) {
            return names::partial(py)?.call1((found, &self.instance));
        }
        if is_one_of(&PER_CALLS) {
            return names::partial(py)?.call1((names::of_instance(py)?, found, &self.instance));
        }
        Ok(found)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let wrapper = self.wrapper.bind(py).repr()?;
        Ok(format!("<bound {wrapper} of {}>", self.instance.bind(py).repr()?))
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| {
            let other = other.get();
            self.wrapper.is(&other.wrapper) && self.instance.is(other.instance.bind(py))
        })
    }

    fn __hash__(&self) -> isize {
        self.wrapper.as_ptr() as isize ^ (self.instance.as_ptr() as isize).rotate_left(16)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.wrapper)?;
        visit.call(&self.instance)
    }
}
