#![no_main]
#![doc = "See [`antiphon_fuzz::link`]."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz::link(data));
