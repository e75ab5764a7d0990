//! The store against what it promises: no entry lost but by eviction, names and entries in step.

use super::{
    ENTRY_BYTES, Entry, Expected, Family, Fill, Key, KeyRef, NEVER, Store, TooLarge, name_of,
};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

const ROOM: u64 = 1 << 20;

fn entry(value: u32) -> Entry<u32> {
    Entry::new(value, 4, NEVER, None)
}

fn family(id: u64) -> Arc<Family> {
    Arc::new(Family { id: [id, id], view: 0, lineage: 0, version: 1 })
}

fn fill(family: &Arc<Family>, text: &str) -> Fill {
    Fill {
        family: Arc::clone(family),
        name: name_of(text.as_bytes()),
        cached_at: 0,
        expires_at: AtomicI64::new(NEVER),
        stale_ms: 0,
        fill_us: 0,
        epoch: 0,
        fence: Box::new([(1, 1)]),
        soft: 0,
        recorded: Box::default(),
    }
}

fn text(text: &str) -> Key {
    KeyRef::text(text.as_bytes()).to_key()
}

fn put(store: &Store<u32>, key: &Key, value: u32) {
    assert!(store.insert(key.clone(), entry(value), &Expected::Anything));
}

fn value(store: &Store<u32>, key: &Key) -> Option<u32> {
    store.find(key.as_ref()).map(|entry| entry.value)
}

#[test]
fn calls_and_texts_of_the_same_bytes_are_apart() {
    let store = Store::new(ROOM, None);
    let (one, two) = (family(1), family(2));
    let keys =
        [text("key"), KeyRef::call(&one, b"key").to_key(), KeyRef::call(&two, b"key").to_key()];
    for (value, key) in (0..).zip(&keys) {
        put(&store, key, value);
    }
    for (number, key) in (0..).zip(&keys) {
        assert_eq!(value(&store, key), Some(number));
    }
}

#[test]
fn a_call_is_found_by_the_text_of_its_key_until_it_is_gone() {
    let store = Store::new(ROOM, None);
    let family = family(1);
    let key = KeyRef::call(&family, b"call").to_key();
    let put = || {
        let entry = Entry::new(1, 4, NEVER, Some(fill(&family, "text")));
        assert!(store.insert(key.clone(), entry, &Expected::Anything));
    };
    let name = name_of(b"text");
    put();
    assert_eq!(
        store.named(name).map(|(found, entry)| (found, entry.value)),
        Some((key.clone(), 1))
    );
    store.remove(key.as_ref());
    assert!(store.named(name).is_none() && !store.has_names());
    put();
    store.clear();
    assert!(store.is_empty() && !store.has_names());
}

#[test]
fn a_call_that_another_plan_reads_replaces_the_old_one() {
    let store = Store::new(ROOM, None);
    let (old, new) = (family(1), family(2));
    for (value, family) in [(1, &old), (2, &new)] {
        let entry = Entry::new(value, 4, NEVER, Some(fill(family, "text")));
        store.insert(KeyRef::call(family, b"call").to_key(), entry, &Expected::Anything);
    }
    assert!(store.find(KeyRef::call(&old, b"call")).is_none());
    assert_eq!(store.named(name_of(b"text")).map(|(_, entry)| entry.value), Some(2));
}

#[test]
fn what_is_stored_on_a_condition_is_stored_only_then() {
    let store = Store::new(ROOM, None);
    let key = text("key");
    assert!(store.insert(key.clone(), entry(1), &Expected::Nothing { now: 0 }));
    assert!(!store.insert(key.clone(), entry(2), &Expected::Nothing { now: 0 }));
    let first = store.find(key.as_ref()).unwrap();
    assert!(store.insert(key.clone(), entry(3), &Expected::This(&first)));
    assert!(!store.insert(key.clone(), entry(4), &Expected::This(&first)));
    assert_eq!(value(&store, &key), Some(3));
    first.touch(5);
    store.find(key.as_ref()).unwrap().touch(5);
    assert!(store.insert(key.clone(), entry(6), &Expected::Nothing { now: 5 }));
}

#[test]
fn a_wrappers_entry_never_gets_a_later_end() {
    let ends_at_10 =
        Fill { expires_at: AtomicI64::new(10), stale_ms: 5, ..fill(&family(1), "text") };
    let entry = Entry::new(1, 4, 8, Some(ends_at_10));
    assert!(entry.is_quick(7) && !entry.is_quick(8) && !entry.is_over(9));
    entry.touch(20);
    assert!(entry.is_over(10) && !entry.is_gone(14) && entry.is_gone(15));
    entry.touch(5);
    assert!(entry.is_over(5) && !entry.is_over(4) && !entry.is_quick(5));
}

