//! Python values to canonical bytes: the built-in types. Everything else is in `objects`.

use super::objects;
use crate::key::{Limit, MAX_DEPTH, Tag, Writer};
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyComplex, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet,
    PyString, PyTuple,
};

/// Why a value has no key.
pub enum Refusal {
    /// This value (described by its type) cannot be part of a key, because...
    Value { kind: String, why: String },
    /// Python code of the value raised.
    Python(PyErr),
}

impl From<PyErr> for Refusal {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl From<pyo3::CastError<'_, '_>> for Refusal {
    fn from(error: pyo3::CastError<'_, '_>) -> Self {
        Self::Python(error.into())
    }
}

/// A refusal of `value`.
pub fn refuse(value: &Bound<'_, PyAny>, why: impl Into<String>) -> Refusal {
    let kind = value.get_type().qualname().map_or_else(|_| "object".into(), |n| n.to_string());
    Refusal::Value { kind, why: why.into() }
}

fn limited(limit: Limit, value: &Bound<'_, PyAny>) -> Refusal {
    refuse(
        value,
        match limit {
            Limit::Depth => "is nested too deeply, or contains itself",
            Limit::Bytes => "is too large to be a key (16 MiB at most)",
        },
    )
}

/// Writes Python values.
#[derive(Default)]
pub struct Encoder {
    /// The bytes so far.
    pub writer: Writer,
    /// Whether lists are equal in whatever order their items are.
    pub sort_lists: bool,
}

impl Encoder {
    /// An empty encoder.
    pub fn new() -> Self {
        Self { writer: Writer::new(), sort_lists: false }
    }

    /// An encoder whose bytes begin with these canonical ones.
    pub fn after(prefix: &[u8]) -> Self {
        Self { writer: Writer::after(prefix), sort_lists: false }
    }

