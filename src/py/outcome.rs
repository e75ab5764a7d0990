//! What calls hand to Python: values copied out, metadata, the missing sentinel.

use super::copying::Kept;
use super::names;
use crate::call::{Status, Times};
use crate::entry;
use crate::store::Entry;
use data_encoding::BASE64;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyString, PyTuple};
use std::sync::Arc;

/// Type of [`cache_missing`].
#[pyclass(module = "cache_result._core", frozen)]
pub struct CacheMissing;

#[pymethods]
impl CacheMissing {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Py<Self>> {
        cache_missing(py)
    }

    #[allow(clippy::unused_self)] // Python's protocol
    fn __repr__(&self) -> &'static str {
        "CACHE_MISSING"
    }

    #[allow(clippy::unused_self)] // Python's protocol
    fn __reduce__(&self) -> &'static str {
        "CACHE_MISSING"
    }
}

/// The one `CACHE_MISSING` of this process: nothing is cached. Compare with `is`.
pub fn cache_missing(py: Python<'_>) -> PyResult<Py<CacheMissing>> {
    static CELL: PyOnceLock<Py<CacheMissing>> = PyOnceLock::new();
    CELL.get_or_try_init(py, || Py::new(py, CacheMissing)).map(|missing| missing.clone_ref(py))
}

/// Bytes of an entry or a payload, wherever they are.
pub enum Blob {
    /// In a Python object.
    Python(PyBackedBytes),
    /// Decoded here.
    Owned(Vec<u8>),
    /// The header beside the value, which an in-process cache has copied already.
    Beside(PyBackedBytes, Py<PyAny>),
    /// A header, and the entry of our own store that it describes.
    Held(Vec<u8>, Arc<Entry<Arc<Kept>>>),
}

impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Python(bytes) | Self::Beside(bytes, _) => bytes,
            Self::Owned(bytes) | Self::Held(bytes, _) => bytes,
        }
    }
}

impl Blob {
    /// An entry as the cache returned it: bytes, ASCII where the serializer refuses bytes, or a pair
    /// of header and value from a cache that copies by itself.
    pub fn read(stored: &Bound<'_, PyAny>) -> Option<Self> {
        if let Ok(pair) = stored.cast_exact::<PyTuple>() {
            let header = pair.get_item(0).ok()?.cast_into::<PyBytes>().ok()?;
            let value = pair.get_item(1).ok().filter(|_| pair.len() == 2)?;
            return Some(Self::Beside(header.into(), value.unbind()));
        }
        if let Ok(bytes) = stored.cast::<PyBytes>() {
            return Some(Self::Python(bytes.clone().into()));
        }
        let text = stored.cast::<PyString>().ok()?;
        BASE64.decode(text.to_str().ok()?.as_bytes()).ok().map(Self::Owned)
    }
}

/// What stands for the function and version that wrote an entry; `None` for what is no entry.
#[pyfunction]
pub fn entry_origin(stored: &Bound<'_, PyAny>) -> Option<u64> {
    let entry = Blob::read(stored)?;
    entry::open(entry.as_ref()).map(|(header, _)| header.origin)
}

impl Blob {
    /// The value of an entry whose payload starts at `payload`.
    pub fn load<'py>(&self, py: Python<'py>, payload: usize) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Beside(_, value) => return Ok(value.bind(py).clone()),
            Self::Held(_, entry) => return entry.value.give(py),
            Self::Python(_) | Self::Owned(_) => {}
        }
        let bytes = PyBytes::new(py, &self.as_ref()[payload..]);
        names::pickle_loads(py)?.call1((bytes,))
    }
}

/// What copies of a value are made from.
pub enum Master {
    /// Its pickle.
    Pickle(PyBackedBytes),
    /// What our own store keeps.
    Kept(Arc<Kept>),
}

/// A value that was computed, and what waiters get theirs from.
pub struct Product {
    /// The value itself (or the exception).
    pub value: Py<PyAny>,
    /// Where it could be copied.
    pub master: Option<Master>,
}

impl Product {
    /// For the caller who computed it.
    pub fn original(&self, py: Python<'_>) -> Py<PyAny> {
        self.value.clone_ref(py)
    }

