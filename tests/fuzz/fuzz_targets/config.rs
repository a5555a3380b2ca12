//! The text of the configuration file.
#![no_main]

use std::cell::LazyCell;

use libfuzzer_sys::fuzz_target;
use sluice::config::{load, show};
use tempfile::TempDir;

thread_local! {
    static FOLDER: LazyCell<TempDir> = LazyCell::new(|| tempfile::tempdir().expect("a folder"));
}

fuzz_target!(|text: &str| {
    // Files that it names are read; those of the system have no end.
    if text.contains("dev") || text.contains("proc") || text.contains("sys/") {
        return;
    }
    FOLDER.with(|folder| {
        let file = folder.path().join("sluice.toml");
        std::fs::write(&file, text).expect("a file");
        let loaded = load(&file);
        let shown = show(&file);
        assert_eq!(loaded.is_ok(), shown.is_ok());
        if let Err(error) = loaded {
            assert!(!error.to_string().is_empty());
        }
    });
});
