//! Fuzz target: the framing of a request's head (`gateway::fuzzing`).

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gateway::fuzzing::head(data));
