//! The house rules that no compiler knows: who may import whom, what is pure, how large files
//! are, and what must not stand in the repository. The head of `src/lib.rs` explains them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and reads its own repository"
)]

#[path = "architecture/imports.rs"]
mod imports;
#[path = "architecture/purity.rs"]
mod purity;
#[path = "architecture/source.rs"]
mod source;
#[path = "architecture/tidy.rs"]
mod tidy;

/// Fails with all that was found.
#[track_caller]
fn assert_none(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

#[test]
fn imports_go_down_only() {
    let sources = source::library();
    assert_none("imports go down only", &imports::violations(&sources));
}

#[test]
fn modules_form_no_cycle() {
    let sources = source::library();
    assert_eq!(imports::cycle(&imports::edges(&sources)), None);
}

#[test]
fn pure_modules_neither_wait_nor_read_clocks_nor_roll_dice() {
    let found: Vec<_> = source::library()
        .iter()
        .flat_map(purity::violations)
        .collect();
    assert_none("pure code is given time and randomness", &found);
}

#[test]
fn nothing_panics_without_a_reason() {
    let found: Vec<_> = source::library()
        .iter()
        .flat_map(tidy::panics_without_reason)
        .collect();
    assert_none("unwrap and expect need a reason", &found);
}

#[test]
fn files_are_small_and_well_named() {
    let tracked = source::tracked();
    let lengths = tidy::lengths(&tracked);
    assert_none("too long", &tidy::too_long(&lengths));
    assert_none("bad names", &tidy::bad_names(&tracked));
    let median = tidy::median(&lengths);
    println!("median length of a source file: {median} lines");
    assert!(median <= tidy::MOST_MEDIAN, "median of {median} lines");
}

#[test]
fn modules_say_what_they_are() {
    let found: Vec<_> = source::library()
        .iter()
        .filter(|source| !source.is_test && source.head.is_empty())
        .map(|source| source.path.clone())
        .collect();
    assert_none("modules open with //! lines", &found);
}

#[test]
fn the_repository_speaks_of_no_machine() {
    assert_none(
        "paths of one machine",
        &tidy::machine_paths(&source::tracked()),
    );
}
