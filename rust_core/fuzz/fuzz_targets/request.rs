//! A row of requests to a retransmit server, some of them with the cookie that it gave.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    outcrier_fuzz::bodies::request(bytes, None);
});