    /// Writes `value`, which is `depth` levels inside the argument.
    pub fn value(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> Result<(), Refusal> {
        if depth > MAX_DEPTH {
            return Err(limited(Limit::Depth, value));
        }
        let writer = &mut self.writer;
        let exact = |outcome: Result<(), Limit>| outcome.map_err(|limit| limited(limit, value));
        if value.is_exact_instance_of::<PyString>() {
            return self.text(value.cast::<PyString>()?);
        }
        if value.is_exact_instance_of::<PyInt>() {
            return self.int(value.cast::<PyInt>()?);
        }
        if value.is_none() {
            writer.tag(Tag::None);
            return Ok(());
        }
        if let Ok(flag) = value.cast_exact::<PyBool>() {
            writer.tag(if flag.is_true() { Tag::True } else { Tag::False });
            return Ok(());
        }
        if let Ok(float) = value.cast_exact::<PyFloat>() {
            writer.float(float.value());
            return Ok(());
        }
        if let Ok(items) = value.cast_exact::<PyTuple>() {
            return self.sequence(Tag::Tuple, items, depth);
        }
        if let Ok(list) = value.cast_exact::<PyList>() {
            return self.list(list, depth);
        }
        if let Ok(dict) = value.cast_exact::<PyDict>() {
            return self.dict(dict, depth);
        }
        if let Ok(bytes) = value.cast_exact::<PyBytes>() {
            return exact(writer.blob(Tag::Bytes, bytes.as_bytes()));
        }
        if value.is_exact_instance_of::<PySet>() {
            return self.set(Tag::Set, value, depth);
        }
        if value.is_exact_instance_of::<PyFrozenSet>() {
            return self.set(Tag::FrozenSet, value, depth);
        }
        if let Ok(complex) = value.cast_exact::<PyComplex>() {
            writer.complex(complex.real(), complex.imag());
            return Ok(());
        }
        if let Ok(array) = value.cast_exact::<PyByteArray>() {
            return exact(writer.blob(Tag::ByteArray, &array.to_vec()));
        }
        objects::encode(self, value, depth)
    }

    /// An int of any size.
    pub fn int(&mut self, value: &Bound<'_, PyInt>) -> Result<(), Refusal> {
        if let Ok(small) = value.extract::<i64>() {
            self.writer.int(small);
            return Ok(());
        }
        let py = value.py();
        let int = py.get_type::<PyInt>();
        // Called on the class: a subclass may override them.
        let bits: usize = int.call_method1("bit_length", (value,))?.extract()?;
        let kwargs = PyDict::new(py);
        kwargs.set_item("signed", true)?;
        let bytes = int.call_method("to_bytes", (value, bits / 8 + 1, "little"), Some(&kwargs))?;
        self.blob(Tag::BigInt, bytes.cast::<PyBytes>()?.as_bytes(), value)
    }

    /// Text, lone surrogates included.
    fn text(&mut self, value: &Bound<'_, PyString>) -> Result<(), Refusal> {
        if let Ok(text) = value.to_str() {
            return self.writer.str(text).map_err(|limit| limited(limit, value));
        }
        let str_type = value.py().get_type::<PyString>();
        let bytes = str_type.call_method1("encode", (value, "utf-8", "surrogatepass"))?;
        self.blob(Tag::Str, bytes.cast::<PyBytes>()?.as_bytes(), value)
    }

    /// Tag, length and bytes; `value` is whom to blame.
    pub fn blob(
        &mut self,
        tag: Tag,
        bytes: &[u8],
        value: &Bound<'_, PyAny>,
    ) -> Result<(), Refusal> {
        self.writer.blob(tag, bytes).map_err(|limit| limited(limit, value))
    }

    /// The head of an object of `class`.
    pub fn object(
        &mut self,
        kind: u8,
        class: &str,
        value: &Bound<'_, PyAny>,
    ) -> Result<(), Refusal> {
        self.writer.object(kind, class).map_err(|limit| limited(limit, value))
    }

    /// Items in their order.
    pub fn sequence(
        &mut self,
        tag: Tag,
        items: &Bound<'_, PyTuple>,
        depth: usize,
    ) -> Result<(), Refusal> {
        self.writer.open(tag, items.len());
        for item in items.iter_borrowed() {
            self.value(&item, depth + 1)?;
            self.writer.check().map_err(|limit| limited(limit, items))?;
        }
        Ok(())
    }

    /// A list. A copy is walked: encoding an item may run code that changes the list.
    pub fn list(&mut self, list: &Bound<'_, PyList>, depth: usize) -> Result<(), Refusal> {
        let items = list.to_tuple();
        if self.sort_lists {
            return self.unordered(Tag::SortedList, items.iter(), list, depth);
        }
        self.sequence(Tag::List, &items, depth)
    }

    /// A dict, whatever its order.
    pub fn dict(&mut self, dict: &Bound<'_, PyDict>, depth: usize) -> Result<(), Refusal> {
        let pairs = dict.items().to_tuple();
        let outer = std::mem::take(&mut self.writer);
        let mut ends = Vec::with_capacity(pairs.len());
        let mut written = Ok(());
        for pair in pairs.iter_borrowed() {
            written = self.pair(&pair, depth);
            if written.is_err() {
                break;
            }
            ends.push(self.writer.as_bytes().len());
        }
        let scratch = std::mem::replace(&mut self.writer, outer);
        written?;
        self.writer
            .unordered(Tag::Dict, scratch.as_bytes(), &ends)
            .map_err(|limit| limited(limit, dict))
    }

    fn pair(&mut self, pair: &Bound<'_, PyAny>, depth: usize) -> Result<(), Refusal> {
        let pair = pair.cast::<PyTuple>()?;
        self.value(&pair.get_item(0)?, depth + 1)?;
        self.value(&pair.get_item(1)?, depth + 1)
    }

    /// A set or frozenset, whatever its order.
    pub fn set(&mut self, tag: Tag, value: &Bound<'_, PyAny>, depth: usize) -> Result<(), Refusal> {
        // Through the base class, whatever a subclass overrides.
        let py = value.py();
        let base = match tag {
            Tag::Set => py.get_type::<PySet>(),
            _ => py.get_type::<PyFrozenSet>(),
        };
        let iterator = base.call_method1("__iter__", (value,))?;
        let items: Vec<Bound<'_, PyAny>> = iterator.try_iter()?.collect::<PyResult<_>>()?;
        self.unordered(tag, items.into_iter(), value, depth)
    }

    fn unordered<'py>(
        &mut self,
        tag: Tag,
        items: impl Iterator<Item = Bound<'py, PyAny>>,
        value: &Bound<'py, PyAny>,
        depth: usize,
    ) -> Result<(), Refusal> {
        let outer = std::mem::take(&mut self.writer);
        let mut ends = Vec::new();
        let mut written = Ok(());
        for item in items {
            written = self.value(&item, depth + 1);
            if written.is_err() {
                break;
            }
            ends.push(self.writer.as_bytes().len());
        }
        let scratch = std::mem::replace(&mut self.writer, outer);
        written?;
        self.writer.unordered(tag, scratch.as_bytes(), &ends).map_err(|limit| limited(limit, value))
    }
}
