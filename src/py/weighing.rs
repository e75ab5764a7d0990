//! How many bytes of memory Python's objects take.

use super::names;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString};

/// What a value of the commonest types takes, which can never change and holds no others. None: it
/// is of another type.
pub fn leaf(value: &Bound<'_, PyAny>) -> Option<usize> {
    if let Ok(text) = value.cast_exact::<PyString>() {
        return Some(string(text));
    }
    if let Ok(int) = value.cast_exact::<PyInt>() {
        return Some(integer(int));
    }
    if value.is_none() || value.is_exact_instance_of::<PyBool>() {
        return Some(0); // there is one of each
    }
    if value.is_exact_instance_of::<PyFloat>() {
        return Some(allocated(24));
    }
    value.cast_exact::<PyBytes>().ok().map(|value| bytes(value.as_bytes().len()))
}

/// What any object takes by itself.
pub fn object(value: &Bound<'_, PyAny>) -> PyResult<usize> {
    names::size_of(value.py())?.call1((value,))?.extract().map(allocated)
}

fn string(text: &Bound<'_, PyString>) -> usize {
    object(text).unwrap_or(0)
}

fn integer(int: &Bound<'_, PyInt>) -> usize {
    object(int).unwrap_or(0)
}

/// A list of so many items.
pub fn list(len: usize) -> usize {
    allocated(GC_HEAD + 40) + allocated(len * size_of::<usize>())
}

/// A tuple of so many items.
pub fn tuple(len: usize) -> usize {
    allocated(GC_HEAD + 24 + len * size_of::<usize>())
}

/// Bytes of this length.
pub fn bytes(len: usize) -> usize {
    allocated(33 + len)
}

const GC_HEAD: usize = 16;

/// What an allocation of so many bytes takes: up to 512 bytes Python serves from pools of blocks, and
/// leaves what is larger to the C library, which writes the size in front.
fn allocated(size: usize) -> usize {
    match size {
        0 => 0,
        1..=512 => size.next_multiple_of(16),
        _ => (size + 8).next_multiple_of(16),
    }
}