    /// For one who waited: nobody shares a value that can be changed, if it can be copied.
    pub fn copy(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match &self.master {
            Some(Master::Pickle(pickle)) if !is_atomic(self.value.bind(py)) => {
                Ok(names::pickle_loads(py)?.call1((&**pickle,))?.unbind())
            }
            Some(Master::Kept(kept)) => kept.give(py).map(Bound::unbind),
            _ => Ok(self.value.clone_ref(py)),
        }
    }
}

/// Handed about among waiters.
pub type Shared = Arc<Product>;

/// Values that cannot change and hold nothing that can.
fn is_atomic(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBytes>()
}

/// The member of `CacheStatus`.
fn status_member(py: Python<'_>, status: Status) -> PyResult<Bound<'_, PyAny>> {
    let name = match status {
        Status::Hit => "HIT",
        Status::Miss => "MISS",
        Status::Stale => "STALE",
        Status::Bypass => "BYPASS",
        Status::Refresh => "REFRESH",
    };
    names::cache_status(py)?.getattr(name)
}

/// `{"cached_at", "cache_reset_at", "cache_status"}`; the times in ISO 8601, UTC.
pub fn metadata<'py>(
    py: Python<'py>,
    status: Status,
    times: Option<Times>,
) -> PyResult<Bound<'py, PyDict>> {
    let iso = |millis: Option<i64>| -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(millis) = millis else {
            return Ok(None);
        };
        #[allow(clippy::cast_precision_loss)] // exact for 285,000 years
        let seconds = millis as f64 / 1000.0;
        let moment = names::datetime(py)?.call_method1("fromtimestamp", (seconds, names::utc(py)?));
        // Past the year 9999 there is no text for it, and it is as good as never.
        moment.and_then(|moment| moment.call_method0("isoformat")).map_or(Ok(None), |t| Ok(Some(t)))
    };
    let metadata = PyDict::new(py);
    metadata.set_item("cached_at", iso(times.map(|t| t.cached_at))?)?;
    metadata.set_item("cache_reset_at", iso(times.and_then(|t| t.expires_at))?)?;
    metadata.set_item("cache_status", status_member(py, status)?)?;
    Ok(metadata)
}

/// A finished call.
pub struct Finished {
    /// The value; `None` when nothing is cached and nothing was run.
    pub value: Option<Py<PyAny>>,
    /// How it resolved.
    pub status: Status,
    /// When it was stored, if it is.
    pub times: Option<Times>,
}

/// What a method of the wrapper gives back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// The value, or `CACHE_MISSING`.
    Value,
    /// `(value, metadata)`.
    Both,
    /// `(value, whether it is stored)`, which takes less time to tell; of what is stale since when (ms since the
    /// epoch).
    Stored,
    /// The metadata, or `None` when nothing is cached.
    Metadata,
}

/// What a peek finds when there is nothing.
pub fn absent() -> Finished {
    Finished { value: None, status: Status::Miss, times: None }
}

/// A finished call in the form that was wanted.
pub fn give(py: Python<'_>, finished: Finished, want: Want) -> PyResult<Bound<'_, PyAny>> {
    let Finished { value, status, times } = finished;
    match (want, value) {
        (Want::Value, Some(value)) => Ok(value.into_bound(py)),
        (Want::Value, None) => Ok(cache_missing(py)?.into_bound(py).into_any()),
        (Want::Metadata, None) => Ok(py.None().into_bound(py)),
        (Want::Metadata, Some(_)) => Ok(metadata(py, status, times)?.into_any()),
        (Want::Both | Want::Stored, value) => {
            let value = match value {
                Some(value) => value,
                None => cache_missing(py)?.into_any(),
            };
            let about = match times.and_then(|times| times.expires_at) {
                _ if want == Want::Both => metadata(py, status, times)?.into_any(),
                Some(end) if status == Status::Stale => PyInt::new(py, end).into_any(),
                _ => PyBool::new(py, times.is_some()).to_owned().into_any(),
            };
            Ok(PyTuple::new(py, [value.into_bound(py), about])?.into_any())
        }
    }
}

/// Reads the name of a [`Want`].
pub fn read_want(want: &str) -> PyResult<Want> {
    match want {
        "value" => Ok(Want::Value),
        "both" => Ok(Want::Both),
        "stored" => Ok(Want::Stored),
        "metadata" => Ok(Want::Metadata),
        _ => Err(PyValueError::new_err(format!("no such result: {want:?}"))),
    }
}
