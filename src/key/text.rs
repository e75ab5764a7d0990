//! Key text: `<namespace:>function-id<:vN>:partition:digest`.
//!
//! Only the digest is identity; the rest is for people who read `redis-cli`, so it may be
//! shortened and cleaned at will.

use super::{Digest, base32};

/// The longest key text that is ever made (Memcached allows 250, with the site's prefix).
pub const MAX_KEY_CHARS: usize = 200;
/// The longest start of a key: namespace and function.
const MAX_HEAD_CHARS: usize = 90;
/// The longest readable partition.
pub const MAX_PARTITION_CHARS: usize = 48;

/// What the keys of one function look like.
#[derive(Debug, Clone)]
pub struct Style {
    /// Namespace, function, and the version unless it is the first: readable, a colon behind each.
    start: String,
    /// How much of it is not the version.
    head: usize,
    /// The longest readable partition.
    partition_chars: usize,
    /// Whether a longer partition is replaced by its hash, instead of being shortened.
    hash_on_overflow: bool,
}

impl Style {
    /// The keys of a version of a function.
    #[must_use]
    pub fn new(
        function: &str,
        version: i64,
        partition_chars: usize,
        hash_on_overflow: bool,
    ) -> Self {
        let mut start = readable(function, MAX_HEAD_CHARS);
        start.push(':');
        let head = start.len();
        if version != 1 {
            start.extend(["v", &version.to_string(), ":"]);
        }
        let partition_chars = partition_chars.clamp(4, MAX_PARTITION_CHARS);
        Self { start, head, partition_chars, hash_on_overflow }
    }

    /// What the keys of every version of the function start with.
    #[must_use]
    pub fn head(&self) -> &str {
        &self.start[..self.head]
    }

    /// Joins the parts of a key.
    #[must_use]
    pub fn key_text(&self, partition: Option<&str>, digest: &Digest) -> String {
        let mut key = String::with_capacity(MAX_KEY_CHARS);
        self.push_key(&mut key, partition, digest);
        key
    }

    /// Appends [`Style::key_text`].
    pub fn push_key(&self, key: &mut String, partition: Option<&str>, digest: &Digest) {
        key.push_str(&self.start);
        if let Some(partition) = partition {
            if self.hash_on_overflow && partition.len() > self.partition_chars {
                key.push_str(&fingerprint_text(partition.as_bytes()));
            } else {
                push_readable(key, partition, self.partition_chars);
            }
            key.push(':');
        }
        digest.push_text(key);
    }
}

/// Eight characters that stand for bytes which are not shown.
#[must_use]
pub fn fingerprint_text(bytes: &[u8]) -> String {
    base32(&blake3::hash(bytes).as_bytes()[..5])
}

/// `text` with what Memcached or a terminal would trip over replaced, at most `max` characters.
#[must_use]
pub fn readable(text: &str, max: usize) -> String {
    let mut clean = String::new();
    push_readable(&mut clean, text, max);
    clean
}

/// Appends [`readable`] text.
pub fn push_readable(to: &mut String, text: &str, max: usize) {
    let start = to.len();
    if text.len() <= max && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        to.push_str(text);
        return;
    }
    to.extend(text.chars().take(max + 1).map(|c| if c.is_ascii_graphic() { c } else { '_' }));
    if to.len() - start > max {
        to.truncate(start + max - 2);
        to.push_str("..");
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_KEY_CHARS, Style};
    use crate::key::Digest;

    #[test]
    fn keys_are_short_and_clean() {
        let digest = Digest::of(&[0; 32], b"x");
        let key = Style::new(&"m".repeat(400), i64::MIN, 250, false)
            .key_text(Some("a b\n\u{e9}*"), &digest);
        assert!(key.len() <= MAX_KEY_CHARS);
        assert!(key.bytes().all(|b| b.is_ascii_graphic()));
        assert!(key.contains(":a_b__*:"));
    }

    #[test]
    fn a_long_partition_is_shortened_or_hashed() {
        let digest = Digest::of(&[0; 32], b"x");
        let key = |hashed, partition: &str| {
            Style::new("f", 1, 10, hashed).key_text(Some(partition), &digest)
        };
        assert!(key(false, "0123456789x").starts_with("f:01234567..:"));
        assert!(key(true, "0123456789").starts_with("f:0123456789:"));
        assert!(!key(true, "0123456789x").contains("0123"));
        assert_ne!(key(true, "0123456789x"), key(true, "0123456789y"));
    }
}
