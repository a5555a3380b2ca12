//! Whether a text is taken for a read, in either dialect. The first byte chooses the mode.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::sql::mysql::{Flavor, Mode, classify as mysql_classify, reading as mysql_reading};
use sluice::sql::postgres::{classify, reading, reading_of_prepare};
use sluice::sql::reading::{Catalogue, Demand, Hint};

fuzz_target!(|input: &[u8]| {
    let [bits, text @ ..] = input else {
        return;
    };
    let mut catalogue = Catalogue::new();
    catalogue.add_function("f", true);
    catalogue.add_function("w", false);
    catalogue.add_relation("v");
    let verdict = reading(text, Some(&catalogue));
    if verdict.demand == Demand::Read {
        let tokens = classify(text);
        assert!(tokens.complete && !tokens.statements.is_empty());
        assert!(!tokens.alters && verdict.hint != Some(Hint::Primary));
    }
    let _ = reading_of_prepare(text, Some(&catalogue));
    let _ = reading(text, None);
    let flavor = if bits & 1 == 0 { Flavor::MySql } else { Flavor::MariaDb };
    let mode = Mode {
        ansi_quotes: bits & 2 != 0,
        no_backslash_escapes: bits & 4 != 0,
        ..Mode::new(flavor, 110_803)
    };
    let verdict = mysql_reading(text, mode, Some(&catalogue));
    if verdict.demand == Demand::Read {
        let tokens = mysql_classify(text, mode);
        assert!(tokens.read_only_candidate() && verdict.hint != Some(Hint::Primary));
    }
});
