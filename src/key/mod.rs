//! Keys: canonical bytes, their digest, and the text under which an entry is stored.

mod canonical;
mod digest;
mod text;

pub use canonical::{Limit, MAX_BYTES, MAX_DEPTH, Tag, Writer};
pub use digest::{DIGEST_BYTES, Digest, base32};
pub use text::{MAX_KEY_CHARS, key_text, readable};
