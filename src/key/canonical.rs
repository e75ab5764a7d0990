//! Canonical bytes: one typed, self-delimiting encoding per value.
//!
//! Every value is a tag byte followed by a fixed-size body, or by a length and a body, so a
//! reader can always tell where it ends: two different values never share their bytes.

/// Deepest nesting that is encoded; deeper values (and cycles) are refused.
pub const MAX_DEPTH: usize = 100;
/// Most canonical bytes one call may produce.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// A bound of the encoding that a value went past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Nested deeper than [`MAX_DEPTH`], or a cycle.
    Depth,
    /// Longer than [`MAX_BYTES`].
    Bytes,
}

/// What kind of value the following bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Tag {
    /// `None`
    None = b'N',
    /// `True`
    True = b'T',
    /// `False`
    False = b'F',
    /// An integer of 64 bits, little endian.
    Int = b'i',
    /// A longer integer: length, then two's complement, little endian.
    BigInt = b'I',
    /// IEEE 754 bits, little endian (so `0.0` and `-0.0` differ).
    Float = b'f',
    /// Two floats.
    Complex = b'c',
    /// Length and UTF-8 (lone surrogates as their three-byte form).
    Str = b's',
    /// Length and bytes.
    Bytes = b'b',
    /// Length and bytes.
    ByteArray = b'a',
    /// Length and bytes.
    MemoryView = b'm',
    /// Count and items.
    Tuple = b'(',
    /// Count and items.
    List = b'[',
    /// Count and items, in the order of their bytes.
    SortedList = b']',
    /// Count and pairs, in the order of the keys' bytes.
    Dict = b'{',
    /// Count and items, in the order of their bytes.
    Set = b'<',
    /// Count and items, in the order of their bytes.
    FrozenSet = b'>',
    /// An object: kind byte, class name, then its state as another value.
    Object = b'O',
    /// A class, by importable name.
    Class = b'C',
}

/// Builds canonical bytes.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty writer with room for a usual key.
    #[must_use]
    pub fn new() -> Self {
        Self { bytes: Vec::with_capacity(128) }
    }

    /// A writer whose bytes begin with these canonical ones.
    #[must_use]
    pub fn after(prefix: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(prefix.len() + 128);
        bytes.extend_from_slice(prefix);
        Self { bytes }
    }

    /// The bytes so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Consumes the writer.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// A value that is its tag alone.
    pub fn tag(&mut self, tag: Tag) {
        self.bytes.push(tag as u8);
    }

    /// A 64-bit integer.
    pub fn int(&mut self, value: i64) {
        self.tag(Tag::Int);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A float by its bits.
    pub fn float(&mut self, value: f64) {
        self.tag(Tag::Float);
        self.bytes.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    /// A complex number by the bits of its parts.
    pub fn complex(&mut self, real: f64, imag: f64) {
        self.tag(Tag::Complex);
        self.bytes.extend_from_slice(&real.to_bits().to_le_bytes());
        self.bytes.extend_from_slice(&imag.to_bits().to_le_bytes());
    }

    /// Text.
    pub fn str(&mut self, value: &str) -> Result<(), Limit> {
        self.blob(Tag::Str, value.as_bytes())
    }

    /// A tag, a length and raw bytes.
    pub fn blob(&mut self, tag: Tag, value: &[u8]) -> Result<(), Limit> {
        if self.bytes.len() + value.len() > MAX_BYTES {
            return Err(Limit::Bytes);
        }
        self.tag(tag);
        self.length(value.len());
        self.bytes.extend_from_slice(value);
        Ok(())
    }

    /// The head of a collection of `count` items, which the caller writes next.
    pub fn open(&mut self, tag: Tag, count: usize) {
        self.tag(tag);
        self.length(count);
    }

    /// The head of an object: its state is the next value written.
    pub fn object(&mut self, kind: u8, class: &str) -> Result<(), Limit> {
        self.tag(Tag::Object);
        self.bytes.push(kind);
        self.str(class)
    }

    /// A collection whose items have no order: they are sorted by their bytes.
    /// `items` holds where each one's canonical bytes end in `scratch`.
    pub fn unordered(&mut self, tag: Tag, scratch: &[u8], ends: &[usize]) -> Result<(), Limit> {
        if self.bytes.len() + scratch.len() > MAX_BYTES {
            return Err(Limit::Bytes);
        }
        let mut start = 0;
        let mut items: Vec<&[u8]> = ends
            .iter()
            .map(|&end| {
                let item = &scratch[start..end];
                start = end;
                item
            })
            .collect();
        // An item is self-delimiting, so a pair sorts by its key before its value.
        items.sort_unstable();
        self.open(tag, items.len());
        for item in items {
            self.bytes.extend_from_slice(item);
        }
        Ok(())
    }

    /// Fails once the bytes are past [`MAX_BYTES`].
    pub fn check(&self) -> Result<(), Limit> {
        if self.bytes.len() > MAX_BYTES { Err(Limit::Bytes) } else { Ok(()) }
    }

    /// LEB128.
    fn length(&mut self, mut value: usize) {
        while value >= 0x80 {
            #[allow(clippy::cast_possible_truncation)] // the low seven bits are meant
            self.bytes.push((value as u8) | 0x80);
            value >>= 7;
        }
        #[allow(clippy::cast_possible_truncation)] // below 0x80 here
        self.bytes.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::{Limit, MAX_BYTES, Tag, Writer};

    fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut writer = Writer::new();
        write(&mut writer);
        writer.into_bytes()
    }

    #[test]
    fn neighbours_cannot_trade_characters() {
        let one = written(|w| {
            w.str("a:b").unwrap();
            w.str("c").unwrap();
        });
        let two = written(|w| {
            w.str("a").unwrap();
            w.str("b:c").unwrap();
        });
        assert_ne!(one, two);
    }

    #[test]
    fn unordered_items_are_sorted() {
        let collect = |items: &[&str]| {
            let mut scratch = Writer::new();
            let mut ends = Vec::new();
            for item in items {
                scratch.str(item).unwrap();
                ends.push(scratch.as_bytes().len());
            }
            written(|w| w.unordered(Tag::Set, scratch.as_bytes(), &ends).unwrap())
        };
        assert_eq!(collect(&["x", "yy", "z"]), collect(&["z", "x", "yy"]));
        assert_ne!(collect(&["x"]), collect(&["x", "x"]));
    }

    #[test]
    fn zero_and_minus_zero_differ() {
        assert_ne!(written(|w| w.float(0.0)), written(|w| w.float(-0.0)));
    }

    #[test]
    fn a_value_past_the_bound_is_refused() {
        let long = "x".repeat(MAX_BYTES + 1);
        assert_eq!(Writer::new().str(&long), Err(Limit::Bytes));
    }
}
