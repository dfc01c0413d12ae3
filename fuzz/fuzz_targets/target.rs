//! Fuzz target: the request target (`gateway::fuzzing`).

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gateway::fuzzing::target(data));
