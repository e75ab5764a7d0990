//! A table in memory of this process.

use super::{fence, holds, is_closed, scope, soon};
use crate::clock;
use crate::index::slots::{self, BUCKET, drawn_at};
use crate::index::{Generations, ProcessIndex, Table, Token};

#[test]
fn a_generation_stays_until_renewed() {
    let table = Table::private();
    let scopes = [scope(1), scope(2), scope(3)];
    let entry = fence(&table, &scopes).unwrap();
    assert!(holds(&table, &entry));
    table.renew(&scope(4));
    assert!(holds(&table, &entry));
    table.renew(&scopes[1]);
    assert!(!holds(&table, &entry));
    assert!(holds(&table, &fence(&table, &scopes).unwrap()));
}

#[test]
fn generations_grow_and_never_come_again() {
    let table = Table::private();
    let slots = table.region().memory().slots();
    let mut last = table.generation(1);
    for round in 0..100_000 {
        // Whatever the clock does.
        slots.renew(1, clock::now_ms() - round % 3 * 1000);
        let next = table.generation(1);
        assert!(next > last);
        last = next;
    }
}

#[test]
fn tokens_are_generations_with_their_time() {
    let table = Table::private();
    let before = clock::now_ms();
    table.renew(&scope(1));
    let generation = table.generation(1);
    let token = Table::token(1, generation);
    assert!((before..=clock::now_ms()).contains(&token.drawn_at()));
    assert_eq!(Table::generation_of(&token), generation);
    assert_eq!(table.get(&scope(1)), Some(token));
    let untouched = Table::token(2, 0);
    assert_ne!(untouched, Table::token(3, 0), "another scope");
    assert_eq!(Table::generation_of(&untouched), 0);
    assert!(untouched.number() != 0 && !untouched.is_closed() && untouched.drawn_at() < before);
    for foreign in [Token::closed(), Token::fresh(), Token([0; 16]), Token([255; 16])] {
        assert_eq!(Table::generation_of(&foreign), u64::MAX);
    }
}

#[test]
fn a_closed_scope_opens_when_its_last_writer_is_done() {
    let table = Table::private();
    let before = fence(&table, &[scope(7)]).unwrap();
    table.close(&scope(7), 1, soon());
    assert!(!holds(&table, &before));
    table.close(&scope(7), 2, soon());
    table.open(&scope(7), 1);
    assert!(table.get(&scope(7)).is_some_and(|token| token.is_closed()));
    // Its neighbours are not closed.
    assert!(!is_closed(&table, 6) && !is_closed(&table, 7 + 64));
    table.open(&scope(7), 2);
    assert!(holds(&table, &fence(&table, &[scope(7)]).unwrap()));
}

#[test]
fn two_scopes_of_one_slot_are_opened_one_by_one() {
    let table = Table::private();
    let mut twin = scope(7);
    twin.0[15] = 1;
    table.close(&scope(7), 1, soon());
    table.close(&twin, 1, soon());
    table.open(&twin, 1);
    assert!(is_closed(&table, 7));
    table.open(&scope(7), 1);
    assert!(!is_closed(&table, 7));
}

#[test]
fn times_that_make_no_sense_do_no_harm() {
    let table = Table::private();
    table.close(&scope(7), 1, i64::MIN);
    assert!(!is_closed(&table, 7));
    table.close(&scope(7), 1, i64::MAX);
    assert!(is_closed(&table, 7));
    table.open(&scope(7), 1);
    assert!(!is_closed(&table, 7));
}

/// After any part of a closing that its writer did not live to finish: the scope is closed as long as
/// he may be alive, and then has a generation from after his death.
#[test]
fn whatever_a_killed_writer_leaves_ends_with_its_time() {
    for steps in 0..4 {
        let table = Table::private();
        let slots = table.region().memory().slots();
        let now = clock::now_ms();
        let before = slots.read(7, now).unwrap();
        let cell = slots.put(7, now + 5000, 1, now).unwrap();
        assert_eq!(table.generation(7), before);
        for step in 0..steps {
            match step {
                0 | 1 => slots.renew(7, now), // of his closing, of his opening
                _ => slots.clear(7, cell),
            }
        }
        let opened = steps == 3;
        assert_eq!(slots.read(7, now).is_some(), opened);
        assert_eq!(slots.read(7, now + 4999).is_some(), opened);
        let after = slots.read(7, now + 5000).unwrap();
        assert!(opened || drawn_at(after) == now + 5000);
        assert_eq!(slots.read(7, now + 9000), Some(after));
    }
}

#[test]
fn a_writer_who_was_taken_for_dead_does_not_open_for_another() {
    let table = Table::private();
    let slots = table.region().memory().slots();
    let now = clock::now_ms();
    let fill = |first| (first..first + 8).map(|tag| slots.put(7, now + 10, tag, now)).collect();
    let stopped: Vec<Option<u64>> = fill(1);
    let later = now + 20;
    for tag in 11..19 {
        // All take over the cells of those who stopped, one of them at the very same deadline.
        assert!(slots.put(7, later + 5000, tag, later).is_some());
    }
    slots.open(7, stopped.into_iter().flatten(), later);
    assert!((0..8).all(|_| slots.read(7, later + 4999).is_none()));
    assert!(slots.read(7, later + 5000).is_some_and(|found| drawn_at(found) == later + 5000));
}

