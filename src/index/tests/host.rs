//! The file: what is taken, what is refused, and what happens when it goes.

use super::{Directory, fence, holds, is_closed, scope, soon};
use crate::clock;
use crate::index::{Generations, Table};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};

/// What is said of the file `index`.
fn refusal(directory: &Directory) -> String {
    let path = directory.path("index");
    let error = Table::host(&path).err().expect("it is refused").to_string();
    let expected = Table::refusal(&path).expect("this shows without making it");
    assert_eq!(error, expected.to_string());
    assert!(error.contains(path.to_str().unwrap()), "{error}");
    error
}

#[test]
fn it_is_made_whole_and_for_this_user_alone() {
    let directory = Directory::new();
    let path = directory.path("index");
    assert!(Table::refusal(&path).is_none());
    assert!(directory.names().is_empty());
    let table = Table::host(&path).unwrap();
    assert!(Table::refusal(&path).is_none());
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    assert_eq!(metadata.nlink(), 1);
    assert!(metadata.blocks() * 512 >= metadata.len(), "a page without room would kill");
    assert_eq!(directory.names(), ["index"]);
    let entry = fence(&table, &[scope(1)]).unwrap();
    assert!(holds(&table, &entry));
    assert_eq!(table.trouble(), None);

    let other = Table::host(&path).unwrap();
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

    drop(Table::host(&path).unwrap());
    directory.chmod("index", 0o640);
    assert!(refusal(&directory).contains("others may use it (mode 640)"));
    directory.chmod("index", 0o600);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    file.write_all_at(&7_u64.to_ne_bytes(), 8).unwrap();
    assert!(refusal(&directory).contains("version 7, ours is 1"));
    file.write_all_at(&1_u64.to_ne_bytes(), 8).unwrap();
    file.set_len(length + 1).unwrap();
    assert!(refusal(&directory).contains("bytes"));
    file.set_len(length).unwrap();
    drop(Table::host(&path).unwrap());

    // As root only can one try what others own.
    if std::os::unix::fs::chown(&path, Some(12_345), None).is_ok() {
        assert!(refusal(&directory).contains("user 12345 owns it"));
    }
}

#[test]
fn no_symbolic_link_is_followed() {
    let directory = Directory::new();
    drop(Table::host(&directory.path("real")).unwrap());
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
    assert!(Table::host(&directory.path("missing/index")).is_err());
    directory.chmod(".", 0o777);
    assert!(refusal(&directory).contains("others can write to its directory"));
    assert!(directory.names().is_empty());
    directory.chmod(".", 0o1777);
    assert!(Table::host(&directory.path("index")).is_ok());
}

#[test]
fn a_deleted_file_is_made_anew() {
    let directory = Directory::new();
    let path = directory.path("index");
    let (table, other) = (Table::host(&path).unwrap(), Table::host(&path).unwrap());
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
    let table = Table::host(&path).unwrap();
    for act in [
        |table: &Table| table.renew(&scope(1)),
        |table: &Table| table.close(&scope(1), 1, soon()),
        |table: &Table| table.open(&scope(1), 1),
        Table::clear,
        |table: &Table| assert!(is_closed(table, 1)),
    ] {
        let before = table.epoch();
        let other = Table::host(&directory.path("other")).unwrap();
        let entry = fence(&other, &[scope(1)]).unwrap();
        fs::rename(directory.path("other"), &path).unwrap();
        act(&table);
        assert_ne!(table.epoch(), before);
        // It is in the new one, and what that had from before is void.
        assert_eq!(Table::host(&path).unwrap().epoch(), table.epoch());
        assert!(!holds(&other, &entry));
    }
}

#[test]
fn while_there_is_no_file_nothing_is_stored() {
    let directory = Directory::new();
    fs::create_dir(directory.path("in")).unwrap();
    directory.chmod("in", 0o700);
    let path = directory.path("in/index");
    let table = Table::host(&path).unwrap();
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
    let other = Table::host(&path).unwrap();
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
    let table = Table::host(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "shop").unwrap();
    directory.chmod("index", 0o600);
    table.renew(&scope(1));
    assert!(table.trouble().is_some_and(|reason| reason.contains("no table")));
    assert_eq!(fs::read(&path).unwrap(), b"shop");
    assert!(is_closed(&table, 1));
}
