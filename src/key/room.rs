//! Room for canonical bytes: in place for most calls, else kept from one long call to the next.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

thread_local! {
    /// The room of the last long call, for the next one.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Room that takes no allocation: enough for most calls.
const INLINE_BYTES: usize = 128;
/// The least room that is allocated.
const LEAST_BYTES: usize = 512;
/// Room beyond this is given back.
const SPARE_BYTES: usize = 16 * 1024;

/// Bytes to write to. What is in them at first has no meaning.
#[derive(Debug)]
pub enum Room {
    /// In place.
    Inline([u8; INLINE_BYTES]),
    /// Allocated.
    Heap(Vec<u8>),
}

impl Room {
    /// The least there is.
    #[inline]
    pub fn new() -> Self {
        Self::Inline([0; INLINE_BYTES])
    }

    /// Makes it at least `end` bytes; those that are there stay.
    #[cold]
    pub fn grow(&mut self, end: usize) {
        if let Self::Inline(short) = self {
            let mut bytes = SPARE.try_with(Cell::take).unwrap_or_default();
            if bytes.is_empty() {
                bytes.resize(LEAST_BYTES, 0);
            }
            bytes[..short.len()].copy_from_slice(short);
            *self = Self::Heap(bytes);
        }
        if let Self::Heap(bytes) = self
            && bytes.len() < end
        {
            bytes.resize(end.next_power_of_two(), 0);
        }
    }
}

impl Deref for Room {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Inline(bytes) => bytes,
            Self::Heap(bytes) => bytes,
        }
    }
}

impl DerefMut for Room {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Inline(bytes) => bytes,
            Self::Heap(bytes) => bytes,
        }
    }
}

impl Drop for Room {
    #[inline]
    fn drop(&mut self) {
        if let Self::Heap(bytes) = self {
            give_back(std::mem::take(bytes));
        }
    }
}

#[cold]
fn give_back(bytes: Vec<u8>) {
    if bytes.len() <= SPARE_BYTES {
        // At the end of a thread there is nowhere to keep it.
        let _ = SPARE.try_with(|spare| spare.set(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::{LEAST_BYTES, Room, SPARE, SPARE_BYTES};

    #[test]
    fn what_is_written_stays_when_it_grows() {
        let mut room = Room::new();
        let mut written = 0;
        while room.len() <= 2 * SPARE_BYTES {
            let len = room.len();
            room[written..].fill(u8::try_from(len.ilog2()).unwrap());
            let before = room.to_vec();
            room.grow(len + 1);
            assert!(room.len() > len);
            assert_eq!(room[..len], before);
            written = len;
        }
    }

    #[test]
    fn it_is_kept_for_the_next_unless_it_is_large() {
        let grown = |end| {
            let mut room = Room::new();
            room.grow(end);
            room.len()
        };
        SPARE.take();
        assert_eq!(grown(4 * LEAST_BYTES), 4 * LEAST_BYTES);
        assert_eq!(grown(200), 4 * LEAST_BYTES);
        assert_eq!(grown(2 * SPARE_BYTES), 2 * SPARE_BYTES);
        assert_eq!(grown(200), LEAST_BYTES);
    }
}
