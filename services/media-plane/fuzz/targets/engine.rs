#![no_main]
#![doc = "See [`antiphon_fuzz::life::engine`]."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz::life::engine(data));
