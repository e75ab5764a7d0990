//! Values that are written are read again, and share their bytes only if they are equal.

#![no_main]

use _core::key::{Value, Writer, read};
use cache_result_fuzz::{Tree, written};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|trees: (Tree, Tree)| {
    let (one, two) = trees;
    let (first, second) = (written(&[&one]), written(&[&two]));
    let (one_read, two_read) = (whole(&first), whole(&second));

    let (one_normal, two_normal) = (one.clone().normal(), two.clone().normal());
    assert_eq!(Tree::from(one_read.clone()).normal(), one_normal);
    assert_eq!(Tree::from(two_read.clone()).normal(), two_normal);
    assert_eq!(first == second, one_normal == two_normal);
    assert_eq!(written(&[&one_normal]), first, "the order of what has none matters");

    let both = written(&[&one, &two]);
    let (value, end) = read(&both).expect("a value in front of another is read");
    assert_eq!((value, end), (one_read, first.len()));
    assert_eq!(read(&both[end..]), Ok((two_read, second.len())));
});

/// The value that these bytes, and no fewer, are.
fn whole(bytes: &[u8]) -> Value {
    let (value, end) = read(bytes).expect("what was written is read");
    assert_eq!(end, bytes.len());
    let mut writer = Writer::new();
    value.write(&mut writer).expect("what was read is written");
    assert_eq!(writer.as_bytes(), bytes);
    assert!(!value.to_string().is_empty());
    value
}
