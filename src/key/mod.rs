//! Keys: canonical bytes, their digest, and the text under which an entry is stored.

mod canonical;
mod digest;
mod text;

pub use canonical::{Limit, Tag, Writer, MAX_BYTES, MAX_DEPTH};
pub use digest::{Digest, DIGEST_BYTES, base32};
pub use text::{key_text, readable, MAX_KEY_CHARS};
