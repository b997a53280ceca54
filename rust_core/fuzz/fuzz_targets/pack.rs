//! The payload of a PACK: checked and read.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    outcrier_fuzz::bodies::pack(bytes);
});
