//! A table in memory of this process.

use super::Table;
use crate::clock;
use crate::index::{Generations, ScopeId, Token};

fn soon() -> i64 {
    clock::now_ms() + 60_000
}

/// Scopes of one slot, or of one bucket.
fn scope(slot: u32, number: u8) -> ScopeId {
    let mut id = [number; 16];
    id[..4].copy_from_slice(&slot.to_le_bytes());
    ScopeId(id)
}

/// What a fill keeps, if it may store.
fn fence(table: &Table, scopes: &[ScopeId]) -> Option<(u64, Vec<(u32, u64)>)> {
    let epoch = table.epoch();
    let fence = scopes.iter().map(|scope| {
        let token = table.ensure(scope);
        (!token.is_closed()).then(|| (table.slot(scope), Table::generation_of(&token)))
    });
    Some((epoch, fence.collect::<Option<_>>()?))
}

fn holds(table: &Table, (epoch, fence): &(u64, Vec<(u32, u64)>)) -> bool {
    table.holds(*epoch, fence, clock::now_ms())
}

#[test]
fn a_generation_stays_until_renewed() {
    let table = Table::private();
    let scopes = [scope(1, 0), scope(2, 0), scope(3, 0)];
    let entry = fence(&table, &scopes).unwrap();
    assert!(holds(&table, &entry));
    table.renew(&scope(4, 0));
    assert!(holds(&table, &entry));
    table.renew(&scopes[1]);
    assert!(!holds(&table, &entry));
    assert!(holds(&table, &fence(&table, &scopes).unwrap()));
}

#[test]
fn generations_grow_and_never_come_again() {
    let table = Table::private();
    let mut last = table.generation(1);
    for _ in 0..100_000 {
        table.renew(&scope(1, 0));
        let next = table.generation(1);
        assert!(next > last);
        last = next;
    }
}

#[test]
fn tokens_are_generations_with_their_time() {
    let table = Table::private();
    let before = clock::now_ms();
    table.renew(&scope(1, 0));
    let generation = table.generation(1);
    let token = Table::token(1, generation);
    assert!((before..=clock::now_ms()).contains(&token.drawn_at()));
    assert_eq!(Table::generation_of(&token), generation);
    assert_eq!(table.get(&scope(1, 0)), Some(token));
    let untouched = Table::token(2, 0);
    assert_eq!(Table::generation_of(&untouched), 0);
    assert_ne!(untouched, Table::token(3, 0), "another scope");
    assert!(untouched.number() != 0 && !untouched.is_closed() && untouched.drawn_at() < before);
    for foreign in [Token::closed(), Token::fresh(), Token([0; 16]), Token([255; 16])] {
        assert_eq!(Table::generation_of(&foreign), u64::MAX);
    }
}

#[test]
fn a_closed_scope_opens_when_its_last_writer_is_done() {
    let table = Table::private();
    let scope = scope(7, 0);
    let before = fence(&table, &[scope]).unwrap();
    table.close(&scope, 1, soon());
    assert!(!holds(&table, &before));
    table.close(&scope, 2, soon());
    table.open(&scope, 1);
    assert!(table.get(&scope).is_some_and(|token| token.is_closed()));
    table.open(&scope, 2);
    assert!(holds(&table, &fence(&table, &[scope]).unwrap()));
}
