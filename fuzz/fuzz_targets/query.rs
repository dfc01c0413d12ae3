//! Fuzz target: the search query (`search::fuzzing`).

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| search::fuzzing::query(data));
