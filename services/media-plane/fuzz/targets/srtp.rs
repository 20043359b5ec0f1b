#![no_main]
#![doc = "See [`antiphon_fuzz::srtp`]."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz::srtp(data));
