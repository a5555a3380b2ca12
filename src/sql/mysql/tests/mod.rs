//! Tables of texts and what they are taken for.

mod details;
mod laws;
mod splitting;
mod touching;

use super::classify;
use super::mode::{Flavor, Mode};
use super::verdict::{Detail, Statement, Verdict};

const MYSQL: Mode = Mode::new(Flavor::MySql, 90_700);
const MARIADB: Mode = Mode::new(Flavor::MariaDb, 110_803);

fn verdict(text: &str) -> Verdict {
    classify(text.as_bytes(), MYSQL)
}

/// The names of what the text touches.
fn touches(text: &str, mode: Mode) -> String {
    let verdict = classify(text.as_bytes(), mode);
    let names: Vec<_> = verdict.touches.iter().map(super::Touch::name).collect();
    names.join(" ")
}

/// The only statement of a text.
fn only(text: &str, mode: Mode) -> Statement {
    let verdict = classify(text.as_bytes(), mode);
    assert_eq!(verdict.statements.len(), 1, "{text}");
    verdict.statements[0].clone()
}

fn detail(text: &str) -> Detail {
    only(text, MYSQL).detail
}
