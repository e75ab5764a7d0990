//! Python values to canonical bytes: the built-in types. Everything else is in `objects`.

use super::objects;
use super::refusal::{Refusal, limited};
use crate::key::{Limit, MAX_BYTES, MAX_DEPTH, Tag, Writer};
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyComplex, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet,
    PyString, PyTuple,
};
use pyo3::{Borrowed, PyTypeInfo};
use smallvec::SmallVec;
use std::ops::Deref;

/// A copy of a container's items: encoding one of them may run code that changes the container.
type Items<T> = SmallVec<[T; 8]>;

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
        Self::default()
    }

    /// Writes a short text or an int of 64 bits, as most arguments are; false: it is another value.
    #[inline(always)]
    #[allow(clippy::inline_always)] // part of every hit
    pub fn common(&mut self, value: &Bound<'_, PyAny>) -> bool {
        if let Some(text) = exactly::<PyString>(value) {
            return text.to_str().is_ok_and(|text| self.writer.short(Tag::Str, text.as_bytes()));
        }
        let Some(int) = exactly::<PyInt>(value) else { return false };
        int.extract().map(|int| self.writer.int(int)).is_ok()
    }

    /// Writes `value`, which is `depth` levels inside the argument.
    pub fn value(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> Result<(), Refusal> {
        if depth > MAX_DEPTH {
            return Err(limited(Limit::Depth, value));
        }
        if let Some(text) = exactly::<PyString>(value) {
            return self.text(text);
        }
        if let Some(int) = exactly::<PyInt>(value) {
            return self.int(int);
        }
        if value.is_none() {
            self.writer.tag(Tag::None);
        } else if let Some(flag) = exactly::<PyBool>(value) {
            self.writer.tag(if flag.is_true() { Tag::True } else { Tag::False });
        } else if let Some(float) = exactly::<PyFloat>(value) {
            self.writer.float(float.value());
        } else if let Some(items) = exactly::<PyTuple>(value) {
            return self.sequence(Tag::Tuple, items.iter_borrowed(), value, depth);
        } else if let Some(list) = exactly::<PyList>(value) {
            return self.list(list, depth);
        } else if let Some(dict) = exactly::<PyDict>(value) {
            return self.dict(dict, depth);
        } else if let Some(bytes) = exactly::<PyBytes>(value) {
            return self.blob(Tag::Bytes, bytes.as_bytes(), value);
        } else if value.is_exact_instance_of::<PySet>() {
            return self.set(Tag::Set, value, depth);
        } else if value.is_exact_instance_of::<PyFrozenSet>() {
            return self.set(Tag::FrozenSet, value, depth);
        } else if let Some(complex) = exactly::<PyComplex>(value) {
            self.writer.complex(complex.real(), complex.imag());
        } else if let Some(array) = exactly::<PyByteArray>(value) {
            return self.byte_array(array);
        } else {
            return objects::encode(self, value, depth);
        }
        Ok(())
    }

    /// An int of any size.
    #[inline]
    pub fn int(&mut self, value: &Bound<'_, PyInt>) -> Result<(), Refusal> {
        if let Ok(small) = value.extract::<i64>() {
            self.writer.int(small);
            return Ok(());
        }
        self.big_int(value)
    }

    #[cold]
    fn big_int(&mut self, value: &Bound<'_, PyInt>) -> Result<(), Refusal> {
        let py = value.py();
        let int = py.get_type::<PyInt>();
        // Called on the class: a subclass may override them.
        let bits: usize = int.call_method1("bit_length", (value,))?.extract()?;
        if bits / 8 > MAX_BYTES {
            return Err(limited(Limit::Bytes, value));
        }
        let kwargs = PyDict::new(py);
        kwargs.set_item("signed", true)?;
        let bytes = int.call_method("to_bytes", (value, bits / 8 + 1, "little"), Some(&kwargs))?;
        self.blob(Tag::BigInt, shortest(bytes.cast::<PyBytes>()?.as_bytes()), value)
    }

    /// Text, lone surrogates included.
    #[inline]
    pub fn text(&mut self, value: &Bound<'_, PyString>) -> Result<(), Refusal> {
        match value.to_str() {
            Ok(text) => self.blob(Tag::Str, text.as_bytes(), value),
            Err(_) => self.surrogates(value),
        }
    }

    #[cold]
    fn surrogates(&mut self, value: &Bound<'_, PyString>) -> Result<(), Refusal> {
        let str_type = value.py().get_type::<PyString>();
        let bytes = str_type.call_method1("encode", (value, "utf-8", "surrogatepass"))?;
        self.blob(Tag::Str, bytes.cast::<PyBytes>()?.as_bytes(), value)
    }

    /// A bytearray.
    pub fn byte_array(&mut self, array: &Bound<'_, PyByteArray>) -> Result<(), Refusal> {
        if array.len() > MAX_BYTES {
            return Err(limited(Limit::Bytes, array));
        }
        self.blob(Tag::ByteArray, &array.to_vec(), array)
    }

    /// Tag, length and bytes; `value` is whom to blame.
    #[inline]
    pub fn blob(
        &mut self,
        tag: Tag,
        bytes: &[u8],
        value: &Bound<'_, PyAny>,
    ) -> Result<(), Refusal> {
        self.writer.blob(tag, bytes).map_err(|limit| limited(limit, value))
    }

    /// The head of an object of `class`; its state is the next value written.
    pub fn object(
        &mut self,
        kind: u8,
        class: &str,
        value: &Bound<'_, PyAny>,
    ) -> Result<(), Refusal> {
        self.writer.object(kind, class.as_bytes()).map_err(|limit| limited(limit, value))
    }

    /// Items in their order.
    pub fn sequence<'py, T: Deref<Target = Bound<'py, PyAny>>>(
        &mut self,
        tag: Tag,
        items: impl ExactSizeIterator<Item = T>,
        value: &Bound<'py, PyAny>,
        depth: usize,
    ) -> Result<(), Refusal> {
        self.writer.open(tag, items.len());
        for item in items {
            self.value(&item, depth + 1)?;
            self.check(value)?;
        }
        Ok(())
    }

    /// A list.
    pub fn list(&mut self, list: &Bound<'_, PyList>, depth: usize) -> Result<(), Refusal> {
        if depth < MAX_DEPTH && self.single(list) { Ok(()) } else { self.items(list, depth) }
    }

    /// Writes a list of one short text, as most query parameters are; false: it is another list.
    #[inline]
    pub fn single(&mut self, list: &Bound<'_, PyList>) -> bool {
        if list.len() != 1 {
            return false;
        }
        // SAFETY: the list has this item, and holds it at least until other code runs: none does here.
        let item = unsafe {
            let item = pyo3::ffi::PyList_GetItem(list.as_ptr(), 0);
            Borrowed::from_ptr_or_err(list.py(), item)
        };
        item.is_ok_and(|item| match item.cast_exact::<PyString>() {
            Ok(text) => {
                text.to_str().is_ok_and(|text| self.writer.short_single(self.list_tag(), text))
            }
            Err(_) => false,
        })
    }

    fn list_tag(&self) -> Tag {
        if self.sort_lists { Tag::SortedList } else { Tag::List }
    }

    #[inline(never)]
    fn items(&mut self, list: &Bound<'_, PyList>, depth: usize) -> Result<(), Refusal> {
        let items: Items<_> = list.iter().collect();
        if self.sort_lists {
            return self.unordered(self.list_tag(), &items, list, depth);
        }
        self.sequence(self.list_tag(), items.iter(), list, depth)
    }

    /// A dict, whatever its order.
    pub fn dict(&mut self, dict: &Bound<'_, PyDict>, depth: usize) -> Result<(), Refusal> {
        let pairs: Items<_> = dict.iter().collect();
        self.writer.open(Tag::Dict, pairs.len());
        if let Some(order) = order_of_short_names(&pairs) {
            // The usual case: written in the order in which the bytes would be sorted.
            for (name, value) in order {
                self.blob(Tag::Str, name.as_bytes(), dict)?;
                self.value(value, depth + 1)?;
                self.check(dict)?;
            }
            return Ok(());
        }
        let start = self.writer.len();
        let mut ends = Items::with_capacity(pairs.len());
        for (key, value) in &pairs {
            self.value(key, depth + 1)?;
            self.value(value, depth + 1)?;
            self.check(dict)?;
            ends.push(self.writer.len());
        }
        self.writer.sort(start, &ends);
        Ok(())
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
        let items: Items<_> = iterator.try_iter()?.collect::<PyResult<_>>()?;
        self.unordered(tag, &items, value, depth)
    }

    fn unordered<'py>(
        &mut self,
        tag: Tag,
        items: &[Bound<'py, PyAny>],
        value: &Bound<'py, PyAny>,
        depth: usize,
    ) -> Result<(), Refusal> {
        self.writer.open(tag, items.len());
        let start = self.writer.len();
        let mut ends = Items::with_capacity(items.len());
        for item in items {
            self.value(item, depth + 1)?;
            self.check(value)?;
            ends.push(self.writer.len());
        }
        self.writer.sort(start, &ends);
        Ok(())
    }

    fn check(&self, value: &Bound<'_, PyAny>) -> Result<(), Refusal> {
        self.writer.check().map_err(|limit| limited(limit, value))
    }
}

