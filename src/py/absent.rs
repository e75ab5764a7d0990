//! What a key has where nothing was found.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// The type of `ABSENT`: what a key has where an attribute or a parameter is missing. It equals no
/// value that is there.
#[pyclass(module = "cache_result._core", frozen)]
pub struct Absent;

#[pymethods]
impl Absent {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Py<Self>> {
        absent(py)
    }

    #[allow(clippy::unused_self)] // Python's protocol
    fn __repr__(&self) -> &'static str {
        "<absent>"
    }

    #[allow(clippy::unused_self)] // Python's protocol
    fn __bool__(&self) -> bool {
        false
    }

    #[allow(clippy::unused_self)] // Python's protocol
    fn __reduce__(&self) -> &'static str {
        "ABSENT"
    }
}

/// The one instance.
pub fn absent(py: Python<'_>) -> PyResult<Py<Absent>> {
    static CELL: PyOnceLock<Py<Absent>> = PyOnceLock::new();
    CELL.get_or_try_init(py, || Py::new(py, Absent)).map(|absent| absent.clone_ref(py))
}
