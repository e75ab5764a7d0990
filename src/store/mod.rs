//! The bounded store of an in-process cache: entries by key, the coldest evicted first.
//!
//! Lookups take one shard's read lock. Everything that changes the store takes one lock of its own
//! besides, so that reading and writing again is atomic, and what is evicted or replaced is dropped
//! after both are released: what it holds may run code of the user.

mod entry;
mod key;
#[cfg(test)]
mod tests;

pub use entry::{Entry, Fill, NEVER};
pub use key::{Family, Key, KeyRef, Name, name_of};

use ahash::RandomState;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};
use std::collections::HashMap;
use std::sync::Arc;

/// One entry may fill the hot part of a shard, not more.
const SHARDS: usize = 4;
/// How much of a shard that is.
const HOT: f64 = 0.97;
/// What an entry is taken to weigh on average, to size the memory of keys that were evicted.
const USUAL_WEIGHT: u64 = 1024;
/// Bytes that an entry takes beside its key and its value: the entry itself, its places in the map and in
/// the queues, and what the allocator adds. Measured, see `tests/slow/test_memory_weights.py`.
pub const ENTRY_BYTES: usize = 328;
/// Bytes that an entry of a wrapper takes besides: its fence, and its place among the names.
pub const FILL_BYTES: usize = 130;

type Entries<V> = Cache<Key, Arc<Entry<V>>, Weights, RandomState, Leaving>;

/// Entries, bounded by their weight. The policy is that of [`quick_cache`] (CLOCK-Pro with the ghosts of
/// S3-FIFO): a scan over keys that nobody asks for again does not push out those that are in use.
pub struct Store<V> {
    entries: Entries<V>,
    weights: Weights,
    /// Keys of calls by the hash of their text, and the lock of everything that changes the store.
    names: Mutex<HashMap<Name, Key, RandomState>>,
}

impl<V> Store<V> {
    /// A store for about `max_bytes` bytes. With `max_entries` every entry counts as at least so much
    /// that one more would be too many.
    ///
    /// # Panics
    /// Never: both capacities are given.
    #[must_use]
    pub fn new(max_bytes: u64, max_entries: Option<u64>) -> Self {
        let least = max_entries.map_or(1, |most| max_bytes / most.saturating_add(1) + 1);
        let expected = max_bytes / least.max(USUAL_WEIGHT);
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(usize::try_from(expected).unwrap_or(usize::MAX))
            .weight_capacity(max_bytes)
            .hot_allocation(HOT)
            .build()
            .expect("both capacities are set");
        let weights = Weights { least };
        let entries = Cache::with_options(options, weights.clone(), RandomState::new(), Leaving);
        Self { entries, weights, names: Mutex::default() }
    }

    /// Whether an entry is small enough to be stored. To insert one that is not removes what was there.
    pub fn takes(&self, key: &Key, entry: &Entry<V>) -> Result<(), TooLarge> {
        let bytes = self.weights.of(key, entry);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        #[allow(clippy::cast_precision_loss)]
        let most = (self.entries.shard_capacity() as f64 * HOT) as u64; // as `quick_cache` has it
        if bytes > most { Err(TooLarge { bytes, most }) } else { Ok(()) }
    }

    /// The entry under a key, whether or not its time is over.
    #[inline]
    #[must_use]
    pub fn find(&self, key: KeyRef<'_>) -> Option<Arc<Entry<V>>> {
        self.entries.get(&key)
    }

    /// The entry of the call whose key has this text.
    #[must_use]
    pub fn named(&self, name: Name) -> Option<(Key, Arc<Entry<V>>)> {
        let key = self.names.lock().get(&name).cloned()?;
        let entry = self.find(key.as_ref())?;
        Some((key, entry))
    }

    /// Whether there is any entry of a wrapper.
    #[must_use]
    pub fn has_names(&self) -> bool {
        !self.names.lock().is_empty()
    }

