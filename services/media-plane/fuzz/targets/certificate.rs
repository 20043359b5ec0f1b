#![no_main]
#![doc = "See [`antiphon_fuzz::certificate`]."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz::certificate(data));
