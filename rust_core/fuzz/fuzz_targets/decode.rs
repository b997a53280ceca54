//! One datagram, as it is and with its CRC mended: checked and read.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    outcrier_fuzz::bodies::decode(bytes);
});
