//! The scopes of tags, which entries of any function have in common.

use super::{ScopeId, Token};
use crate::world;

/// A scope that became known while the function ran, and its generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Recorded {
    /// The scope.
    pub scope: ScopeId,
    /// Its generation.
    pub token: Token,
}

impl Recorded {
    /// Whole ones, one after the other.
    #[must_use]
    pub fn slice(bytes: &[u8]) -> &[Self] {
        let (whole, _) = bytes.as_chunks::<{ size_of::<Self>() }>();
        // SAFETY: it is made of two arrays of bytes, which need no alignment, with nothing in between.
        unsafe { &*(std::ptr::from_ref(whole) as *const [Self]) }
    }
}

impl ScopeId {
    /// Changes whenever the scope of a tag of the current world does, and before it: it is the first in the
    /// order of scopes, in which they are written.
    #[must_use]
    pub fn tags() -> Self {
        let mut id = [0; 16];
        id[8..].copy_from_slice(&world::current().to_le_bytes());
        Self(id)
    }

    /// The entries that have this tag, in the real world.
    #[must_use]
    pub fn tag(text: &str) -> Self {
        Self::of(&[b"#tag:", text.as_bytes()].concat())
    }

    /// The entries that have a tag of this family, which is what precedes its first colon, in the real world.
    #[must_use]
    pub fn family(family: &str) -> Self {
        Self::of(&[b"#family:", family.as_bytes()].concat())
    }

    /// The scopes of an entry that has this tag, in the real world.
    pub fn of_tag(text: &str) -> impl Iterator<Item = Self> {
        let family = text.split_once(':').map(|(family, _)| Self::family(family));
        std::iter::once(Self::tag(text)).chain(family)
    }
}

#[cfg(test)]
mod tests {
    use super::ScopeId;

    #[test]
    fn a_tag_brings_its_family() {
        let scopes = |text| ScopeId::of_tag(text).collect::<Vec<_>>();
        assert_eq!(scopes("users"), [ScopeId::tag("users")]);
        assert_eq!(scopes("user:4:x"), [ScopeId::tag("user:4:x"), ScopeId::family("user")]);
        assert_ne!(ScopeId::tag("user"), ScopeId::family("user"));
    }
}
