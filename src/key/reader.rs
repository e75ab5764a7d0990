//! Reads canonical bytes back: what shows people what a key is made of, and what proves that the
//! encoding is injective.

use super::{MAX_BYTES, MAX_DEPTH, Tag, Writer};
use std::fmt::{self, Display, Formatter};

/// A value as canonical bytes tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A tag alone: None, True, False or absent.
    Plain(Tag),
    /// An integer of 64 bits.
    Int(i64),
    /// A float, by its bits.
    Float(u64),
    /// A complex number, by the bits of its parts.
    Complex(u64, u64),
    /// A longer integer, text, bytes, a bytearray or a class.
    Blob(Tag, Vec<u8>),
    /// A tuple, a list or a set.
    Items(Tag, Vec<Value>),
    /// A dict.
    Pairs(Vec<(Value, Value)>),
    /// A value of the standard library: kind and state.
    Standard(u8, Box<Value>),
    /// Another object: kind, class and state.
    Object(u8, Vec<u8>, Box<Value>),
}

/// Bytes that no [`Writer`] has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Reads one value, and where it ends.
///
/// # Errors
/// [`Malformed`] for anything that is not the one canonical form of a value.
pub fn read(bytes: &[u8]) -> Result<(Value, usize), Malformed> {
    let mut reader = Reader { bytes, at: 0 };
    let value = reader.value(0)?;
    if reader.at > MAX_BYTES { Err(Malformed) } else { Ok((value, reader.at)) }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(count).ok_or(Malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or(Malformed)?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn eight(&mut self) -> Result<[u8; 8], Malformed> {
        self.take(8)?.try_into().map_err(|_| Malformed)
    }

    /// LEB128, as short as it gets.
    fn length(&mut self) -> Result<usize, Malformed> {
        let mut value = 0_usize;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let padded = byte == 0 && shift > 0;
                return if padded || value > MAX_BYTES { Err(Malformed) } else { Ok(value) };
            }
        }
        Err(Malformed)
    }

    fn blob(&mut self) -> Result<Vec<u8>, Malformed> {
        let length = self.length()?;
        self.take(length).map(<[u8]>::to_vec)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Malformed> {
        if depth > 4 * MAX_DEPTH {
            return Err(Malformed);
        }
        let byte = self.byte()?;
        let tag = *TAGS.iter().find(|tag| **tag as u8 == byte).ok_or(Malformed)?;
        Ok(match tag {
            Tag::None | Tag::True | Tag::False | Tag::Absent => Value::Plain(tag),
            Tag::Int => Value::Int(i64::from_le_bytes(self.eight()?)),
            Tag::Float => Value::Float(u64::from_le_bytes(self.eight()?)),
            Tag::Complex => {
                let real = u64::from_le_bytes(self.eight()?);
                Value::Complex(real, u64::from_le_bytes(self.eight()?))
            }
            Tag::Str | Tag::Bytes | Tag::ByteArray | Tag::Class => Value::Blob(tag, self.blob()?),
            Tag::BigInt => Value::Blob(tag, self.big()?),
            Tag::Tuple | Tag::List => Value::Items(tag, self.items(depth, false)?),
            Tag::SortedList | Tag::Set | Tag::FrozenSet => {
                Value::Items(tag, self.items(depth, true)?)
            }
            Tag::Dict => Value::Pairs(self.pairs(depth)?),
            Tag::Standard => {
                let kind = self.byte()?;
                Value::Standard(kind, Box::new(self.value(depth + 1)?))
            }
            Tag::Object => {
                let kind = self.byte()?;
                let class = self.blob()?;
                Value::Object(kind, class, Box::new(self.value(depth + 1)?))
            }
        })
    }

    /// An integer that needs more than eight bytes.
    fn big(&mut self) -> Result<Vec<u8>, Malformed> {
        let bytes = self.blob()?;
        let [.., before, last] = bytes.as_slice() else { return Err(Malformed) };
        let sign = if before & 0x80 == 0 { 0x00 } else { 0xff };
        if bytes.len() <= 8 || *last == sign { Err(Malformed) } else { Ok(bytes) }
    }

    fn items(&mut self, depth: usize, sorted: bool) -> Result<Vec<Value>, Malformed> {
        let count = self.length()?;
        let mut items = Vec::new();
        let mut before: &[u8] = &[];
        for _ in 0..count {
            let from = self.at;
            items.push(self.value(depth + 1)?);
            let item = &self.bytes[from..self.at];
            if sorted && item < before {
                return Err(Malformed);
            }
            before = item;
        }
        Ok(items)
    }

    fn pairs(&mut self, depth: usize) -> Result<Vec<(Value, Value)>, Malformed> {
        let count = self.length()?;
        let mut pairs = Vec::new();
        let mut before: &[u8] = &[];
        for _ in 0..count {
            let from = self.at;
            pairs.push((self.value(depth + 1)?, self.value(depth + 1)?));
            let pair = &self.bytes[from..self.at];
            if pair < before {
                return Err(Malformed);
            }
            before = pair;
        }
        Ok(pairs)
    }
}

