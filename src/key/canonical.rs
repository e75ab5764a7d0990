//! Canonical bytes: one typed, self-delimiting encoding per value.
//!
//! Every value is a tag byte followed by a fixed-size body, or by a length and a body, so a
//! reader can always tell where it ends: two different values never share their bytes. The format
//! is part of every stored key; `tests/keys/golden.json` holds examples of it.

use super::room::Room;
use smallvec::SmallVec;

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
    /// Nothing where something was looked for: equal to no value.
    Absent = b'A',
    /// An integer of 64 bits, little endian.
    Int = b'i',
    /// A longer integer: length, then two's complement, little endian, as short as it gets.
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
    /// Count and items.
    Tuple = b'(',
    /// Count and items.
    List = b'[',
    /// Count and items, in the order of their bytes.
    SortedList = b']',
    /// Count and pairs, in the order of their bytes.
    Dict = b'{',
    /// Count and items, in the order of their bytes.
    Set = b'<',
    /// Count and items, in the order of their bytes.
    FrozenSet = b'>',
    /// A value of the standard library: kind byte, then its state as another value.
    Standard = b'S',
    /// An object: kind byte, class name (length and UTF-8), then its state as another value.
    Object = b'O',
    /// A class, by importable name: length and UTF-8.
    Class = b'C',
}

/// The most bytes that stand before a body: tag, kind and length.
const HEAD_BYTES: usize = 6;

/// Builds canonical bytes.
#[derive(Debug)]
pub struct Writer {
    /// What has been written, and room for more: a short value is written after one look at its end.
    bytes: Room,
    /// How much of it has been written.
    length: usize,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// An empty writer.
    #[must_use]
    #[inline]
    pub fn new() -> Self {
        Self { bytes: Room::new(), length: 0 }
    }

    /// The bytes so far.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// How many bytes there are so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing has been written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Consumes the writer.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    /// The next `count` bytes, which the caller writes now.
    #[inline(never)]
    fn room(&mut self, count: usize) -> &mut [u8] {
        let start = self.length;
        let end = start + count;
        if end > self.bytes.len() {
            self.bytes.grow(end);
        }
        self.length = end;
        &mut self.bytes[start..end]
    }

    /// Writes so few bytes that there is room for them nearly always.
    #[inline(always)]
    #[allow(clippy::inline_always)] // part of every hit
    fn push<const N: usize>(&mut self, bytes: [u8; N]) {
        let end = self.length + N;
        if let Some(to) = self.bytes.get_mut(self.length..end) {
            to.copy_from_slice(&bytes);
            self.length = end;
        } else {
            self.room(N).copy_from_slice(&bytes);
        }
    }

    /// A value that is its tag alone.
    pub fn tag(&mut self, tag: Tag) {
        self.push([tag as u8]);
    }

    /// A 64-bit integer.
    #[inline]
    pub fn int(&mut self, value: i64) {
        self.fixed(Tag::Int, value.to_le_bytes());
    }

    /// A float by its bits.
    pub fn float(&mut self, value: f64) {
        self.fixed(Tag::Float, value.to_bits().to_le_bytes());
    }

    /// A complex number by the bits of its parts.
    pub fn complex(&mut self, real: f64, imag: f64) {
        self.fixed(Tag::Complex, real.to_bits().to_le_bytes());
        self.push(imag.to_bits().to_le_bytes());
    }

    #[inline]
    fn fixed(&mut self, tag: Tag, value: [u8; 8]) {
        let mut bytes = [tag as u8; 9];
        bytes[1..].copy_from_slice(&value);
        self.push(bytes);
    }

    /// Text.
    pub fn str(&mut self, value: &str) -> Result<(), Limit> {
        self.blob(Tag::Str, value.as_bytes())
    }

    /// A tag, a length and raw bytes.
    #[inline]
    pub fn blob(&mut self, tag: Tag, value: &[u8]) -> Result<(), Limit> {
        if self.short(tag, value) { Ok(()) } else { self.long(tag, value) }
    }

    /// Writes a short value for which there is room, as nearly all are; false: it is another one.
    #[inline]
    pub fn short(&mut self, tag: Tag, value: &[u8]) -> bool {
        self.short_inside([], tag, value)
    }

    /// Writes a collection of one text, if it is short and there is room for it.
    #[inline]
    pub fn short_single(&mut self, outer: Tag, text: &str) -> bool {
        self.short_inside([outer as u8, 1], Tag::Str, text.as_bytes())
    }

