#![no_main]
#![doc = "See [`antiphon_fuzz::red`]."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz::red(data));