const TAGS: [Tag; 20] = [
    Tag::None,
    Tag::True,
    Tag::False,
    Tag::Absent,
    Tag::Int,
    Tag::BigInt,
    Tag::Float,
    Tag::Complex,
    Tag::Str,
    Tag::Bytes,
    Tag::ByteArray,
    Tag::Tuple,
    Tag::List,
    Tag::SortedList,
    Tag::Dict,
    Tag::Set,
    Tag::FrozenSet,
    Tag::Standard,
    Tag::Object,
    Tag::Class,
];

impl Value {
    /// Writes the value as it was read.
    ///
    /// # Errors
    /// [`super::Limit::Bytes`] for what is too long.
    pub fn write(&self, to: &mut Writer) -> Result<(), super::Limit> {
        match self {
            Self::Plain(tag) => to.tag(*tag),
            Self::Int(number) => to.int(*number),
            Self::Float(bits) => to.float(f64::from_bits(*bits)),
            Self::Complex(real, imag) => to.complex(f64::from_bits(*real), f64::from_bits(*imag)),
            Self::Blob(tag, bytes) => to.blob(*tag, bytes)?,
            Self::Items(tag, items) => {
                to.open(*tag, items.len());
                let start = to.len();
                let mut ends = Vec::new();
                for item in items {
                    item.write(to)?;
                    ends.push(to.len());
                }
                if matches!(tag, Tag::SortedList | Tag::Set | Tag::FrozenSet) {
                    to.sort(start, &ends);
                }
            }
            Self::Pairs(pairs) => {
                to.open(Tag::Dict, pairs.len());
                let start = to.len();
                let mut ends = Vec::new();
                for (key, value) in pairs {
                    key.write(to)?;
                    value.write(to)?;
                    ends.push(to.len());
                }
                to.sort(start, &ends);
            }
            Self::Standard(kind, state) => {
                to.standard(*kind);
                state.write(to)?;
            }
            Self::Object(kind, class, state) => {
                to.object(*kind, class)?;
                state.write(to)?;
            }
        }
        to.check()
    }
}

