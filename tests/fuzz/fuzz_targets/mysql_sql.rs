//! What a text in MySQL's or MariaDB's SQL may touch, its fingerprint, and what a server's report says of the
//! session that ran it. The first two bytes choose the mode.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sluice::protocol::mysql::login;
use sluice::protocol::mysql::observe::observe;
use sluice::protocol::mysql::settings::{Settings, difference};
use sluice::sql::mysql::{ClientCharset, Flavor, Mode, classify, fingerprint};

fuzz_target!(|input: &[u8]| {
    let [bits, cut, input @ ..] = input else {
        return;
    };
    let (flavor, family) = if bits & 1 == 0 {
        (Flavor::MySql, login::Flavor::MySql)
    } else {
        (Flavor::MariaDb, login::Flavor::MariaDb)
    };
    let mode = Mode {
        ansi_quotes: bits & 2 != 0,
        no_backslash_escapes: bits & 4 != 0,
        charset: match bits & 24 {
            0 => ClientCharset::Plain,
            8 => ClientCharset::Treacherous,
            _ => ClientCharset::Utf8,
        },
        ..Mode::new(flavor, 90_700)
    };
    let (text, state) = input.split_at(usize::from(*cut).min(input.len()));
    let verdict = classify(text, mode);
    let _ = fingerprint(text, mode);
    assert!(!verdict.statements.is_empty());
    assert!(verdict.statements.len() <= text.len() + 1);
    for statement in &verdict.statements {
        assert!(verdict.touches.contains_all(statement.touches));
    }
    // White space in front and a comment mean nothing.
    let padded = [b" \n/* x */ ", text].concat();
    assert_eq!(classify(&padded, mode).touches, verdict.touches);
    let fresh = Settings::fresh(family);
    if let Ok(seen) = observe(&fresh, verdict.statements.first(), state, family) {
        let there = difference(&fresh, &seen.settings);
        let same = Settings::same(&fresh, &seen.settings);
        assert!(!same || there.sql.is_empty() && there.schema.is_none());
        // What brings one to the other depends on nothing else.
        let again = Arc::clone(&seen.settings);
        assert_eq!(difference(&fresh, &again), there);
    }
});
