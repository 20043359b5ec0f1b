#![no_main]
#![doc = "See [`antiphon_fuzz::device`]."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz::device(data));
