//! Keys: canonical bytes, their digest, and the text under which an entry is stored.

mod canonical;
mod digest;
mod reader;
mod room;
mod text;

pub use canonical::{Limit, MAX_BYTES, MAX_DEPTH, Tag, Writer};
pub use digest::{DIGEST_BYTES, Digest, base32};
pub use reader::{Malformed, Value, read};
pub use text::{
    MAX_KEY_CHARS, MAX_PARTITION_CHARS, Style, fingerprint_text, push_readable, readable,
};
