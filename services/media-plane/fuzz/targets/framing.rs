#![no_main]
#![doc = "See [`antiphon_fuzz::framing`]."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz::framing(data));