#[test]
fn the_bounds_hold_and_names_go_with_their_entries() {
    let family = family(1);
    let bytes = Store::new(ROOM, None);
    let few = Store::new(ROOM, Some(100));
    for number in 0..20_000_u32 {
        let text = number.to_string();
        let key = KeyRef::call(&family, text.as_bytes()).to_key();
        for store in [&bytes, &few] {
            let entry = Entry::new(number, 400, NEVER, Some(fill(&family, &text)));
            store.insert(key.clone(), entry, &Expected::Anything);
        }
    }
    assert!(bytes.weight() <= ROOM && bytes.len() > 500, "{} of {}", bytes.len(), bytes.weight());
    assert!(few.len() <= 100 && few.len() > 50, "{}", few.len());
    for store in [&bytes, &few] {
        assert_eq!(store.names.lock().len(), store.len());
    }
}

#[test]
fn a_scan_does_not_push_out_what_is_in_use() {
    let store = Store::new(ROOM, None);
    let used: Vec<Key> = (0..100).map(|number| text(&format!("used{number}"))).collect();
    for key in &used {
        put(&store, key, 1);
    }
    for number in 0..100_000 {
        if number % 100 == 0 {
            for key in &used {
                drop(store.find(key.as_ref()));
            }
        }
        put(&store, &text(&format!("scanned{number}")), 2);
    }
    let left = used.iter().filter(|key| value(&store, key).is_some()).count();
    assert!(left >= 95, "{left} of 100 are left");
}

#[test]
fn what_is_larger_than_its_share_is_not_stored() {
    let store = Store::new(ROOM, None);
    let key = text("key");
    put(&store, &key, 1);
    let large = Entry::new(2, 1 << 20, NEVER, None);
    let TooLarge { bytes, most } = store.takes(&key, &large).unwrap_err();
    assert!(bytes > 1 << 20 && most <= ROOM / 4);
    assert!(!store.insert(key.clone(), large, &Expected::Anything));
    assert_eq!(value(&store, &key), None, "the value that was to be replaced is gone");

    let largest = usize::try_from(most).unwrap() - ENTRY_BYTES - "key".len();
    for (size, fits) in [(largest, true), (largest + 1, false)] {
        let entry = Entry::new(3, size, NEVER, None);
        assert_eq!(store.takes(&key, &entry).is_ok(), fits);
        assert_eq!(store.insert(key.clone(), entry, &Expected::Anything), fits);
    }
}

#[test]
fn threads_leave_names_and_entries_in_step() {
    const KEYS: u32 = 64;
    let store = Store::new(ROOM, Some(40));
    let families = [family(1), family(2)];
    let act = |store: &Store<u32>, random: u32| {
        let (number, which, what) = (random % KEYS, random / KEYS % 2, random / KEYS / 2 % 16);
        let family = &families[which as usize];
        let text = number.to_string();
        let key = KeyRef::call(family, text.as_bytes()).to_key();
        match what {
            0..8 => {
                let entry = Entry::new(number, 0, NEVER, Some(fill(family, &text)));
                store.insert(key, entry, &Expected::Anything);
            }
            8..12 => {
                if let Some((found, entry)) = store.named(name_of(text.as_bytes())) {
                    assert_eq!((&*found.bytes, entry.value), (text.as_bytes(), number));
                }
            }
            12..15 => drop(store.remove(key.as_ref())),
            _ => {
                if let Some(entry) = store.find(key.as_ref()) {
                    store.remove_this(key.as_ref(), &entry);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for seed in 1..5_u32 {
            let (store, act) = (&store, &act);
            scope.spawn(move || {
                let mut random = seed;
                for round in 0..50_000 {
                    // Xorshift (Marsaglia 2003).
                    random ^= random << 13;
                    random ^= random >> 17;
                    random ^= random << 5;
                    act(store, random);
                    if round % 10_000 == 0 {
                        store.clear();
                    }
                }
            });
        }
    });
    let names = store.names.lock();
    assert!(!names.is_empty() && names.len() == store.len());
    for (name, key) in names.iter() {
        let entry = store.find(key.as_ref()).expect("a name leads to an entry");
        assert_eq!(entry.fill.as_ref().map(|fill| fill.name), Some(*name));
    }
}