/// Like Python's `repr`, for people.
impl Display for Value {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(Tag::Absent) => to.write_str("<absent>"),
            Self::Plain(tag) => write!(to, "{tag:?}"),
            Self::Int(number) => write!(to, "{number}"),
            Self::Float(bits) => write!(to, "{:?}", f64::from_bits(*bits)),
            Self::Complex(real, imag) => {
                write!(to, "({:?}, {:?}j)", f64::from_bits(*real), f64::from_bits(*imag))
            }
            Self::Blob(Tag::Str, text) => quoted(to, &String::from_utf8_lossy(text)),
            Self::Blob(Tag::Class, name) => write!(to, "<class {}>", String::from_utf8_lossy(name)),
            Self::Blob(Tag::BigInt, bytes) => write!(to, "<integer of {} bytes>", bytes.len()),
            Self::Blob(tag, bytes) => {
                if *tag == Tag::ByteArray {
                    to.write_str("bytearray ")?;
                }
                write!(to, "b'{}'", bytes.escape_ascii())
            }
            Self::Items(tag, items) => {
                let (open, close) = match tag {
                    Tag::Tuple => ("(", ")"),
                    Tag::List => ("[", "]"),
                    Tag::SortedList => ("sorted [", "]"),
                    Tag::Set => ("{", "}"),
                    _ => ("frozen {", "}"),
                };
                to.write_str(open)?;
                joined(to, items, |to, item| write!(to, "{item}"))?;
                to.write_str(close)
            }
            Self::Pairs(pairs) => {
                to.write_str("{")?;
                joined(to, pairs, |to, (key, value)| write!(to, "{key}: {value}"))?;
                to.write_str("}")
            }
            Self::Standard(kind, state) => write!(to, "{}{state}", standard_name(*kind)),
            Self::Object(_, class, state) => {
                write!(to, "{}{state}", String::from_utf8_lossy(class).replace(':', "."))
            }
        }
    }
}

fn quoted(to: &mut Formatter<'_>, text: &str) -> fmt::Result {
    write!(to, "'{}'", text.escape_debug())
}

fn joined<T>(
    to: &mut Formatter<'_>,
    items: &[T],
    each: impl Fn(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            to.write_str(", ")?;
        }
        each(to, item)?;
    }
    Ok(())
}

fn standard_name(kind: u8) -> &'static str {
    match kind {
        b'u' => "UUID ",
        b't' => "datetime",
        b'y' => "date ",
        b'h' => "time",
        b'l' => "timedelta",
        b'd' => "Decimal ",
        b'/' => "path",
        b'r' => "range",
        b'm' => "memoryview",
        b'M' => "row",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::{Malformed, Value, read};
    use crate::key::{Tag, Writer};

    fn text(text: &str) -> Value {
        Value::Blob(Tag::Str, text.into())
    }

    fn written(value: &Value) -> Vec<u8> {
        let mut writer = Writer::new();
        value.write(&mut writer).unwrap();
        writer.into_bytes()
    }

    #[test]
    fn what_was_written_is_read() {
        let big = Value::Blob(Tag::BigInt, vec![1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let pairs = Value::Pairs(vec![(text("a"), Value::Int(-1)), (text("b"), big)]);
        let value = Value::Items(
            Tag::Tuple,
            vec![
                Value::Plain(Tag::Absent),
                Value::Items(Tag::List, vec![Value::Float(1.5_f64.to_bits()), pairs]),
                Value::Standard(b'u', Box::new(Value::Blob(Tag::Bytes, vec![0; 16]))),
                Value::Object(b'k', b"app:Thing".to_vec(), Box::new(text("\u{e9}'"))),
            ],
        );
        let bytes = written(&value);
        assert_eq!(read(&bytes), Ok((value.clone(), bytes.len())));
        assert_eq!(
            value.to_string(),
            "(<absent>, [1.5, {'a': -1, 'b': <integer of 9 bytes>}], \
             UUID b'\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00', \
             app.Thing'\u{e9}\\'')"
        );
    }

    #[test]
    fn only_the_canonical_form_is_read() {
        for bad in [
            &b""[..],
            b"?",
            b"i1234567",    // too short
            b"s\x81\x00ab", // a length that could be shorter
            b"s\x05abcd",   // beyond the end
            b"I\x01\x05",   // an integer that fits 64 bits
            b"<\x02TF",     // not in order
            b"{\x02s\x01bNs\x01aN",
            b"(\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        ] {
            assert_eq!(read(bad), Err(Malformed), "{bad:?}");
        }
        assert_eq!(read(&[b"(\x01".repeat(500), b"N".to_vec()].concat()), Err(Malformed));
    }
}
