#![no_main]
#![doc = "See [`antiphon_fuzz::fragments`]."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz::fragments(data));
