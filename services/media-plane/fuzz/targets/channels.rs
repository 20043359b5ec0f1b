#![no_main]
#![doc = "See [`antiphon_fuzz::life::channels`]."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz::life::channels(data));
