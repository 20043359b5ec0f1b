#![no_main]
#![doc = "See [`antiphon_fuzz::envelope`]."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz::envelope(data));
