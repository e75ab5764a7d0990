//! Arbitrary bytes are refused, or are the only form of the value that they tell.

#![no_main]

mod held;

use _core::key::{Writer, read};
use cache_result_fuzz::{Tree, written};
use libfuzzer_sys::fuzz_target;

/// Most bytes of memory that reading may hold for each byte of input. The smallest items, of one
/// byte, take 40 in a vector that doubles: 120 while it grows.
const HELD_PER_BYTE: usize = 160;

fuzz_target!(|bytes: &[u8]| {
    let (result, held) = held::during(|| read(bytes));
    assert!(held <= HELD_PER_BYTE * (bytes.len() + 8), "{held} bytes to read {}", bytes.len());
    let Ok((value, end)) = result else { return };

    let mut writer = Writer::new();
    value.write(&mut writer).expect("no longer than what was read");
    assert_eq!(writer.as_bytes(), &bytes[..end], "another form of {value}");
    let tree = Tree::from(value.clone()).normal();
    assert_eq!(written(&[&tree]), &bytes[..end], "another form of {value}");

    assert_eq!(read(&bytes[..end]), Ok((value, end)), "what follows matters");
    assert!(read(&bytes[..end - 1]).is_err(), "the last byte does not matter");
});