    /// Both: `outer` is what stands before the value.
    #[inline]
    fn short_inside<const N: usize>(&mut self, outer: [u8; N], tag: Tag, value: &[u8]) -> bool {
        let end = self.length + N + 2 + value.len();
        if let Ok(short) = u8::try_from(value.len())
            && short < 0x80
            && end <= MAX_BYTES
            && let Some(to) = self.bytes.get_mut(self.length..end)
            && let Some((before, [head, length, body @ ..])) = to.split_first_chunk_mut::<N>()
        {
            *before = outer;
            *head = tag as u8;
            *length = short;
            body.copy_from_slice(value);
            self.length = end;
            return true;
        }
        false
    }

    #[inline(never)]
    fn long(&mut self, tag: Tag, value: &[u8]) -> Result<(), Limit> {
        if self.length + HEAD_BYTES + value.len() > MAX_BYTES {
            return Err(Limit::Bytes);
        }
        self.open(tag, value.len());
        self.room(value.len()).copy_from_slice(value);
        Ok(())
    }

    /// The head of a collection of `count` items, which the caller writes next.
    #[inline(always)]
    #[allow(clippy::inline_always)] // part of every hit
    pub fn open(&mut self, tag: Tag, count: usize) {
        match u8::try_from(count) {
            Ok(short) if short < 0x80 => {
                self.push([tag as u8, short]);
            }
            _ => self.open_long(tag, count),
        }
    }

    #[cold]
    fn open_long(&mut self, tag: Tag, count: usize) {
        self.tag(tag);
        self.length(count);
    }

    /// The head of a value of the standard library: its state is the next value written.
    pub fn standard(&mut self, kind: u8) {
        self.push([Tag::Standard as u8, kind]);
    }

    /// The head of an object: its state is the next value written.
    pub fn object(&mut self, kind: u8, class: &[u8]) -> Result<(), Limit> {
        if self.length + HEAD_BYTES + class.len() > MAX_BYTES {
            return Err(Limit::Bytes);
        }
        self.push([Tag::Object as u8, kind]);
        self.length(class.len());
        self.room(class.len()).copy_from_slice(class);
        Ok(())
    }

    /// Puts items that have no order, which were written last, into the order of their bytes.
    /// `ends` says where each of them ends; the first begins at `start`.
    pub fn sort(&mut self, start: usize, ends: &[usize]) {
        if let [middle, end] = *ends {
            if self.bytes[middle..end] < self.bytes[start..middle] {
                self.bytes[start..end].rotate_left(middle - start);
            }
            return;
        }
        let bytes = self.as_bytes();
        let mut from = start;
        let mut items: SmallVec<[Item; 8]> = ends
            .iter()
            .map(|&end| {
                let item = Item { window: window(&bytes[from..]), from, end };
                from = end;
                item
            })
            .collect();
        // No item is the beginning of another. So a pair sorts by its key before its value, and of two
        // different items the first eight bytes decide, if they differ, even where an item is shorter.
        let order = |one: &Item, two: &Item| {
            let all = || bytes[one.from..one.end].cmp(&bytes[two.from..two.end]);
            one.window.cmp(&two.window).then_with(all)
        };
        if items.is_sorted_by(|one, two| order(one, two).is_le()) {
            return;
        }
        items.sort_unstable_by(order);
        let unsorted: SmallVec<[u8; 256]> = SmallVec::from_slice(&bytes[start..]);
        self.length = start;
        for Item { from, end, .. } in items {
            self.room(end - from).copy_from_slice(&unsorted[from - start..end - start]);
        }
    }

    /// Fails once the bytes are past [`MAX_BYTES`].
    pub fn check(&self) -> Result<(), Limit> {
        if self.length > MAX_BYTES { Err(Limit::Bytes) } else { Ok(()) }
    }

    /// LEB128.
    #[allow(clippy::cast_possible_truncation)] // the low seven bits are meant
    fn length(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.push([(value as u8) | 0x80]);
            value >>= 7;
        }
        self.push([value as u8]);
    }
}

/// Where an item is, and how it begins.
struct Item {
    window: u64,
    from: usize,
    end: usize,
}

/// The first eight bytes, as a number that sorts like them.
fn window(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(eight) => u64::from_be_bytes(*eight),
        None => {
            bytes.iter().fold(0, |window, &byte| window << 8 | u64::from(byte))
                << (64 - 8 * bytes.len())
        }
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
            written(|w| {
                w.open(Tag::Set, items.len());
                let start = w.len();
                let mut ends = Vec::new();
                for item in items {
                    w.str(item).unwrap();
                    ends.push(w.len());
                }
                w.sort(start, &ends);
            })
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
