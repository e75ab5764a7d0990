//! Values of any shape, made from the fuzzer's bytes, compared and put in order without the help of
//! `_core`.

use _core::key::{MAX_DEPTH, Tag, Value, Writer};
use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};

/// A value. What has no order is in any order until it is [`Tree::normal`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tree {
    None,
    Bool(bool),
    Absent,
    /// Two's complement, little endian, as short as it gets.
    Int(Vec<u8>),
    /// IEEE 754 bits.
    Float(u64),
    Complex(u64, u64),
    Str(Vec<u8>),
    Bytes(Vec<u8>),
    ByteArray(Vec<u8>),
    Class(Vec<u8>),
    Tuple(Vec<Tree>),
    List(Vec<Tree>),
    SortedList(Vec<Tree>),
    Set(Vec<Tree>),
    FrozenSet(Vec<Tree>),
    Dict(Vec<(Tree, Tree)>),
    Standard(u8, Box<Tree>),
    Object(u8, Vec<u8>, Box<Tree>),
}

impl<'a> Arbitrary<'a> for Tree {
    fn arbitrary(from: &mut Unstructured<'a>) -> Result<Self> {
        tree(from, 0)
    }
}

/// As deep as values are read: one Python value inside another may be several levels deeper.
const DEEPEST: usize = 4 * MAX_DEPTH;

/// A value that is inside `depth` others.
fn tree(from: &mut Unstructured<'_>, depth: usize) -> Result<Tree> {
    // Input that has run out goes on as zeros, and so ends in leaves.
    let leaf_kinds = 10;
    let kinds = if depth < DEEPEST { 19 } else { leaf_kinds };
    let items = |from: &mut _| {
        let count = length(from, 8)?;
        (0..count).map(|_| tree(from, depth + 1)).collect::<Result<Vec<_>>>()
    };
    Ok(match u8::arbitrary(from)? % kinds {
        0 => Tree::None,
        1 => Tree::Bool(bool::arbitrary(from)?),
        2 => Tree::Absent,
        3 => Tree::Int(shortest(bytes(from)?)),
        4 => Tree::Float(u64::arbitrary(from)?),
        5 => Tree::Complex(u64::arbitrary(from)?, u64::arbitrary(from)?),
        6 => Tree::Str(bytes(from)?),
        7 => Tree::Bytes(bytes(from)?),
        8 => Tree::ByteArray(bytes(from)?),
        9 => Tree::Class(bytes(from)?),
        10 => Tree::Tuple(items(from)?),
        11 => Tree::List(items(from)?),
        12 => Tree::SortedList(items(from)?),
        13 => Tree::Set(items(from)?),
        14 => Tree::FrozenSet(items(from)?),
        15 => {
            let count = length(from, 8)?;
            let pair = |_| Ok((tree(from, depth + 1)?, tree(from, depth + 1)?));
            Tree::Dict((0..count).map(pair).collect::<Result<_>>()?)
        }
        16 => Tree::Standard(u8::arbitrary(from)?, Box::new(tree(from, depth + 1)?)),
        17 => {
            let (kind, class) = (u8::arbitrary(from)?, bytes(from)?);
            Tree::Object(kind, class, Box::new(tree(from, depth + 1)?))
        }
        _ => {
            let levels = (2 * usize::from(u8::arbitrary(from)?)).min(DEEPEST - depth);
            let core = tree(from, depth + levels)?;
            (0..levels).fold(core, |inner, _| Tree::List(vec![inner]))
        }
    })
}

/// Mostly less than `usual`; else 124 to 131, as from 128 a length takes two bytes.
fn length(from: &mut Unstructured<'_>, usual: usize) -> Result<usize> {
    let byte = usize::from(u8::arbitrary(from)?);
    Ok(if byte < 248 { byte % usual } else { byte - 124 })
}

/// Bytes, rarely so many that their length takes three.
fn bytes(from: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let length = match length(from, 16)? {
        131 => (1 << 14) - 128 + usize::from(u8::arbitrary(from)?),
        length => length,
    };
    let mut bytes = vec![0; length];
    from.fill_buffer(&mut bytes)?;
    Ok(bytes)
}

/// Two's complement without bytes that only repeat the sign.
fn shortest(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.is_empty() {
        bytes.push(0);
    }
    while let [.., before, last] = bytes[..]
        && last == if before < 0x80 { 0x00 } else { 0xff }
    {
        bytes.pop();
    }
    bytes
}

/// The bytes of some values, one after the other.
///
/// # Panics
/// If they are too long.
#[must_use]
pub fn written(trees: &[&Tree]) -> Vec<u8> {
    let mut writer = Writer::new();
    for tree in trees {
        tree.write(&mut writer);
    }
    writer.into_bytes()
}

