//! Times to live: seconds, `timedelta` or `None`, in milliseconds on the Rust side.

use super::names;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt};

/// About 292 million years would overflow; nobody means more than a thousand.
const LONGEST_SECONDS: f64 = 3.2e10;

/// How long a result is valid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ttl {
    /// Until it is invalidated or evicted.
    Forever,
    /// Milliseconds, more than none.
    Millis(i64),
    /// Not at all: do not store.
    Nothing,
}

/// Reads a ttl as users write it.
///
/// # Errors
/// `TypeError` for another type (`bool` too), `ValueError` for a negative or endless number.
pub fn read_ttl(value: &Bound<'_, PyAny>) -> PyResult<Ttl> {
    const HOW: &str = "give seconds as int or float, a timedelta, None (never expires), \
                       or a callable that returns one of these";
    let py = value.py();
    if value.is_none() {
        return Ok(Ttl::Forever);
    }
    let number = value.is_instance_of::<PyInt>() || value.is_instance_of::<PyFloat>();
    let seconds: f64 = if number && !value.is_instance_of::<PyBool>() {
        value.extract().unwrap_or(f64::INFINITY)
    } else if value.is_instance(names::timedelta(py)?)? {
        value.call_method0("total_seconds")?.extract()?
    } else {
        let repr = value.repr()?;
        let kind = value.get_type().qualname()?;
        return Err(PyTypeError::new_err(format!(
            "cache_result: ttl={repr} is of type {kind}; {HOW}"
        )));
    };
    if !(0.0..=LONGEST_SECONDS).contains(&seconds) {
        let repr = value.repr()?;
        return Err(PyValueError::new_err(format!(
            "cache_result: ttl={repr} is not a number of seconds from 0 to 3.2e10; {HOW}"
        )));
    }
    #[allow(clippy::cast_possible_truncation)] // within bounds by the check above
    let millis = (seconds * 1000.0).ceil() as i64;
    Ok(if millis == 0 { Ttl::Nothing } else { Ttl::Millis(millis) })
}

/// Raises what is wrong with a ttl, if anything.
///
/// # Errors
/// See [`read_ttl`].
#[pyfunction]
pub fn check_ttl(value: &Bound<'_, PyAny>) -> PyResult<()> {
    read_ttl(value).map(|_| ())
}
