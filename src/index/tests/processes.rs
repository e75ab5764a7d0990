//! Several real processes on one file. The children are this test program, told by lines what to do.

use super::{Directory, Fence, fence, holds, host, is_closed, scope, soon};
use crate::flight;
use crate::index::{Generations, Table};
use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const CHILD: &str = "CACHE_RESULT_TEST_INDEX";
const MARK: &str = "> ";

/// Another process that has the table.
struct Worker {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    fn start(path: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "index::tests::processes::work", "--nocapture"])
            .env(CHILD, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self { process, orders, answers }
    }

    fn tell(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }

    fn answer(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.answers.read_line(&mut line).unwrap(), 0, "the worker has died");
            // The test harness may have written the start of this line.
            if let Some((_, answer)) = line.split_once(MARK) {
                return answer.trim_end().to_owned();
            }
        }
    }

    fn ask(&mut self, order: &str) -> String {
        self.tell(order);
        self.answer()
    }
}

impl Drop for Worker {
    /// SIGKILL, at whatever it is doing.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a worker does; nothing where this is a test like the others.
#[test]
fn work() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let mut table: Option<Table> = None;
    let mut entry: Option<Fence> = None;
    for order in stdin().lines() {
        let order = order.unwrap();
        #[cfg(target_os = "linux")]
        if order == "die while it is made" {
            die_while_writing();
            continue;
        }
        if order == "map" {
            table = Some(host(Path::new(&path)).unwrap());
        }
        let table = table.as_ref().expect("the table is mapped first");
        match order.as_str() {
            "close" => table.close(&scope(7), 1, soon()),
            "open" => table.open(&scope(7), 1),
            "renew" => table.renew(&scope(7)),
            "clear" => table.clear(),
            "fill" => entry = fence(table, &[scope(7)]),
            "fork" => flight::forked(),
            // Until it is killed.
            "write" => (0..5_000_000).for_each(|round| {
                let scope = scope(round % 20);
                table.close(&scope, 1, soon());
                if round == 1000 {
                    writeln!(stdout(), "{MARK}writing").unwrap();
                }
                table.open(&scope, 1);
            }),
            _ => {}
        }
        let holds = entry.as_ref().is_some_and(|entry| holds(table, entry));
        writeln!(stdout(), "{MARK}{} {holds}", table.epoch()).unwrap();
    }
}

/// The kernel kills who writes more than he may. Here that is half of the file.
#[cfg(target_os = "linux")]
fn die_while_writing() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    for (what, most) in [(Resource::Core, 0), (Resource::Fsize, 4 << 20)] {
        setrlimit(what, Rlimit { current: Some(most), maximum: Some(most) }).unwrap();
    }
}

fn holds_there(answer: &str) -> bool {
    answer.ends_with("true")
}

#[test]
fn what_one_invalidates_is_invalid_in_all() {
    let directory = Directory::new();
    let path = directory.path("index");
    let table = host(&path).unwrap();
    let mut worker = Worker::start(&path);
    worker.ask("map");
    for (here, there) in [
        ((|table| table.renew(&scope(7))) as fn(&Table), "renew"),
        (|table| table.clear(), "clear"),
        (|table| (table.close(&scope(7), 1, soon()), table.open(&scope(7), 1)).1, "close"),
    ] {
        assert!(holds_there(&worker.ask("fill")));
        here(&table);
        assert!(!holds_there(&worker.ask("hit")));
        let entry = fence(&table, &[scope(7)]).unwrap();
        assert!(holds(&table, &entry));
        worker.ask(there);
        assert!(!holds(&table, &entry));
    }
    // Its closing lasts, whoever else opens.
    assert!(is_closed(&table, 7));
    table.open(&scope(7), 1);
    assert!(is_closed(&table, 7));
    worker.ask("open");
    assert!(!is_closed(&table, 7));
}

#[test]
fn a_forked_child_does_not_open_what_its_parent_closed() {
    let directory = Directory::new();
    let path = directory.path("index");
    let table = host(&path).unwrap();
    let mut worker = Worker::start(&path);
    for order in ["map", "close", "fork", "open"] {
        worker.ask(order);
    }
    assert!(is_closed(&table, 7));
}

#[test]
fn a_killed_writers_closing_ends_with_its_time() {
    let directory = Directory::new();
    let path = directory.path("index");
    let table = host(&path).unwrap();
    let mut worker = Worker::start(&path);
    worker.ask("map");
    worker.ask("close");
    drop(worker);
    assert!(is_closed(&table, 7));
    let later = soon();
    let slots = table.region().memory().slots();
    let opened = slots.read(7, later).unwrap();
    assert!(Table::token(0, opened).drawn_at() >= later);
    assert!(!is_closed(&table, 7));
    assert!(holds(&table, &fence(&table, &[scope(7)]).unwrap()));
}

#[test]
fn writers_killed_anywhere_leave_a_table_that_works() {
    let directory = Directory::new();
    let path = directory.path("index");
    let table = host(&path).unwrap();
    for _ in 0..4 {
        let mut workers: Vec<Worker> = (0..4).map(|_| Worker::start(&path)).collect();
        for worker in &mut workers {
            worker.tell("map");
            worker.tell("write");
        }
        for worker in &mut workers {
            while worker.answer() != "writing" {}
        }
        drop(workers);
    }
    let later = soon();
    let slots = table.region().memory().slots();
    // All of it first: until their time is over the dead may fill the bucket that these slots share.
    let opened: Vec<u64> = (0..20).map(|slot| slots.read(slot, later).unwrap()).collect();
    for (slot, opened) in (0..).zip(opened) {
        table.close(&scope(slot), 1, later + 60_000);
        assert_eq!(slots.read(slot, later), None);
        table.open(&scope(slot), 1);
        assert!(slots.read(slot, later).is_some_and(|found| found > opened));
    }
}

// Fails (half a file is left over) where the file has a name before it is whole.
#[cfg(target_os = "linux")]
#[test]
fn a_maker_who_is_killed_leaves_nothing() {
    use std::os::unix::process::ExitStatusExt;
    let directory = Directory::at("/dev/shm");
    let path = directory.path("index");
    let mut worker = Worker::start(&path);
    worker.tell("die while it is made");
    worker.tell("map");
    let status = worker.process.wait().unwrap();
    assert_eq!(status.signal(), Some(rustix::process::Signal::XFSZ.as_raw()));
    assert!(directory.names().is_empty());
    assert!(host(&path).is_ok());
}

#[test]
fn all_who_make_it_at_once_have_the_same() {
    for _ in 0..3 {
        let directory = Directory::new();
        let path = directory.path("index");
        let mut workers: Vec<Worker> = (0..6).map(|_| Worker::start(&path)).collect();
        for worker in &mut workers {
            worker.tell("map");
        }
        let epochs: Vec<String> = workers.iter_mut().map(Worker::answer).collect();
        assert!(epochs.iter().all(|epoch| *epoch == epochs[0]));
        assert_eq!(directory.names(), ["index"]);
    }
}

#[test]
fn when_one_notices_that_the_file_is_gone_all_do() {
    let directory = Directory::new();
    let path = directory.path("index");
    let table = host(&path).unwrap();
    let mut worker = Worker::start(&path);
    worker.ask("map");
    assert!(holds_there(&worker.ask("fill")));
    std::fs::remove_file(&path).unwrap();
    table.renew(&scope(1));
    assert!(!holds_there(&worker.ask("hit")));
    worker.ask("fill");
    let epoch = worker.ask("hit");
    assert_eq!(epoch, format!("{} false", table.epoch()));
    assert!(is_closed(&table, 7));
}
