use std::sync::Arc;

use super::{adopt, inspect};
use crate::model::{PinPolicy, PinReason, Pins, PoolMode, Share};
use crate::protocol::postgres::back::PgBack;
use crate::protocol::postgres::front::PgFront;
use crate::protocol::postgres::settings::{Settings, Value};
use crate::protocol::postgres::tests::{
    answer, cat, client, done, error, msg, policy, query, ready, send, server, try_send,
};
use crate::protocol::{Back, Front, FrontSettings};

const NOTHING: [&str; 6] = ["f", "f", "f", "0", "0", "none"];

fn row(values: &[&str]) -> Vec<u8> {
    let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        body.extend_from_slice(&i32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend_from_slice(value.as_bytes());
    }
    msg(b'D', &body)
}

/// An answer to a question about holdings only.
fn holds(values: &[&str; 6], channels: &[&str]) -> Vec<u8> {
    let mut out = cat(&[msg(b'T', b"\0\0"), row(values), done("SELECT 1")]);
    out.extend_from_slice(&msg(b'T', b"\0\0"));
    for channel in channels {
        out.extend_from_slice(&row(&[channel]));
    }
    out.extend_from_slice(&done("SELECT 0"));
    out
}

/// Runs a statement that succeeds.
fn run(front: &mut PgFront, back: &mut PgBack, sql: &str, tag: &str) {
    send(front, back, &query(sql));
    answer(front, back, &cat(&[done(tag), ready(b'I')]));
}

/// Asks the question; returns its text.
fn ask(front: &mut PgFront, back: &mut PgBack) -> Option<String> {
    let mut request = Vec::new();
    inspect(front, back, &mut request).then(|| String::from_utf8_lossy(&request).into_owned())
}

fn pins(reasons: &[PinReason]) -> Pins {
    Pins::of(reasons)
}

#[test]
fn what_is_gone_pins_no_more() {
    let (mut front, mut back) = (client(), server());
    run(
        &mut front,
        &mut back,
        "create temp table a ()",
        "CREATE TABLE",
    );
    assert_eq!(front.pins(), pins(&[PinReason::TempObject]));
    assert!(ask(&mut front, &mut back).is_some());
    assert!(!back.progress().settled);
    let there = ["t", "f", "f", "0", "0", "none"];
    let told = cat(&[holds(&there, &[]), ready(b'I')]);
    // Nothing of it is for the client.
    assert_eq!(answer(&mut front, &mut back, &told), b"");
    assert_eq!(front.pins(), pins(&[PinReason::TempObject]));
    // Nothing has happened to it since.
    run(
        &mut front,
        &mut back,
        "insert into a values (1)",
        "INSERT 0 1",
    );
    assert_eq!(ask(&mut front, &mut back), None);
    run(&mut front, &mut back, "drop table a", "DROP TABLE");
    assert!(ask(&mut front, &mut back).is_some());
    answer(
        &mut front,
        &mut back,
        &cat(&[holds(&NOTHING, &[]), ready(b'I')]),
    );
    assert_eq!(front.pins(), Pins::NONE);
    assert!(front.finding().is_none() && !back.is_dirty());
}

#[test]
fn what_is_held_is_told_apart() {
    let (mut front, mut back) = (client(), server());
    let all = "listen a; select pg_advisory_lock(1)";
    send(&mut front, &mut back, &query(all));
    let replies = [done("LISTEN"), done("SELECT 1"), ready(b'I')];
    answer(&mut front, &mut back, &cat(&replies));
    ask(&mut front, &mut back).unwrap();
    let held = ["f", "t", "f", "1", "0", "none"];
    answer(
        &mut front,
        &mut back,
        &cat(&[holds(&held, &["a"]), ready(b'I')]),
    );
    let expected = [
        PinReason::HeldCursor,
        PinReason::Listen,
        PinReason::SqlPrepare,
    ];
    assert_eq!(front.pins(), pins(&expected));
    let found = front.finding().unwrap().what;
    assert_eq!(found, pins(&[PinReason::HeldCursor, PinReason::SqlPrepare]));
}