impl Tree {
    /// Writes the value, its items in the order in which they are.
    fn write(&self, to: &mut Writer) {
        match self {
            Self::None => to.tag(Tag::None),
            Self::Bool(flag) => to.tag(if *flag { Tag::True } else { Tag::False }),
            Self::Absent => to.tag(Tag::Absent),
            Self::Int(bytes) if bytes.len() > 8 => blob(to, Tag::BigInt, bytes),
            Self::Int(bytes) => {
                let sign = if bytes[bytes.len() - 1] < 0x80 { 0x00 } else { 0xff };
                let mut all = [sign; 8];
                all[..bytes.len()].copy_from_slice(bytes);
                to.int(i64::from_le_bytes(all));
            }
            Self::Float(bits) => to.float(f64::from_bits(*bits)),
            Self::Complex(real, imag) => to.complex(f64::from_bits(*real), f64::from_bits(*imag)),
            Self::Str(bytes) => match str::from_utf8(bytes) {
                Ok(text) => to.str(text).expect("short"),
                Err(_) => blob(to, Tag::Str, bytes),
            },
            Self::Bytes(bytes) => blob(to, Tag::Bytes, bytes),
            Self::ByteArray(bytes) => blob(to, Tag::ByteArray, bytes),
            Self::Class(name) => blob(to, Tag::Class, name),
            Self::Tuple(items) => ordered(to, Tag::Tuple, items),
            Self::List(items) => ordered(to, Tag::List, items),
            Self::SortedList(items) => unordered(to, Tag::SortedList, items, Self::write),
            Self::Set(items) => unordered(to, Tag::Set, items, Self::write),
            Self::FrozenSet(items) => unordered(to, Tag::FrozenSet, items, Self::write),
            Self::Dict(pairs) => unordered(to, Tag::Dict, pairs, |(key, value), to| {
                key.write(to);
                value.write(to);
            }),
            Self::Standard(kind, state) => {
                to.standard(*kind);
                state.write(to);
            }
            Self::Object(kind, class, state) => {
                to.object(*kind, class).expect("short");
                state.write(to);
            }
        }
    }

    /// The same value with everything that has no order in that of [`Ord`].
    #[must_use]
    pub fn normal(self) -> Self {
        let all = |items: Vec<Self>| items.into_iter().map(Self::normal).collect::<Vec<_>>();
        match self {
            Self::Tuple(items) => Self::Tuple(all(items)),
            Self::List(items) => Self::List(all(items)),
            Self::SortedList(items) => Self::SortedList(sorted(all(items))),
            Self::Set(items) => Self::Set(sorted(all(items))),
            Self::FrozenSet(items) => Self::FrozenSet(sorted(all(items))),
            Self::Dict(pairs) => {
                let normal = |(key, value): (Self, Self)| (key.normal(), value.normal());
                Self::Dict(sorted(pairs.into_iter().map(normal).collect()))
            }
            Self::Standard(kind, state) => Self::Standard(kind, Box::new(state.normal())),
            Self::Object(kind, class, state) => Self::Object(kind, class, Box::new(state.normal())),
            leaf => leaf,
        }
    }
}

impl From<Value> for Tree {
    fn from(value: Value) -> Self {
        let all = |items: Vec<Value>| items.into_iter().map(Self::from).collect();
        match value {
            Value::Plain(Tag::None) => Self::None,
            Value::Plain(Tag::True) => Self::Bool(true),
            Value::Plain(Tag::False) => Self::Bool(false),
            Value::Plain(Tag::Absent) => Self::Absent,
            Value::Int(number) => Self::Int(shortest(number.to_le_bytes().into())),
            Value::Float(bits) => Self::Float(bits),
            Value::Complex(real, imag) => Self::Complex(real, imag),
            Value::Blob(Tag::BigInt, bytes) => Self::Int(shortest(bytes)),
            Value::Blob(Tag::Str, bytes) => Self::Str(bytes),
            Value::Blob(Tag::Bytes, bytes) => Self::Bytes(bytes),
            Value::Blob(Tag::ByteArray, bytes) => Self::ByteArray(bytes),
            Value::Blob(Tag::Class, name) => Self::Class(name),
            Value::Items(Tag::Tuple, items) => Self::Tuple(all(items)),
            Value::Items(Tag::List, items) => Self::List(all(items)),
            Value::Items(Tag::SortedList, items) => Self::SortedList(all(items)),
            Value::Items(Tag::Set, items) => Self::Set(all(items)),
            Value::Items(Tag::FrozenSet, items) => Self::FrozenSet(all(items)),
            Value::Pairs(pairs) => Self::Dict(
                pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
            ),
            Value::Standard(kind, state) => Self::Standard(kind, Box::new((*state).into())),
            Value::Object(kind, class, state) => {
                Self::Object(kind, class, Box::new((*state).into()))
            }
            Value::Plain(_) | Value::Blob(..) | Value::Items(..) => {
                panic!("no such value: {value:?}")
            }
        }
    }
}

fn blob(to: &mut Writer, tag: Tag, bytes: &[u8]) {
    to.blob(tag, bytes).expect("short");
}

fn ordered(to: &mut Writer, tag: Tag, items: &[Tree]) {
    to.open(tag, items.len());
    for item in items {
        item.write(to);
    }
}

fn unordered<T>(to: &mut Writer, tag: Tag, items: &[T], write: impl Fn(&T, &mut Writer)) {
    to.open(tag, items.len());
    let start = to.len();
    let mut ends = Vec::new();
    for item in items {
        write(item, to);
        ends.push(to.len());
    }
    to.sort(start, &ends);
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items
}
