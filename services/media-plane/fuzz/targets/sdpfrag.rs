#![no_main]
#![doc = "See [`antiphon_fuzz::sdpfrag`]."]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz::sdpfrag(data));
