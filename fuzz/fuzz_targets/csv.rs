//! Fuzz target: the CSV import (`products::fuzzing`).

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| products::fuzzing::csv(data));
