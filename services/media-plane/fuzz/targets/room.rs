#![no_main]
#![doc = "See [`antiphon_fuzz::room`]."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz::room(data));