#[test]
fn a_refused_question_changes_nothing() {
    let (mut front, mut back) = (client(), server());
    run(
        &mut front,
        &mut back,
        "declare a cursor with hold for select 1",
        "DECLARE CURSOR",
    );
    ask(&mut front, &mut back).unwrap();
    let told = cat(&[error("57014", "timeout"), ready(b'I')]);
    assert_eq!(answer(&mut front, &mut back, &told), b"");
    assert_eq!(front.pins(), pins(&[PinReason::HeldCursor]));
    assert_eq!(ask(&mut front, &mut back), None);
}

#[test]
fn other_pins_make_the_question_useless() {
    let (mut front, mut back) = (client(), server());
    run(&mut front, &mut back, "load 'a'", "LOAD");
    run(
        &mut front,
        &mut back,
        "create temp table a ()",
        "CREATE TABLE",
    );
    assert_eq!(ask(&mut front, &mut back), None);
}

#[test]
fn notifications_pass_while_the_question_is_answered() {
    let (mut front, mut back) = (client(), server());
    run(&mut front, &mut back, "listen a", "LISTEN");
    ask(&mut front, &mut back).unwrap();
    let note = msg(b'A', b"\0\0\0\x07a\0b\0");
    assert_eq!(answer(&mut front, &mut back, &note), note);
}

/// Rows about settings.
fn settings(rows: &[[Option<&str>; 4]]) -> Vec<u8> {
    let mut out = msg(b'T', b"\0\0");
    for values in rows {
        let mut body = 4_u16.to_be_bytes().to_vec();
        for value in values {
            let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap());
            body.extend_from_slice(&length.to_be_bytes());
            body.extend_from_slice(value.unwrap_or_default().as_bytes());
        }
        out.extend_from_slice(&msg(b'D', &body));
    }
    out.extend_from_slice(&done("SELECT 9"));
    out
}

#[test]
fn a_block_of_code_is_looked_into() {
    let (mut front, mut back) = (client(), server());
    run(&mut front, &mut back, "set search_path to own", "SET");
    run(&mut front, &mut back, "do 'begin perform f(); end'", "DO");
    assert_eq!(front.pins(), pins(&[PinReason::CodeBlock]));
    let question = ask(&mut front, &mut back).unwrap();
    assert!(question.contains("'search_path'") && question.contains("pg_proc"));
    let rows = settings(&[
        [Some("search_path"), Some("own"), Some("own"), Some("t")],
        [
            Some("DateStyle"),
            Some("SQL, DMY"),
            Some("SQL, DMY"),
            Some("t"),
        ],
        [Some("app.tenant"), Some("7"), None, Some("d")],
        [Some("app.other"), None, None, Some("d")],
    ]);
    let told = cat(&[holds(&NOTHING, &[]), rows, ready(b'I')]);
    assert_eq!(answer(&mut front, &mut back, &told), b"");
    assert_eq!(front.pins(), Pins::NONE);
    assert_eq!(front.finding().unwrap().what, pins(&[PinReason::Setting]));
    // What cannot be seen is not left to others.
    assert!(back.is_dirty());
    let mut other = server();
    let wire = send(&mut front, &mut other, &query("select 1"));
    let replay = String::from_utf8_lossy(&wire.server).into_owned();
    for part in [
        "SET \"search_path\" TO 'own'",
        "'datestyle','SQL, DMY'",
        "'app.tenant','7'",
    ] {
        assert!(replay.contains(part), "{replay}");
    }
    // From now on the names that functions mention are asked for.
    send(&mut front, &mut back, &query("do ''"));
    answer(&mut front, &mut back, &cat(&[done("DO"), ready(b'I')]));
    let question = ask(&mut front, &mut back).unwrap();
    assert!(question.contains("'app.other','app.tenant'") && !question.contains("pg_proc"));
}

