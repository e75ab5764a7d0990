//! Key text: `<namespace:>function-id<:vN>:partition:digest`.
//!
//! Only the digest is identity; the rest is for people who read `redis-cli`, so it may be
//! shortened and cleaned at will.

use super::Digest;

/// The longest key text that is ever made (Memcached allows 250, with the site's prefix).
pub const MAX_KEY_CHARS: usize = 200;
const MAX_HEAD_CHARS: usize = 110;
const MAX_PARTITION_CHARS: usize = 48;

/// `text` with what Memcached or a terminal would trip over replaced, at most `max` characters.
#[must_use]
pub fn readable(text: &str, max: usize) -> String {
    let mut clean: String =
        text.chars().take(max + 1).map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect();
    if clean.len() > max {
        clean.truncate(max - 2);
        clean.push_str("..");
    }
    clean
}

/// Joins the parts of a key. `head` is namespace, function and version, already readable.
#[must_use]
pub fn key_text(head: &str, partition: Option<&str>, digest: &Digest) -> String {
    let mut key = String::with_capacity(head.len() + 34 + partition.map_or(0, |p| p.len() + 1));
    if head.len() > MAX_HEAD_CHARS {
        key.push_str(&readable(head, MAX_HEAD_CHARS));
    } else {
        key.push_str(head);
    }
    if let Some(partition) = partition {
        key.push(':');
        key.push_str(&readable(partition, MAX_PARTITION_CHARS));
    }
    key.push(':');
    key.push_str(&digest.text());
    key
}

#[cfg(test)]
mod tests {
    use super::{MAX_KEY_CHARS, key_text};
    use crate::key::Digest;

    #[test]
    fn keys_are_short_and_clean() {
        let key = key_text(&"m".repeat(400), Some("a b\n\u{e9}*"), &Digest::of(b"x"));
        assert!(key.len() <= MAX_KEY_CHARS);
        assert!(key.bytes().all(|b| b.is_ascii_graphic()));
        assert!(key.contains(":a_b__*:"));
    }
}
