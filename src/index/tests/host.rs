//! The file: what is taken, what is refused, and what happens when it goes.

use super::{Directory, fence, holds, host, is_closed, scope, soon};
use crate::clock;
use crate::index::host::HostFile;
use crate::index::{Generations, HostError, Place, Table, slots};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

fn refusal_of(path: &Path) -> Option<HostError> {
    Table::refusal(&Place { path: path.to_owned(), per_user: false })
}

/// What is said of the file `index`.
fn refusal(directory: &Directory) -> String {
    let path = directory.path("index");
    let error = host(&path).err().expect("it is refused").to_string();
    let expected = refusal_of(&path).expect("this shows without making it");
    assert_eq!(error, expected.to_string());
    assert!(error.contains(path.to_str().unwrap()), "{error}");
    error
}

#[test]
fn it_is_made_whole_and_for_this_user_alone() {
    let directory = Directory::new();
    let path = directory.path("index");
    assert!(refusal_of(&path).is_none());
    assert!(directory.names().is_empty());
    let table = host(&path).unwrap();
    assert!(refusal_of(&path).is_none());
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    assert_eq!(metadata.nlink(), 1);
    assert!(metadata.blocks() * 512 >= metadata.len(), "a page without room would kill");
    assert_eq!(directory.names(), ["index"]);
    let entry = fence(&table, &[scope(1)]).unwrap();
    assert!(holds(&table, &entry));
    assert_eq!(table.trouble(), None);

    let other = host(&path).unwrap();
    assert_eq!(other.epoch(), table.epoch());
    other.renew(&scope(1));
    assert!(!holds(&table, &entry));
    other.close(&scope(1), 1, soon());
    assert!(is_closed(&table, 1));
    // Another's closing, though its writer has the same number.
    table.open(&scope(1), 1);
    assert!(is_closed(&table, 1));
    other.open(&scope(1), 1);
    assert!(!is_closed(&table, 1));
}