fn watching(share: Share) -> PgFront {
    let settings = FrontSettings {
        pins: PinPolicy {
            filtered: Pins::of(&[PinReason::TempObject]),
            verify: share,
            share_feeds: false,
        },
        ..(*policy(PoolMode::Transaction)).clone()
    };
    PgFront::new(Settings::none(), Arc::new(settings))
}

#[test]
fn requests_that_may_run_code_are_looked_at_as_often_as_wanted() {
    for (share, sql, expected) in [
        (Share::of(0.0), "select app.f(1)", false),
        (Share::of(0.999_999), "select app.f(1)", true),
        (Share::of(0.999_999), "select count(*) from t", false),
        (Share::ALL, "select count(*) from t", true),
    ] {
        let (mut front, mut back) = (watching(share), server());
        run(&mut front, &mut back, sql, "SELECT 1");
        assert_eq!(ask(&mut front, &mut back).is_some(), expected, "{sql}");
    }
}

#[test]
fn what_is_found_pins_and_names_the_statement() {
    let (mut front, mut back) = (watching(Share::ALL), server());
    run(&mut front, &mut back, "select app.f('secret')", "SELECT 1");
    ask(&mut front, &mut back).unwrap();
    let held = ["f", "f", "t", "0", "0", "other"];
    let told = cat(&[holds(&held, &[]), settings(&[]), ready(b'I')]);
    answer(&mut front, &mut back, &told);
    let expected = pins(&[PinReason::AdvisoryLock, PinReason::Role]);
    assert_eq!(front.pins(), expected);
    assert!(front.pin_cause().unwrap().contains("app.f"));
    let finding = front.finding().unwrap();
    assert_eq!(finding.what, expected);
    assert!(!finding.cause.unwrap().contains("secret"));
}

#[test]
fn what_was_caught_once_is_looked_at_every_time() {
    let sql = |n: u32| format!("select app.offending_function({n})");
    let (mut front, mut back) = (watching(Share::ALL), server());
    run(&mut front, &mut back, &sql(1), "SELECT 1");
    ask(&mut front, &mut back).unwrap();
    let held = ["f", "f", "t", "0", "0", "none"];
    let told = cat(&[holds(&held, &[]), settings(&[]), ready(b'I')]);
    answer(&mut front, &mut back, &told);
    let (mut other, mut back) = (watching(Share::of(0.0)), server());
    run(
        &mut other,
        &mut back,
        "select app.other_function(1)",
        "SELECT 1",
    );
    assert_eq!(ask(&mut other, &mut back), None);
    run(&mut other, &mut back, &sql(2), "SELECT 1");
    assert!(ask(&mut other, &mut back).is_some());
}

#[test]
fn a_filtered_reason_does_not_pin_but_soils() {
    let (mut front, mut back) = (watching(Share::default()), server());
    run(
        &mut front,
        &mut back,
        "create temp table a ()",
        "CREATE TABLE",
    );
    assert_eq!(front.pins(), Pins::NONE);
    assert!(back.is_dirty());
}

#[test]
fn a_report_that_no_statement_explains_is_followed_up() {
    let (mut front, mut back) = (client(), server());
    let told = |value: &str| msg(b'S', format!("TimeZone\0{value}\0").as_bytes());
    send(&mut front, &mut back, &query("set timezone to 'UTC'"));
    answer(
        &mut front,
        &mut back,
        &cat(&[done("SET"), told("UTC"), ready(b'I')]),
    );
    assert_eq!(ask(&mut front, &mut back), None);
    send(&mut front, &mut back, &query("select f()"));
    let replies = [done("SELECT 1"), told("Asia/Tokyo"), ready(b'I')];
    answer(&mut front, &mut back, &cat(&replies));
    assert!(ask(&mut front, &mut back).is_some());
    let row = [
        Some("TimeZone"),
        Some("Asia/Tokyo"),
        Some("Asia/Tokyo"),
        Some("t"),
    ];
    let told = cat(&[holds(&NOTHING, &[]), settings(&[row]), ready(b'I')]);
    answer(&mut front, &mut back, &told);
    assert_eq!(front.pins(), Pins::NONE);
    assert!(front.finding().is_some());
    let wanted = front.settings.wanted().value("timezone");
    assert_eq!(wanted, Some(&Value::Text(b"Asia/Tokyo"[..].into())));
}

