//! How many bytes of memory Python's objects take.

use super::names;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
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

/// Text up to this length is weighed by its share, and its kind guessed.
const SHORT: usize = 64;

/// Names, labels and codes are mostly the program's own, or the same in all rows of a value: of short
/// text with many owners each counts a part. It is little that this can be wrong about.
fn string(text: &Bound<'_, PyString>) -> usize {
    // SAFETY: it is a live string.
    let len = unsafe { ffi::PyUnicode_GetLength(text.as_ptr()) }.cast_unsigned();
    if len > SHORT {
        return object(text).unwrap_or(len);
    }
    // Its widest character decides how many bytes each takes. Most text is ASCII, or not from its
    // first character on.
    let widest = match len {
        0 => return 0, // there is one
        1 => character(text, 0),
        _ => character(text, 0).max(character(text, len / 2)).max(character(text, len - 1)),
    };
    let size = match widest {
        0..=0xff if len == 1 => return 0, // there is one of each
        0..=0x7f => allocated(text_head(text.py()) + len),
        _ => object(text).unwrap_or(len),
    };
    let owners = owners(text);
    if owners > FEW { size * FEW / owners } else { size }
}

fn character(text: &Bound<'_, PyString>, at: usize) -> u32 {
    // SAFETY: it is a live string, and the position is checked.
    unsafe { ffi::PyUnicode_ReadChar(text.as_ptr(), at.cast_signed()) }
}

/// What text takes beyond its characters, if they are ASCII.
fn text_head(py: Python<'_>) -> usize {
    static CELL: PyOnceLock<usize> = PyOnceLock::new();
    *CELL.get_or_init(py, || {
        let empty = names::size_of(py).and_then(|size_of| size_of.call1(("",))?.extract());
        empty.unwrap_or(49)
    })
}

/// References to what only the value, its copy, a variable and an argument refer to.
const FEW: usize = 4;

/// How many references there are; very many, if the object lives for ever.
fn owners(value: &Bound<'_, PyAny>) -> usize {
    // SAFETY: it is live. Python 3.14 keeps flags in the upper half.
    unsafe { ffi::Py_REFCNT(value.as_ptr()) }.cast_unsigned() & 0xffff_ffff
}

fn integer(int: &Bound<'_, PyInt>) -> usize {
    match int.extract::<i64>() {
        Ok(-5..=256) => 0, // there is one of each
        Ok(small) if small.unsigned_abs() < 1 << 60 => allocated(32),
        _ => object(int).unwrap_or(0),
    }
}

/// A list of so many items.
pub fn list(len: usize) -> usize {
    allocated(GC_HEAD + 40) + allocated(len.next_multiple_of(4) * size_of::<usize>())
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
pub fn allocated(size: usize) -> usize {
    match size {
        0 => 0,
        1..=512 => size.next_multiple_of(16),
        _ => (size + 8).next_multiple_of(16),
    }
}