    /// Stores an entry, unless `instead_of` says what has to be there and something else is. Whether it
    /// is there now: one that is larger than a shard is not.
    pub fn insert(&self, key: Key, entry: Entry<V>, instead_of: &Expected<'_, V>) -> bool {
        let mut leaving = Left::default();
        let mut names = self.names.lock();
        let there = self.entries.peek(&key);
        let as_expected = match instead_of {
            Expected::Anything => true,
            Expected::Nothing { now } => there.as_ref().is_none_or(|there| there.is_over(*now)),
            Expected::This(expected) => {
                there.as_ref().is_some_and(|there| Arc::ptr_eq(there, *expected))
            }
        };
        if !as_expected {
            return false;
        }
        let entry = Arc::new(entry);
        let name = entry.fill.as_ref().map(|fill| fill.name);
        if let Some(before) = name.and_then(|name| names.remove(&name))
            && before != key
        {
            // The same call, read by another plan or under other rules.
            leaving.extend(self.entries.remove(&before));
        }
        self.entries.insert_with_lifecycle(key.clone(), Arc::clone(&entry), &mut leaving);
        for (key, entry) in &leaving {
            forget(&mut names, key, entry);
        }
        let stays = self.entries.peek(&key).is_some_and(|there| Arc::ptr_eq(&there, &entry));
        if let Some(name) = name
            && stays
        {
            names.insert(name, key);
        }
        drop(names);
        drop((there, leaving));
        stays
    }

    /// Removes the entry under a key, and returns it.
    pub fn remove(&self, key: KeyRef<'_>) -> Option<Arc<Entry<V>>> {
        let mut names = self.names.lock();
        let (key, entry) = self.entries.remove(&key)?;
        forget(&mut names, &key, &entry);
        drop(names);
        Some(entry)
    }

    /// Removes this very entry, if it is still there; whether it was.
    pub fn remove_this(&self, key: KeyRef<'_>, entry: &Arc<Entry<V>>) -> bool {
        let mut names = self.names.lock();
        let removed = self.entries.remove_if(&key, |there| Arc::ptr_eq(there, entry));
        if let Some((key, entry)) = &removed {
            forget(&mut names, key, entry);
        }
        drop(names);
        removed.is_some()
    }

    /// Removes everything.
    pub fn clear(&self) {
        let mut names = self.names.lock();
        let left: Vec<(Key, Arc<Entry<V>>)> = self.entries.drain().collect();
        names.clear();
        drop(names);
        drop(left);
    }

    /// Every entry and its key.
    pub fn iter(&self) -> impl Iterator<Item = (Key, Arc<Entry<V>>)> {
        self.entries.iter()
    }

    /// How many entries there are, those whose time is over included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What the entries weigh together.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.entries.weight()
    }
}

/// An entry weighs more bytes than one may at most.
#[derive(Debug)]
pub struct TooLarge {
    /// What it weighs.
    pub bytes: u64,
    /// What it may weigh.
    pub most: u64,
}

/// What has to be under a key for an entry to be stored there.
pub enum Expected<'a, V> {
    /// Whatever there is.
    Anything,
    /// Nothing, or what is over by now (ms).
    Nothing { now: i64 },
    /// This very entry.
    This(&'a Arc<Entry<V>>),
}

fn forget<V>(names: &mut HashMap<Name, Key, RandomState>, key: &Key, entry: &Entry<V>) {
    if let Some(fill) = &entry.fill
        && names.get(&fill.name) == Some(key)
    {
        names.remove(&fill.name);
    }
}

/// What entries weigh.
#[derive(Clone)]
struct Weights {
    least: u64,
}

impl Weights {
    fn of<V>(&self, key: &Key, entry: &Entry<V>) -> u64 {
        let fill = entry.fill.as_ref().map_or(0, |fill| {
            FILL_BYTES + size_of_val(&*fill.fence) + size_of_val(&*fill.recorded)
        });
        let bytes = ENTRY_BYTES + key.bytes.len() + entry.bytes + fill;
        self.least.max(bytes as u64)
    }
}

impl<V> Weighter<Key, Arc<Entry<V>>> for Weights {
    fn weight(&self, key: &Key, entry: &Arc<Entry<V>>) -> u64 {
        self.of(key, entry)
    }
}

type Left<V> = smallvec::SmallVec<[(Key, Arc<Entry<V>>); 4]>;

/// Gathers what is evicted or replaced, to be dropped by who asked.
#[derive(Clone)]
struct Leaving;

impl<V> Lifecycle<Key, Arc<Entry<V>>> for Leaving {
    type RequestState = Left<V>;

    fn on_evict(&self, left: &mut Left<V>, key: Key, entry: Arc<Entry<V>>) {
        left.push((key, entry));
    }
}
