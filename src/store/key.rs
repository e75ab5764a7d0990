//! Keys of the store: texts of Django's cache API, and calls by their canonical bytes.

use quick_cache::Equivalent;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What the entries of one wrapper under one configuration have in common.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Tells families apart: BLAKE3 of the cache's prefix, version and key function, of the key plan,
    /// and of the rules. What differs in any of them is not found.
    pub id: [u64; 2],
    /// Stands for the cache's prefix, version and key function.
    pub view: u64,
    /// Stands for namespace and function.
    pub lineage: u64,
    /// `Meta.version`.
    pub version: i64,
}

/// Texts are a family of their own.
const TEXTS: [u64; 2] = [0; 2];

/// 128 bits of BLAKE3 of a key's text.
pub type Name = u128;

/// Stands for a key's text.
#[must_use]
pub fn name_of(text: &[u8]) -> Name {
    let mut name = [0; 16];
    name.copy_from_slice(&blake3::hash(text).as_bytes()[..16]);
    Name::from_le_bytes(name)
}

/// A key, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    family: [u64; 2],
    /// Canonical bytes of a call, or a text.
    pub bytes: Arc<[u8]>,
}

/// A key to look for. Bytes are compared, so no two calls can meet.
#[derive(Debug, Clone, Copy)]
pub struct KeyRef<'a> {
    family: [u64; 2],
    bytes: &'a [u8],
}

impl<'a> KeyRef<'a> {
    /// The key of a text, in UTF-8 (of whatever kind).
    #[must_use]
    pub fn text(bytes: &'a [u8]) -> Self {
        Self { family: TEXTS, bytes }
    }

    /// The key of a call.
    #[must_use]
    pub fn call(family: &Family, canonical: &'a [u8]) -> Self {
        Self { family: family.id, bytes: canonical }
    }

    /// A copy that lasts.
    #[must_use]
    pub fn to_key(self) -> Key {
        Key { family: self.family, bytes: Arc::from(self.bytes) }
    }
}

impl Key {
    /// The key as one to look for.
    #[must_use]
    pub fn as_ref(&self) -> KeyRef<'_> {
        KeyRef { family: self.family, bytes: &self.bytes }
    }

    /// The text that this is the key of; `None`: it is that of a call.
    #[must_use]
    pub fn as_text(&self) -> Option<&[u8]> {
        (self.family == TEXTS).then_some(&self.bytes)
    }
}

impl Hash for KeyRef<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.family[0]);
        state.write(self.bytes);
    }
}

impl Hash for Key {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    #[inline]
    fn equivalent(&self, key: &Key) -> bool {
        self.family == key.family && *self.bytes == *key.bytes
    }
}
