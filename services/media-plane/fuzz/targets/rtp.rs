#![no_main]
#![doc = "See [`antiphon_fuzz::rtp`]."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz::rtp(data));
