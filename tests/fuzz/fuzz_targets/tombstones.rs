//! libFuzzer's way into [`fuzz`]'s target of this name.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::run("tombstones", bytes));
