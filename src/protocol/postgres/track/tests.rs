//! The settings of a session as its statements complete.

use super::{ROLE, ROLLED_BACK, Settings, Tracked, USER, Value};
use crate::sql::postgres::classify;

/// Runs statements that all succeed.
fn run(tracked: &mut Tracked, text: &str) {
    for statement in &classify(text.as_bytes()).statements {
        let tag: &[u8] = if text.starts_with("ROLLBACK") {
            ROLLED_BACK
        } else {
            b"?\0"
        };
        tracked.complete(statement, tag);
    }
}

fn value(tracked: &Tracked, name: &str) -> Option<String> {
    tracked.wanted().value(name).map(|value| match value {
        Value::Text(text) | Value::List(text) => String::from_utf8(text.to_vec()).unwrap(),
    })
}

#[test]
fn a_rollback_undoes_what_its_transaction_set() {
    let mut tracked = Tracked::new(Settings::from_pairs([("jit", &b"off"[..])]));
    run(&mut tracked, "SET search_path TO a, \"B\"");
    tracked.idle();
    run(&mut tracked, "BEGIN");
    run(
        &mut tracked,
        "SET search_path = c; RESET jit; SET LOCAL x.y = 1",
    );
    assert_eq!(value(&tracked, "search_path").unwrap(), "'c'");
    assert_eq!(value(&tracked, "jit").unwrap(), "off");
    assert_eq!(tracked.actual().value("jit"), None);
    run(&mut tracked, "ROLLBACK");
    tracked.idle();
    assert_eq!(value(&tracked, "search_path").unwrap(), "'a','B'");
    assert_eq!(value(&tracked, "x.y"), None);
}

#[test]
fn savepoints_nest() {
    let mut tracked = Tracked::new(Settings::none());
    run(
        &mut tracked,
        "BEGIN; SET a.b = 1; SAVEPOINT s; SET a.b = 2; SAVEPOINT s; SET a.b = 3",
    );
    tracked.fail();
    run(&mut tracked, "ROLLBACK TO s");
    assert_eq!(value(&tracked, "a.b").unwrap(), "2");
    run(&mut tracked, "RELEASE s");
    run(&mut tracked, "ROLLBACK TO SAVEPOINT s");
    assert_eq!(value(&tracked, "a.b").unwrap(), "1");
    run(&mut tracked, "COMMIT");
    tracked.idle();
    assert_eq!(value(&tracked, "a.b").unwrap(), "1");
}

#[test]
fn a_failure_undoes_the_implicit_transaction() {
    let mut tracked = Tracked::new(Settings::none());
    run(&mut tracked, "SET a.b = 1");
    tracked.fail();
    tracked.idle();
    assert_eq!(value(&tracked, "a.b"), None);
    run(&mut tracked, "SELECT set_config('a.b', 'x y', false)");
    tracked.idle();
    assert_eq!(value(&tracked, "a.b").unwrap(), "x y");
    run(&mut tracked, "RESET ALL");
    tracked.idle();
    assert_eq!(value(&tracked, "a.b"), None);
}

#[test]
fn a_user_ends_the_role_and_reset_all_leaves_both() {
    let mut tracked = Tracked::new(Settings::from_pairs([("role", &b"clerk"[..])]));
    run(&mut tracked, "SET SESSION AUTHORIZATION boss");
    assert_eq!(value(&tracked, USER).unwrap(), "'boss'");
    assert_eq!(value(&tracked, ROLE).unwrap(), "none");
    run(&mut tracked, "SET ROLE guest; RESET ALL");
    tracked.idle();
    assert_eq!(value(&tracked, USER).unwrap(), "'boss'");
    assert_eq!(value(&tracked, ROLE).unwrap(), "'guest'");
    run(&mut tracked, "RESET SESSION AUTHORIZATION");
    tracked.idle();
    assert_eq!(value(&tracked, USER), None);
    assert_eq!(value(&tracked, ROLE).unwrap(), "clerk");
    assert_eq!(tracked.actual().value(ROLE), None);
    tracked.discard();
    assert_eq!(value(&tracked, ROLE).unwrap(), "clerk");
}

#[test]
fn a_role_is_undone_by_a_rollback() {
    let mut tracked = Tracked::new(Settings::none());
    run(&mut tracked, "BEGIN; SAVEPOINT s; SET ROLE clerk");
    run(&mut tracked, "ROLLBACK TO s");
    assert_eq!(value(&tracked, ROLE), None);
    run(&mut tracked, "SELECT set_config('role', 'clerk', false)");
    assert_eq!(value(&tracked, ROLE).unwrap(), "clerk");
    tracked.fail();
    run(&mut tracked, "ROLLBACK");
    tracked.idle();
    assert_eq!(value(&tracked, ROLE), None);
}

#[test]
fn who_has_set_what_not_everybody_may_set_is_kept() {
    let mut tracked = Tracked::new(Settings::none());
    run(&mut tracked, "SET log_statement = 'all'; SET ROLE clerk");
    run(&mut tracked, "SET log_duration = on; SET work_mem = 64");
    let wanted = tracked.wanted();
    assert!(wanted.setter("log_statement").is_own());
    assert!(!wanted.setter("log_duration").is_own());
    assert!(wanted.setter("work_mem").is_own());
}

#[test]
fn what_a_transaction_sets_for_itself_changes_its_plans() {
    let mut tracked = Tracked::new(Settings::none());
    let before = tracked.planner_id();
    run(
        &mut tracked,
        "BEGIN; SET TRANSACTION READ ONLY; SET LOCAL lock_timeout = 5",
    );
    run(&mut tracked, "SET CONSTRAINTS ALL DEFERRED");
    assert_eq!(tracked.planner_id(), before);
    run(&mut tracked, "SET LOCAL search_path = a");
    let inside = tracked.planner_id();
    assert_ne!(inside, before);
    run(&mut tracked, "COMMIT");
    tracked.idle();
    assert_eq!(tracked.planner_id(), before);
    run(&mut tracked, "BEGIN; SET LOCAL search_path = a");
    assert_eq!(tracked.planner_id(), inside);
    run(
        &mut tracked,
        "SELECT set_config('search_path', x, true) FROM t",
    );
    assert_ne!(tracked.planner_id(), inside);
    run(&mut tracked, "ROLLBACK");
    assert_eq!(tracked.planner_id(), before);
}