#[test]
fn who_takes_over_a_cell_renews_the_slot_of_the_dead() {
    let table = Table::private();
    let slots = table.region().memory().slots();
    let now = clock::now_ms();
    for tag in 1..=8 {
        slots.close(7, now + 10, tag, now).unwrap();
    }
    let later = now + 20;
    // Nothing but the generation will tell that this slot was ever closed.
    for tag in 11..=18 {
        slots.close(6, later + 5000, tag, later).unwrap();
    }
    assert!(slots.read(7, later).is_some_and(|found| drawn_at(found) == later));
}

#[test]
fn too_many_writers_of_one_scope_share_a_cell() {
    // The ninth has more time than the others, or the very same.
    for time in [200, 100] {
        let table = Table::private();
        let slots = table.region().memory().slots();
        let now = clock::now_ms();
        let cells: Vec<u64> =
            (1..=8).map(|tag| slots.put(7, now + 100, tag, now).unwrap()).collect();
        assert_eq!(cells.len(), BUCKET);
        assert_eq!(slots.close(7, now + time, 9, now), None);
        slots.open(7, cells.into_iter(), now);
        slots.open(7, std::iter::empty(), now);
        assert_eq!(slots.read(7, now + time - 1), None);
        // Nobody else notices.
        assert!(slots.read(6, now).is_some());
        assert!(slots.read(7, now + time).is_some_and(|found| drawn_at(found) == now + time));
    }
}

#[test]
fn a_full_bucket_closes_the_table_for_a_while() {
    let table = Table::private();
    let slots = table.region().memory().slots();
    let now = clock::now_ms();
    for slot in 0..8 {
        assert!(slots.put(slot, now + 100, 1, now).is_some());
    }
    assert_eq!(slots.close(8, now + 200, 1, now), None);
    assert_eq!(slots.read(5000, now), None);
    assert_eq!(slots.read(8, now + 199), None);
    for slot in [8, 5000, 0] {
        let opened = slots.read(slot, now + 200).unwrap();
        assert!(drawn_at(opened) >= now + 200);
        assert_eq!(slots.read(slot, now + 300), Some(opened));
    }
}

#[test]
fn clearing_changes_every_generation() {
    let table = Table::private();
    let entry = fence(&table, &[scope(1), scope(2)]).unwrap();
    let tokens = [table.get(&scope(1)), table.get(&scope(2))];
    for _ in 0..3 {
        let (before, epoch) = (table.ensure(&scope(1)), table.epoch());
        table.clear();
        assert_ne!(table.epoch(), epoch);
        assert_ne!(table.ensure(&scope(1)), before);
        assert_ne!(table.ensure(&scope(2)), before);
        assert!(!holds(&table, &entry));
        assert!(holds(&table, &fence(&table, &[scope(1), scope(2)]).unwrap()));
    }
    assert!(!tokens.contains(&table.get(&scope(1))));
}

#[test]
fn the_same_word_twice_is_two_closings() {
    let table = Table::private();
    let slots = table.region().memory().slots();
    let now = clock::now_ms();
    let cells = [slots.put(7, now + 100, 5, now), slots.put(7, now + 100, 5, now)];
    assert_eq!(cells[0], cells[1]);
    slots.open(7, cells[0].into_iter(), now);
    assert_eq!(slots.read(7, now), None);
    slots.open(7, cells[1].into_iter(), now);
    assert!(slots.read(7, now).is_some());
}

#[test]
fn tags_are_never_that_of_a_shared_cell() {
    assert!((0..1 << 17).all(|number| (1..1 << 16).contains(&slots::tag(number))));
}

#[test]
fn the_first_of_a_burst_of_changes_is_noted() {
    const WINDOW: i64 = 60_000;
    let indexes: [Box<dyn Generations>; 2] =
        [Box::new(Table::private()), Box::new(ProcessIndex::new(100))];
    for index in indexes {
        let (one, other) = (scope(1), scope(2));
        let first = index.ensure(&one);
        assert_eq!(index.replaced_at(&one, &first), None);
        let before = clock::now_ms();
        index.note(&one, WINDOW);
        index.renew(&one);
        let noted = index.replaced_at(&one, &first).unwrap();
        assert!((before..=clock::now_ms()).contains(&noted));
        let second = index.ensure(&one);
        assert_eq!(index.replaced_at(&one, &second), None);
        // While that is of use, what comes next is not noted; afterwards it is.
        index.note(&one, WINDOW);
        index.renew(&one);
        assert_eq!(index.replaced_at(&one, &first), Some(noted));
        let third = index.ensure(&one);
        index.note(&one, 0);
        index.renew(&one);
        assert_eq!(index.replaced_at(&one, &first), None);
        assert!(index.replaced_at(&one, &third).is_some());
        assert_eq!(index.replaced_at(&other, &third), None);
    }
}
