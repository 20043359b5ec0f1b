#![no_main]
#![doc = "See [`antiphon_fuzz::stun`]."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz::stun(data));
