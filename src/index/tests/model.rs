//! The rules of `slots` in every interleaving, and with all that acquire and release allow.
//!
//! A writer's COMMIT sets his bit in `data`. A fill reads its generation, then the data, and keeps both.
//! What must never be: an entry that is valid although it lacks the bit of somebody whose COMMIT
//! is known, or who has opened.

mod careless;

use crate::index::slots::{Slots, Word, drawn_at, stamp};
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread::spawn;

/// Long after 2020.
const START: i64 = 1_800_000_000_000;
const TIMEOUT: i64 = 10;
const LATER: i64 = START + 2 * TIMEOUT;

/// How the model reads. Loom lets a load return whatever acquire and release allow, but of several loads it
/// remembers the last one only, and so leaves out schedules in which a write comes between them. As
/// writes of nothing it tries them all, with the newest value. So each model runs both ways.
#[derive(Clone, Copy)]
enum Reads {
    Weak,
    Ordered,
}

struct Number(AtomicU64, Reads);

impl Word for Number {
    fn load(&self) -> u64 {
        match self.1 {
            Reads::Weak => self.0.load(Ordering::Acquire),
            Reads::Ordered => self.0.fetch_add(0, Ordering::AcqRel),
        }
    }

    fn replace(&self, seen: u64, new: u64) -> bool {
        self.0.compare_exchange(seen, new, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

struct Model {
    generations: [Number; 2],
    cells: Vec<Number>,
    wide: Number,
    floor: Number,
    data: Number,
    /// The generation and the data of the last fill.
    entry: Mutex<Option<(u64, u64)>>,
}

/// The slot that it is all about.
const SLOT: u32 = 0;
/// Another one of its bucket.
const NEIGHBOUR: u32 = 1;

impl Model {
    fn new(reads: Reads, cells: usize) -> Arc<Self> {
        let number = || Number(AtomicU64::new(0), reads);
        Arc::new(Self {
            generations: [number(), number()],
            cells: (0..cells).map(|_| number()).collect(),
            wide: number(),
            floor: number(),
            data: number(),
            entry: Mutex::new(None),
        })
    }

    fn slots(&self) -> Slots<'_, Number> {
        Slots {
            generations: &self.generations,
            cells: &self.cells,
            bucket: self.cells.len(),
            wide: &self.wide,
            floor: &self.floor,
        }
    }

    fn close(&self, writer: u64, now: i64) -> Option<u64> {
        self.slots().close(SLOT, now + TIMEOUT, writer, now)
    }

    fn commit(&self, writer: u64) {
        self.data.0.fetch_or(writer, Ordering::AcqRel);
    }

    fn open(&self, cell: Option<u64>, now: i64) {
        self.slots().open(SLOT, cell.into_iter(), now);
    }

    fn write(&self, writer: u64, now: i64) {
        let cell = self.close(writer, now);
        self.commit(writer);
        self.open(cell, now);
    }

    fn fill(&self, now: i64) {
        if let Some(generation) = self.slots().read(SLOT, now) {
            self.store(generation);
        }
    }

    fn store(&self, generation: u64) {
        let data = self.data.load();
        *self.entry.lock().unwrap() = Some((generation, data));
    }

    /// A fill of somebody who goes on seeing what was there at `since`.
    fn fill_from_snapshot(&self, since: i64, now: i64) {
        let data = self.data.load();
        if let Some(generation) = self.slots().read(SLOT, now)
            && drawn_at(generation) < since
        {
            *self.entry.lock().unwrap() = Some((generation, data));
        }
    }

    /// Whether a reader who had a snapshot before `LATER` would store under this, and be believed.
    fn deceives_snapshots(&self, read: u64) -> bool {
        drawn_at(read) < LATER && self.generations[SLOT as usize].load() == read
    }

    /// A hit by somebody who knows of these COMMITs.
    fn hit(&self, known: u64) {
        let entry = *self.entry.lock().unwrap();
        if let Some((generation, data)) = entry
            && self.generations[SLOT as usize].load() == generation
        {
            assert_eq!(data & known, known, "stale");
        }
    }

    /// A hit by somebody who has just read the data himself.
    fn look_and_hit(&self, writers: u64) {
        let known = self.data.load();
        self.hit(known & writers);
    }
}

/// Every schedule with at most so many preemptions, or with `CACHE_RESULT_TEST_PREEMPTIONS`. Two who break
/// a rule take four to be caught.
fn check(preemptions: usize, model: impl Fn(Reads) + Clone + Send + Sync + 'static) {
    let asked = std::env::var("CACHE_RESULT_TEST_PREEMPTIONS");
    let preemptions = asked.map_or(preemptions, |asked| asked.parse().expect("a number"));
    // An old value is as good as a preemption.
    for (reads, preemptions) in [(Reads::Ordered, preemptions), (Reads::Weak, preemptions - 1)] {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        let model = model.clone();
        builder.check(move || model(reads));
    }
}

/// Runs both at once.
fn race(model: &Arc<Model>, one: impl FnOnce(&Model) + 'static, other: impl FnOnce(&Model)) {
    let there = Arc::clone(model);
    let thread = spawn(move || one(&there));
    other(model);
    thread.join().unwrap();
}

#[test]
fn a_fill_that_races_a_writer() {
    check(4, |reads| {
        let model = Model::new(reads, 2);
        let reader = Arc::clone(&model);
        let reader = spawn(move || reader.look_and_hit(1));
        race(&model, |model| model.write(1, START), |model| model.fill(START));
        reader.join().unwrap();
        model.hit(1);
    });
}

#[test]
fn a_fill_from_a_snapshot_that_races_a_writer() {
    check(4, |reads| {
        let model = Model::new(reads, 1);
        race(
            &model,
            |model| {
                let cell = model.close(1, START);
                model.commit(1);
                model.open(cell, START + 2);
            },
            |model| {
                model.fill_from_snapshot(START + 1, START + 2);
                model.look_and_hit(1);
            },
        );
        model.hit(1);
    });
}

fn two_writers(cells: usize) {
    check(3, move |reads| {
        let model = Model::new(reads, cells);
        let second = Arc::clone(&model);
        let second = spawn(move || second.write(2, START));
        race(
            &model,
            |model| model.write(1, START),
            |model| {
                model.fill(START);
                model.look_and_hit(3);
            },
        );
        second.join().unwrap();
        model.hit(3);
        // Whatever cell they had to share is gone in time.
        model.fill(LATER);
        assert_eq!(model.entry.lock().unwrap().unwrap().1, 3);
        model.hit(3);
    });
}

#[test]
fn a_fill_that_races_two_writers() {
    two_writers(2);
}

#[test]
fn a_fill_that_races_two_writers_who_share_a_cell() {
    two_writers(1);
}

/// Both have closed. What one opens stays closed for the other.
fn two_writers_who_have_closed(cells: usize) {
    check(4, move |reads| {
        let model = Model::new(reads, cells);
        let (first, second) = (model.close(1, START), model.close(2, START));
        let there = Arc::clone(&model);
        let thread = spawn(move || {
            there.commit(2);
            there.open(second, START);
        });
        let finish = move |model: &Model| {
            model.commit(1);
            model.open(first, START);
        };
        race(&model, finish, |model| {
            model.fill(START);
            model.look_and_hit(3);
        });
        thread.join().unwrap();
        model.hit(3);
    });
}

#[test]
fn a_fill_that_races_two_openings() {
    two_writers_who_have_closed(2);
}

#[test]
fn a_fill_that_races_two_openings_of_a_shared_cell() {
    two_writers_who_have_closed(1);
}

#[test]
fn a_writer_who_finds_the_bucket_full() {
    check(4, |reads| {
        let model = Model::new(reads, 1);
        model.slots().put(NEIGHBOUR, LATER + TIMEOUT, 4, START).unwrap();
        race(
            &model,
            |model| model.write(1, START),
            |model| {
                model.fill(START);
                model.look_and_hit(1);
            },
        );
        model.hit(1);
        // Two come when the table opens: neither has a generation from before that.
        let generations = |model: &Model| {
            let read = model.slots().read(SLOT, LATER).unwrap();
            assert!(!model.deceives_snapshots(read));
            model.store(read);
        };
        race(&model, generations, generations);
        model.hit(1);
    });
}

/// The first writer is slow, or dead, and the second takes his cell. What the first commits after his
/// time may be missed until he opens, and not longer.
#[test]
fn a_writer_whose_time_is_over() {
    check(3, |reads| {
        let model = Model::new(reads, 1);
        let cell = model.close(1, START);
        let second = Arc::clone(&model);
        let second = spawn(move || second.write(2, LATER));
        race(
            &model,
            move |model| {
                model.commit(1);
                model.open(cell, LATER);
            },
            |model| {
                if let Some(generation) = model.slots().read(SLOT, LATER) {
                    assert!(!model.deceives_snapshots(generation));
                    model.store(generation);
                }
                model.look_and_hit(2);
            },
        );
        second.join().unwrap();
        model.hit(3);
    });
}

/// A writer who dies after `steps` of closing, COMMIT and opening, beside a fill; and two fills, once his
/// time is over.
#[test]
fn a_writer_who_is_killed() {
    for steps in 1..=5 {
        check(4, move |reads| {
            let model = Model::new(reads, 1);
            let doomed = move |model: &Model| {
                let slots = model.slots();
                let cell = slots.put(SLOT, START + TIMEOUT, 1, START).unwrap();
                for step in 2..=steps {
                    match step {
                        2 | 4 => slots.renew(SLOT, START),
                        3 => model.commit(1),
                        _ => slots.clear(SLOT, cell),
                    }
                }
            };
            race(&model, doomed, |model| {
                model.fill(START);
                model.look_and_hit(1);
            });
            let known = model.data.load();
            model.hit(known);
            let late = move |model: &Model| {
                let read = model.slots().read(SLOT, LATER).unwrap();
                assert!(steps == 5 || !model.deceives_snapshots(read));
                model.store(read);
            };
            race(&model, late, late);
            model.hit(known);
        });
    }
}

/// `clear()` raises the floor before it changes the epoch, which a fill reads before the generations.
#[test]
fn a_fill_that_races_a_clear() {
    check(4, |reads| {
        let model = Model::new(reads, 1);
        let epoch = Arc::new(AtomicU64::new(0));
        let there = Arc::clone(&epoch);
        race(
            &model,
            move |model| {
                model.slots().raise_floor(START);
                there.store(1, Ordering::Release);
            },
            |model| {
                let before = epoch.load(Ordering::Acquire);
                let read = model.slots().read(SLOT, START).unwrap();
                assert!(before == 0 || read >= stamp(START));
            },
        );
    });
}
