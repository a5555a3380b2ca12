//! Settings in the startup parameter `options`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::protocol::postgres::switches::settings;

fuzz_target!(|options: &[u8]| {
    let Ok(settings) = settings(options) else {
        return;
    };
    let len: usize = settings
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    assert!(len <= options.len());
    for (name, _) in settings {
        assert!(!name.is_empty() && !name.contains('='));
        assert_eq!(name, name.to_ascii_lowercase());
    }
});
