//! A segment of the log, with right and wrong records: read.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let folder = FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("outcrier-fuzz-log-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the folder for temporary files can be written");
        folder
    });
    outcrier_fuzz::log::read(folder, bytes).expect("the folder for temporary files can be written");
});
