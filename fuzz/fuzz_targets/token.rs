//! Fuzz target: the access token (`chassis::fuzzing`).

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chassis::fuzzing::token(data));
