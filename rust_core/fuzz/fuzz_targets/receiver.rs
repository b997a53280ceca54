//! A row of datagrams on all lines, with timers and drops between them, heard by a receiver.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    outcrier_fuzz::bodies::receiver(bytes, None);
});
