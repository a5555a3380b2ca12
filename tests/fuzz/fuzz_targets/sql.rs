//! What a statement may touch, and its fingerprint.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::sql::fingerprint::fingerprint;
use sluice::sql::postgres::classify;

fuzz_target!(|text: &[u8]| {
    let verdict = classify(text);
    let _ = fingerprint(text);
    assert!(verdict.statements.len() <= text.len() + 1);
    for change in verdict
        .statements
        .iter()
        .flat_map(|one| one.setting_changes())
    {
        let _ = change.raw_value();
    }
    // White space in front and a comment mean nothing.
    let padded = [b" \n/* x */ ", text].concat();
    assert_eq!(classify(&padded).touches, verdict.touches);
    assert_eq!(classify(text), verdict);
});