/// Some systems, and some file systems, have no files without a name.
#[test]
fn it_is_made_in_either_way_and_never_in_place_of_another() {
    let directory = Directory::new();
    let opened = fs::File::open(directory.path(".")).unwrap();
    let path = directory.path("index");
    let file = HostFile::at(&path, None).unwrap();
    let named = || file.create_named(&opened).unwrap();
    let unnamed = || file.create_unnamed(&opened).map_or_else(named, Result::unwrap);
    for create in [&named as &dyn Fn(), &unnamed] {
        create();
        let table = host(&path).unwrap();
        create();
        assert_eq!(host(&path).unwrap().epoch(), table.epoch());
        assert_eq!(directory.names(), ["index"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn files_that_are_not_ours_are_refused_and_left_alone() {
    let directory = Directory::new();
    let path = directory.path("index");
    for content in [&b""[..], b"shop", &[0; 10_000]] {
        fs::write(&path, content).unwrap();
        directory.chmod("index", 0o600);
        assert!(refusal(&directory).contains("no table of cache_result"));
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refusal(&directory);
    fs::remove_dir(&path).unwrap();

    drop(host(&path).unwrap());
    directory.chmod("index", 0o640);
    assert!(refusal(&directory).contains("others may use it (mode 640)"));
    directory.chmod("index", 0o600);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    file.write_all_at(&7_u64.to_ne_bytes(), 8).unwrap();
    assert!(refusal(&directory).contains("version 7, ours is 2"));
    file.write_all_at(&2_u64.to_ne_bytes(), 8).unwrap();
    file.set_len(length + 1).unwrap();
    assert!(refusal(&directory).contains("bytes"));
    file.set_len(length).unwrap();
    drop(host(&path).unwrap());

    // As root only can one try what others own.
    if std::os::unix::fs::chown(&path, Some(12_345), None).is_ok() {
        assert!(refusal(&directory).contains("user 12345 owns it"));
    }
}

#[test]
fn no_symbolic_link_is_followed() {
    let directory = Directory::new();
    drop(host(&directory.path("real")).unwrap());
    for target in ["real", "nowhere"] {
        symlink(directory.path(target), directory.path("index")).unwrap();
        assert!(refusal(&directory).contains("symbolic link"));
        fs::remove_file(directory.path("index")).unwrap();
    }
    assert!(!directory.path("nowhere").exists());
}

#[test]
fn the_directory_has_to_be_there_and_safe() {
    let directory = Directory::new();
    assert!(host(&directory.path("missing/index")).is_err());
    directory.chmod(".", 0o777);
    assert!(refusal(&directory).contains("others can write to its directory"));
    assert!(directory.names().is_empty());
    directory.chmod(".", 0o1777);
    assert!(host(&directory.path("index")).is_ok());
}

#[test]
fn a_deleted_file_is_made_anew() {
    let directory = Directory::new();
    let path = directory.path("index");
    let (table, other) = (host(&path).unwrap(), host(&path).unwrap());
    let now = clock::now_ms();
    let (epoch, entry) = fence(&table, &[scope(1)]).unwrap();
    assert!(other.holds(epoch, &entry, now));
    fs::remove_file(&path).unwrap();
    assert!(other.holds(epoch, &entry, now));
    // A hit looks once a second.
    assert!(!table.holds(epoch, &entry, now + 2000));
    assert_ne!(table.epoch(), epoch);
    // The others learn of it at once, from the file that they still have.
    assert!(!other.holds(epoch, &entry, now));
    // A writer may have closed it in the old file: not before he is done or dead.
    assert!(is_closed(&other, 1) && is_closed(&table, 1));
    assert_eq!(other.epoch(), table.epoch());
    let slots = table.region().memory().slots();
    let later = clock::now_ms() + 11_000;
    let opened = slots.read(1, later).unwrap();
    assert!(Table::token(0, opened).drawn_at() >= later);
    assert_eq!(table.trouble(), None);
    assert_eq!(directory.names(), ["index"]);
}

#[test]
fn a_replaced_file_is_noticed_by_whoever_writes() {
    let directory = Directory::new();
    let path = directory.path("index");
    let table = host(&path).unwrap();
    for act in [
        |table: &Table| table.renew(&scope(1)),
        |table: &Table| table.close(&scope(1), 1, soon()),
        |table: &Table| table.open(&scope(1), 1),
        Table::clear,
        |table: &Table| assert!(is_closed(table, 1)),
    ] {
        let before = table.epoch();
        let other = host(&directory.path("other")).unwrap();
        let entry = fence(&other, &[scope(1)]).unwrap();
        fs::rename(directory.path("other"), &path).unwrap();
        act(&table);
        assert_ne!(table.epoch(), before);
        // It is in the new one, and what that had from before is void.
        assert_eq!(host(&path).unwrap().epoch(), table.epoch());
        assert!(!holds(&other, &entry));
    }
}

#[test]
fn while_there_is_no_file_nothing_is_stored() {
    let directory = Directory::new();
    fs::create_dir(directory.path("in")).unwrap();
    directory.chmod("in", 0o700);
    let path = directory.path("in/index");
    let table = host(&path).unwrap();
    let now = clock::now_ms();
    let (epoch, entry) = fence(&table, &[scope(1)]).unwrap();
    fs::remove_dir_all(directory.path("in")).unwrap();
    assert!(is_closed(&table, 1));
    assert!(!table.holds(epoch, &entry, now));
    assert!(table.trouble().is_some_and(|reason| reason.contains("open the directory")));
    table.close(&scope(1), 1, soon());
    table.open(&scope(1), 1);
    assert!(is_closed(&table, 1));

    fs::create_dir(directory.path("in")).unwrap();
    directory.chmod("in", 0o700);
    let other = host(&path).unwrap();
    let missed = fence(&other, &[scope(1)]).unwrap();
    assert!(holds(&other, &missed));
    // It is tried once a second, and then what could not be told is made up for.
    assert!(!table.holds(epoch, &entry, now + 2000));
    assert_eq!(table.trouble(), None);
    assert_eq!(table.epoch(), other.epoch());
    assert!(!holds(&other, &missed));
}

#[test]
fn a_file_that_is_refused_later_is_trouble() {
    let directory = Directory::new();
    let path = directory.path("index");
    let table = host(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "shop").unwrap();
    directory.chmod("index", 0o600);
    table.renew(&scope(1));
    assert!(table.trouble().is_some_and(|reason| reason.contains("no table")));
    assert_eq!(fs::read(&path).unwrap(), b"shop");
    assert!(is_closed(&table, 1));
}

/// Whether the slot is closed at `now` in the file that the table has.
fn is_closed_at(table: &Table, slot: u32, now: i64) -> bool {
    table.region().memory().slots().read(slot, now).is_none()
}

// Fails (a fill stores what a dead writer has changed) without `Slots::adopt`.
#[test]
fn what_was_closed_in_a_deleted_file_stays_so() {
    let directory = Directory::new();
    let path = directory.path("index");
    let (table, writer) = (host(&path).unwrap(), host(&path).unwrap());
    let now = clock::now_ms();
    // Longer than the grace of the new file; in one bucket, and in another; and more than a bucket has cells.
    for (slot, seconds) in [(1, 30), (2, 300), (100, 30)] {
        writer.close(&scope(slot), 1, now + seconds * 1000);
    }
    (0..9).for_each(|writer_of_many| writer.close(&scope(200), writer_of_many, now + 60_000));
    writer.close(&scope(3), 1, now + 30_000);
    writer.open(&scope(3), 1);
    drop(writer);
    fs::remove_file(&path).unwrap();
    drop(host(&path).unwrap()); // made by somebody who knew nothing of it
    table.renew(&scope(7));
    for at in [now + 11_000, now + 29_999] {
        assert!([1, 2, 100, 200].iter().all(|&slot| is_closed_at(&table, slot, at)));
    }
    for slot in [3, 5, 7] {
        assert!(!is_closed_at(&table, slot, now + 11_000));
    }
    let opened = table.region().memory().slots().read(1, now + 30_000).unwrap();
    assert_eq!(slots::drawn_at(opened), now + 30_000);
    assert!(!is_closed_at(&table, 100, now + 30_000));
    assert!(is_closed_at(&table, 2, now + 299_999) && !is_closed_at(&table, 2, now + 300_000));
    assert!(!is_closed_at(&table, 200, now + 60_000));
}

#[test]
fn everyone_takes_over_what_was_closed_once() {
    let directory = Directory::new();
    let path = directory.path("index");
    let all: Vec<Table> = (0..20).map(|_| host(&path).unwrap()).collect();
    let now = clock::now_ms();
    all[0].close(&scope(1), 1, now + 30_000);
    fs::remove_file(&path).unwrap();
    for table in &all {
        table.renew(&scope(7));
    }
    all[0].close(&scope(2), 1, now + 30_000);
    assert!((1..3).all(|slot| is_closed_at(&all[0], slot, now + 11_000)));
    // Or the bucket was full, and the whole table closed.
    assert!(!is_closed_at(&all[0], 3, now + 11_000));
}

#[test]
fn who_made_the_new_file_does_not_keep_what_was_closed_in_the_old_one() {
    // Whether or not it is still closed when somebody looks who knew the old one.
    who_made_the_new_file_and_a_closing_of(30_000);
    who_made_the_new_file_and_a_closing_of(15_000);
}

fn who_made_the_new_file_and_a_closing_of(millis: i64) {
    let directory = Directory::new();
    let path = directory.path("index");
    let (table, writer) = (host(&path).unwrap(), host(&path).unwrap());
    let now = clock::now_ms();
    let (epoch, entry) = fence(&table, &[scope(5)]).unwrap();
    writer.close(&scope(1), 1, now + millis);
    fs::remove_file(&path).unwrap();
    let new = host(&path).unwrap();
    let filled = fence(&new, &[scope(1)]).unwrap();
    // The writer commits, and is killed before he opens.
    drop(writer);
    assert!(holds(&new, &filled));
    // The grace is over by then.
    assert!(!table.holds(epoch, &entry, now + 20_000));
    assert!(!holds(&new, &filled));
    assert_eq!(is_closed_at(&new, 1, now + 20_000), millis > 20_000);
    assert!(!is_closed_at(&new, 1, now + 30_000));
}

#[test]
fn what_was_closed_stays_so_while_the_file_is_out_of_reach() {
    let directory = Directory::new();
    fs::create_dir(directory.path("in")).unwrap();
    directory.chmod("in", 0o700);
    let path = directory.path("in/index");
    let (table, writer) = (host(&path).unwrap(), host(&path).unwrap());
    let now = clock::now_ms();
    let (epoch, entry) = fence(&table, &[scope(5)]).unwrap();
    writer.close(&scope(1), 1, now + 30_000);
    fs::rename(directory.path("in"), directory.path("out")).unwrap();
    assert!(!table.holds(epoch, &entry, now + 2000));
    assert!(table.trouble().is_some());
    // The file is another one when there is one again.
    fs::create_dir(directory.path("in")).unwrap();
    directory.chmod("in", 0o700);
    assert!(!table.holds(epoch, &entry, now + 20_000));
    assert_eq!(table.trouble(), None);
    assert!(is_closed_at(&table, 1, now + 20_000) && !is_closed_at(&table, 2, now + 20_000));
}
