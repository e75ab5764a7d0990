//! The model sees what goes wrong when an order is swapped.

use super::{Model, SLOT, START, TIMEOUT, check, race};
use crate::index::slots::Word;

#[test]
#[should_panic(expected = "stale")]
fn renewing_before_the_cell_is_put() {
    check(4, |reads| {
        let model = Model::new(reads, 1);
        race(
            &model,
            |model| {
                model.slots().renew(SLOT, START);
                let cell = model.slots().put(SLOT, START + TIMEOUT, 1, START);
                model.commit(1);
                model.open(cell, START);
            },
            |model| {
                model.fill(START);
                model.look_and_hit(1);
            },
        );
    });
}

#[test]
#[should_panic(expected = "stale")]
fn clearing_before_the_slot_is_renewed() {
    check(4, |reads| {
        let model = Model::new(reads, 1);
        race(
            &model,
            |model| {
                let cell = model.close(1, START).unwrap();
                model.commit(1);
                model.slots().clear(SLOT, cell);
                model.slots().renew(SLOT, START + 2);
            },
            |model| {
                model.fill_from_snapshot(START + 1, START + 2);
                model.look_and_hit(1);
            },
        );
    });
}

#[test]
#[should_panic(expected = "stale")]
fn looking_at_the_cells_before_the_generation() {
    check(4, |reads| {
        let model = Model::new(reads, 1);
        race(
            &model,
            |model| model.write(1, START),
            |model| {
                if model.slots().read(SLOT, START).is_some() {
                    model.store(model.generations[SLOT as usize].load());
                }
                model.look_and_hit(1);
            },
        );
    });
}
