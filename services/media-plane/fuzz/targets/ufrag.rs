#![no_main]
#![doc = "See [`antiphon_fuzz::ufrag`]."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz::ufrag(data));