#[test]
fn a_setting_for_a_transaction_is_no_surprise() {
    let (mut front, mut back) = (client(), server());
    let told = |value: &str| msg(b'S', format!("TimeZone\0{value}\0").as_bytes());
    send(
        &mut front,
        &mut back,
        &query("begin; set local timezone to 'UTC'"),
    );
    answer(
        &mut front,
        &mut back,
        &cat(&[done("BEGIN"), done("SET"), told("UTC"), ready(b'T')]),
    );
    let (wire, _) = try_send(&mut front, &mut back, &query("commit")).unwrap();
    assert_eq!(wire.server, query("commit"));
    // Back to what it was: nothing is left of it. It was not reported before in this test.
    answer(
        &mut front,
        &mut back,
        &cat(&[done("COMMIT"), told("GMT"), ready(b'I')]),
    );
    ask(&mut front, &mut back);
    let (mut front, mut back) = (client(), server());
    send(&mut front, &mut back, &query("set timezone to 'GMT'"));
    answer(
        &mut front,
        &mut back,
        &cat(&[done("SET"), told("GMT"), ready(b'I')]),
    );
    send(
        &mut front,
        &mut back,
        &query("begin; set local timezone to 'UTC'"),
    );
    answer(
        &mut front,
        &mut back,
        &cat(&[done("BEGIN"), done("SET"), told("UTC"), ready(b'T')]),
    );
    try_send(&mut front, &mut back, &query("commit")).unwrap();
    answer(
        &mut front,
        &mut back,
        &cat(&[done("COMMIT"), told("GMT"), ready(b'I')]),
    );
    assert_eq!(ask(&mut front, &mut back), None);
}

#[test]
fn a_value_spelt_in_another_way_has_not_changed() {
    let believed = Settings::from_pairs([
        ("statement_timeout", &b"5s"[..]),
        ("jit", b"false"),
        ("work_mem", b"4096kB"),
        ("app.name", b"A b"),
    ]);
    let list = Value::List(b"'a','B'"[..].into());
    let believed = believed.with("search_path", Some(list));
    let read = |values: [Option<&str>; 4]| {
        let values = values.map(|value| value.map(str::as_bytes));
        adopt::SettingRow::read(&values).unwrap()
    };
    let rows = vec![
        read([
            Some("statement_timeout"),
            Some("5000"),
            Some("5s"),
            Some("t"),
        ]),
        read([Some("jit"), Some("off"), Some("off"), Some("t")]),
        read([Some("work_mem"), Some("4096"), Some("4MB"), Some("t")]),
        read([
            Some("search_path"),
            Some("a, \"B\""),
            Some("a, \"B\""),
            Some("t"),
        ]),
        read([Some("app.name"), Some("A b"), None, Some("n")]),
    ];
    let (actual, changed) = adopt::reconcile(&believed, &rows);
    assert!(!changed);
    assert_eq!(actual.value("search_path"), believed.value("search_path"));
    let other = Value::Text(b"4096"[..].into());
    assert_eq!(actual.value("work_mem"), Some(&other));
    for row in [
        [
            Some("search_path"),
            Some("a, \"b\""),
            Some("a, \"b\""),
            Some("t"),
        ],
        [
            Some("search_path"),
            Some("a, \"B\", c"),
            Some("a, \"B\", c"),
            Some("t"),
        ],
        [Some("app.name"), Some("A B"), None, Some("n")],
        [Some("app.name"), Some(""), None, Some("n")],
        [Some("jit"), Some("on"), None, Some("f")],
    ] {
        assert!(adopt::reconcile(&believed, &[read(row)]).1, "{row:?}");
    }
}
