#![no_main]
#![doc = "See [`antiphon_fuzz::opus`]."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz::opus(data));
