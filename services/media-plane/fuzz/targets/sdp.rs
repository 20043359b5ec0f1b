#![no_main]
#![doc = "See [`antiphon_fuzz::sdp`]."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz::sdp(data));
