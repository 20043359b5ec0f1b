#![no_main]
#![doc = "See [`antiphon_fuzz::rtcp`]."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz::rtcp(data));
