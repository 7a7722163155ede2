#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| partway_fuzz::run("video", data));