/// The value, if it is of this very type. To cast says more of what it is not, which takes longer.
#[inline]
fn exactly<'a, 'py, T: PyTypeInfo>(value: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, T>> {
    // SAFETY: its type has just been looked at.
    value.is_exact_instance_of::<T>().then(|| unsafe { value.cast_unchecked() })
}

/// Keys and values in the order of the keys' canonical bytes, if all keys are text of less than 128
/// bytes: those begin with one byte that is the length.
fn order_of_short_names<'a, 'py>(
    pairs: &'a [(Bound<'py, PyAny>, Bound<'py, PyAny>)],
) -> Option<Items<(&'a str, &'a Bound<'py, PyAny>)>> {
    let mut order = Items::with_capacity(pairs.len());
    for (key, value) in pairs {
        let name = key.cast_exact::<PyString>().ok()?.to_str().ok()?;
        if name.len() >= 128 {
            return None;
        }
        order.push((name, value));
    }
    order.sort_unstable_by(|(one, _), (two, _)| {
        one.len().cmp(&two.len()).then_with(|| one.as_bytes().cmp(two.as_bytes()))
    });
    Some(order)
}

/// Two's complement without a byte that only repeats the sign.
fn shortest(bytes: &[u8]) -> &[u8] {
    match bytes {
        [rest @ .., before, 0x00] if before & 0x80 == 0 => &bytes[..=rest.len()],
        [rest @ .., before, 0xff] if before & 0x80 != 0 => &bytes[..=rest.len()],
        _ => bytes,
    }
}
