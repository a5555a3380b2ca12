//! The order of replies: what each request owes is paid in full and in its place.

use crate::support::{
    postgres::Database,
    sluice::Sluice,
    wire::{
        Wire,
        backend::{column, words},
        frontend::{
            bind, close_portal, close_statement, describe_portal, describe_statement, execute,
            flush, function_call, parse, query, run_named, run_unnamed, sync, terminate,
        },
    },
};

/// A proxy with one server connection, so that whatever one client leaves behind hits the next.
fn narrow() -> (Database, Sluice) {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 1);
    (database, proxy)
}

/// What proves that nothing is left over on either side.
fn assert_in_step(proxy: &Sluice, database: &Database, wire: &mut Wire) {
    for wire in [wire, &mut proxy.connect(database)] {
        assert_eq!(
            words(&wire.simple("select 'in step'")),
            ["Fields", "Row(in step)", "Complete(SELECT 1)", "Ready(I)"]
        );
        assert!(!wire.has_input());
    }
}

#[test]
fn each_sync_of_a_pipeline_gets_its_own_ready() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    let one = [run_unnamed("select $1", &["x"]), sync()].concat();
    wire.send(&one.repeat(20)).unwrap();
    for _ in 0..20 {
        let reply = wire.read_ready();
        assert_eq!(
            words(&reply),
            [
                "ParseComplete",
                "BindComplete",
                "Row(x)",
                "Complete(SELECT 1)",
                "Ready(I)"
            ]
        );
    }
    assert_in_step(&proxy, &database, &mut wire);
}

#[test]
fn a_thousand_queries_in_one_write_get_a_thousand_replies() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    let many: Vec<u8> = (0..1000)
        .flat_map(|number| query(&format!("select {number}")))
        .collect();
    let mut sender = proxy.connect(&database);
    wire.send(&many).unwrap();
    sender.send(&many).unwrap();
    for wire in [&mut wire, &mut sender] {
        for number in 0..1000 {
            assert_eq!(column(&wire.read_ready()), [number.to_string()]);
        }
    }
    assert_in_step(&proxy, &database, &mut wire);
}

#[test]
fn requests_that_arrive_byte_by_byte_are_understood() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    let script = [
        parse("a", "select $1::int"),
        describe_statement("a"),
        run_named("a", &["7"]),
        sync(),
        query("select 8"),
    ];
    for byte in script.concat() {
        wire.send(&[byte]).unwrap();
    }
    let reply = wire.read_ready();
    let expected = [
        "ParseComplete",
        "ParameterTypes",
        "Fields",
        "BindComplete",
        "Row(7)",
        "Complete(SELECT 1)",
        "Ready(I)",
    ];
    assert_eq!(words(&reply), expected);
    assert_eq!(column(&wire.read_ready()), ["8"]);
    assert_in_step(&proxy, &database, &mut wire);
}

#[test]
fn an_empty_query_and_a_lone_sync_are_answered() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    assert_eq!(words(&wire.simple("")), ["EmptyQuery", "Ready(I)"]);
    assert_eq!(
        words(&wire.simple(" -- nothing\n")),
        ["EmptyQuery", "Ready(I)"]
    );
    assert_eq!(words(&wire.ask(&sync())), ["Ready(I)"]);
    assert_eq!(
        words(&wire.ask(&[sync(), flush(), sync()].concat())),
        ["Ready(I)"]
    );
    assert_eq!(words(&wire.read_ready()), ["Ready(I)"]);
    let reply = wire.ask(&[run_unnamed("", &[]), sync()].concat());
    assert_eq!(
        words(&reply),
        ["ParseComplete", "BindComplete", "EmptyQuery", "Ready(I)"]
    );
    assert_in_step(&proxy, &database, &mut wire);
}

#[test]
fn an_error_in_a_simple_query_drops_the_rest_of_it_alone() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    wire.send(&[query("select 1; select 1/0; select 2"), query("select 3")].concat())
        .unwrap();
    let reply = wire.read_ready();
    assert_eq!(
        words(&reply),
        [
            "Fields",
            "Row(1)",
            "Complete(SELECT 1)",
            "Error(22012)",
            "Ready(I)"
        ]
    );
    assert_eq!(column(&wire.read_ready()), ["3"]);
    assert_in_step(&proxy, &database, &mut wire);
}

#[test]
fn an_error_in_an_extended_pipeline_skips_to_sync_including_a_simple_query() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    wire.succeed("create table skipped (id int)");
    let reply = wire.ask(
        &[
            run_unnamed("select * from nowhere", &[]),
            query("insert into skipped values (1)"),
            run_unnamed("insert into skipped values (2)", &[]),
            sync(),
        ]
        .concat(),
    );
    assert_eq!(words(&reply), ["Error(42P01)", "Ready(I)"]);
    assert_eq!(wire.value("select count(*) from skipped"), "0");
    assert_in_step(&proxy, &database, &mut wire);
}

#[test]
fn a_text_that_the_server_could_not_parse_keeps_no_connection() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    assert_eq!(words(&wire.simple("selec 1")), ["Error(42601)", "Ready(I)"]);
    assert_in_step(&proxy, &database, &mut wire);
    let reply = wire.ask(&[run_unnamed("selec 1", &[]), sync()].concat());
    assert_eq!(words(&reply), ["Error(42601)", "Ready(I)"]);
    assert_in_step(&proxy, &database, &mut wire);
}

#[test]
fn an_error_in_one_batch_leaves_the_next_batch_of_the_pipeline_alone() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    let good = [run_unnamed("select $1", &["good"]), sync()].concat();
    let bad = [
        run_unnamed("select 1/$1::int", &["0"]),
        run_unnamed("select 'never'", &[]),
        sync(),
    ]
    .concat();
    wire.send(
        &[
            good.clone(),
            bad.clone(),
            query("select 'between'"),
            bad,
            good,
        ]
        .concat(),
    )
    .unwrap();
    let fine = [
        "ParseComplete",
        "BindComplete",
        "Row(good)",
        "Complete(SELECT 1)",
        "Ready(I)",
    ];
    assert_eq!(words(&wire.read_ready()), fine);
    assert_eq!(
        words(&wire.read_ready()),
        ["ParseComplete", "Error(22012)", "Ready(I)"]
    );
    assert_eq!(column(&wire.read_ready()), ["between"]);
    assert_eq!(
        words(&wire.read_ready()),
        ["ParseComplete", "Error(22012)", "Ready(I)"]
    );
    assert_eq!(words(&wire.read_ready()), fine);
    assert_in_step(&proxy, &database, &mut wire);
}

#[test]
fn the_reply_to_a_known_statement_keeps_its_place_around_an_error() {
    let (database, proxy) = narrow();
    let text = "select 'known', $1::text";
    let mut other = proxy.connect(&database);
    other.ask(&[parse("theirs", text), sync()].concat());
    let mut wire = proxy.connect(&database);
    let reply = wire.ask(
        &[
            parse("before", text),
            run_unnamed("select 1/0", &[]),
            parse("after", text),
            close_statement("before"),
            sync(),
        ]
        .concat(),
    );
    assert_eq!(
        words(&reply),
        ["ParseComplete", "ParseComplete", "Error(22012)", "Ready(I)"]
    );
    let reply = wire.ask(&[run_named("before", &["x"]), sync()].concat());
    assert_eq!(
        words(&reply),
        [
            "BindComplete",
            "Row(known,x)",
            "Complete(SELECT 1)",
            "Ready(I)"
        ]
    );
    let reply = wire.ask(&[run_named("after", &["x"]), sync()].concat());
    assert_eq!(words(&reply), ["Error(26000)", "Ready(I)"]);
    assert_in_step(&proxy, &database, &mut wire);
}

#[test]
fn replies_to_known_statements_interleave_with_those_of_the_server() {
    let (database, proxy) = narrow();
    let mut other = proxy.connect(&database);
    other.ask(&[parse("a", "select 'a'"), parse("b", "select 'b'"), sync()].concat());
    let mut wire = proxy.connect(&database);
    let reply = wire.ask(
        &[
            parse("x", "select 'a'"),
            run_named("x", &[]),
            parse("y", "select 'b'"),
            close_statement("x"),
            describe_statement("y"),
            close_statement("unheard of"),
            run_named("y", &[]),
            sync(),
        ]
        .concat(),
    );
    let expected = [
        "ParseComplete",
        "BindComplete",
        "Row(a)",
        "Complete(SELECT 1)",
        "ParseComplete",
        "CloseComplete",
        "ParameterTypes",
        "Fields",
        "CloseComplete",
        "BindComplete",
        "Row(b)",
        "Complete(SELECT 1)",
        "Ready(I)",
    ];
    assert_eq!(words(&reply), expected);
    assert_in_step(&proxy, &database, &mut wire);
}

#[test]
fn flush_without_sync_answers() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    for _ in 0..2 {
        // The second client meets a statement that the server already knows.
        wire.send(&[parse("", "select $1::int"), describe_statement(""), flush()].concat())
            .unwrap();
        assert_eq!(
            words(&wire.read_until(b'T')),
            ["ParseComplete", "ParameterTypes", "Fields"]
        );
        wire.send(&[run_named("", &["5"]), flush()].concat())
            .unwrap();
        assert_eq!(
            words(&wire.read_until(b'C')),
            ["BindComplete", "Row(5)", "Complete(SELECT 1)"]
        );
        assert_eq!(words(&wire.ask(&sync())), ["Ready(I)"]);
        wire = proxy.connect(&database);
    }
    assert_in_step(&proxy, &database, &mut wire);
}

#[test]
fn a_parse_alone_is_answered_at_flush_even_if_the_server_knows_the_statement() {
    let (database, proxy) = narrow();
    for _ in 0..3 {
        let mut wire = proxy.connect(&database);
        wire.send(&[parse("lonely", "select 'lonely'"), flush()].concat())
            .unwrap();
        assert_eq!(words(&wire.read_until(b'1')), ["ParseComplete"]);
        wire.send(&[close_statement("lonely"), flush()].concat())
            .unwrap();
        assert_eq!(words(&wire.read_until(b'3')), ["CloseComplete"]);
        assert_eq!(words(&wire.ask(&sync())), ["Ready(I)"]);
        assert_in_step(&proxy, &database, &mut wire);
    }
}

#[test]
fn an_error_before_flush_is_told_and_the_rest_waits_for_sync() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    wire.send(&[parse("", "selec"), flush()].concat()).unwrap();
    assert_eq!(words(&wire.read_until(b'E')), ["Error(42601)"]);
    wire.send(&[parse("", "select 1"), flush(), run_named("", &[]), flush()].concat())
        .unwrap();
    assert_eq!(words(&wire.ask(&sync())), ["Ready(I)"]);
    assert_in_step(&proxy, &database, &mut wire);
}

#[test]
fn function_calls_are_answered() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    let oid = wire.value("select 'int4pl'::regproc::oid").parse().unwrap();
    let reply = wire.ask(&function_call(oid, &["2", "3"]));
    assert_eq!(words(&reply), ["FunctionResult", "Ready(I)"]);
    assert_eq!(reply[0].body, [&[0, 0, 0, 1][..], b"5"].concat());
    let reply = wire.ask(&function_call(oid, &["2", "three"]));
    assert_eq!(words(&reply), ["Error(22P02)", "Ready(I)"]);
    wire.succeed("begin");
    assert_eq!(
        words(&wire.ask(&function_call(oid, &["2", "3"]))),
        ["FunctionResult", "Ready(T)"]
    );
    wire.succeed("commit");
    assert_in_step(&proxy, &database, &mut wire);
}

#[test]
fn a_portal_survives_flush() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    let mut waiting = proxy.connect(&database);
    let start = [
        parse("", "select * from generate_series(1, 5)"),
        bind("slow", "", &[]),
        execute("slow", 2),
        flush(),
    ];
    wire.send(&start.concat()).unwrap();
    assert_eq!(
        words(&wire.read_until(b's')),
        [
            "ParseComplete",
            "BindComplete",
            "Row(1)",
            "Row(2)",
            "Suspended"
        ]
    );
    // Another client asks for the one server connection in between.
    waiting.send(&query("select 'patient'")).unwrap();
    wire.send(&[execute("slow", 2), flush()].concat()).unwrap();
    assert_eq!(
        words(&wire.read_until(b's')),
        ["Row(3)", "Row(4)", "Suspended"]
    );
    let reply = wire.ask(&[execute("slow", 2), sync()].concat());
    assert_eq!(words(&reply), ["Row(5)", "Complete(SELECT 1)", "Ready(I)"]);
    assert_eq!(column(&waiting.read_ready()), ["patient"]);
    assert_in_step(&proxy, &database, &mut wire);
}

#[test]
fn a_named_portal_lives_until_its_transaction_ends() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    wire.succeed("begin");
    let start = [
        parse("", "select * from generate_series(1, 4)"),
        bind("mine", "", &[]),
        sync(),
    ]
    .concat();
    assert_eq!(
        words(&wire.ask(&start)),
        ["ParseComplete", "BindComplete", "Ready(T)"]
    );
    assert_eq!(wire.value("select 'between'"), "between");
    let reply = wire.ask(&[describe_portal("mine"), execute("mine", 3), sync()].concat());
    assert_eq!(
        words(&reply),
        [
            "Fields",
            "Row(1)",
            "Row(2)",
            "Row(3)",
            "Suspended",
            "Ready(T)"
        ]
    );
    assert_eq!(
        words(&wire.simple("commit")),
        ["Complete(COMMIT)", "Ready(I)"]
    );
    let reply = wire.ask(&[execute("mine", 3), sync()].concat());
    assert_eq!(words(&reply), ["Error(34000)", "Ready(I)"]);
    assert_in_step(&proxy, &database, &mut wire);
}

#[test]
fn closing_a_portal_keeps_the_statement_of_the_same_name() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    let reply = wire.ask(
        &[
            parse("twin", "select 'twin'"),
            bind("twin", "twin", &[]),
            execute("twin", 0),
            close_portal("twin"),
            sync(),
        ]
        .concat(),
    );
    let expected = [
        "ParseComplete",
        "BindComplete",
        "Row(twin)",
        "Complete(SELECT 1)",
        "CloseComplete",
        "Ready(I)",
    ];
    assert_eq!(words(&reply), expected);
    let reply = wire.ask(&[run_named("twin", &[]), sync()].concat());
    assert_eq!(
        words(&reply),
        [
            "BindComplete",
            "Row(twin)",
            "Complete(SELECT 1)",
            "Ready(I)"
        ]
    );
    assert_in_step(&proxy, &database, &mut wire);
}

#[test]
fn closing_a_statement_keeps_the_portal_of_the_same_name() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    wire.succeed("begin");
    let reply = wire.ask(
        &[
            parse("twin", "select 'twin'"),
            bind("twin", "twin", &[]),
            close_statement("twin"),
            sync(),
        ]
        .concat(),
    );
    assert_eq!(
        words(&reply),
        ["ParseComplete", "BindComplete", "CloseComplete", "Ready(T)"]
    );
    // PostgreSQL closes the portals that were made from the statement with it.
    let reply = wire.ask(&[execute("twin", 0), sync()].concat());
    assert_eq!(
        words(&reply).last().unwrap(),
        if words(&reply)[0].starts_with("Error") {
            "Ready(E)"
        } else {
            "Ready(T)"
        }
    );
    wire.simple("rollback");
    assert_in_step(&proxy, &database, &mut wire);
}

#[test]
fn a_transaction_holds_its_server_connection_until_it_ends() {
    let (database, proxy) = narrow();
    let (mut wire, mut waiting) = (proxy.connect(&database), proxy.connect(&database));
    wire.succeed("create table held (word text)");
    assert_eq!(
        words(&wire.simple("begin; insert into held values ('first')"))
            .last()
            .unwrap(),
        "Ready(T)"
    );
    waiting
        .send(&query("insert into held values ('second')"))
        .unwrap();
    assert_eq!(
        words(&wire.simple("select 1/0")),
        ["Error(22012)", "Ready(E)"]
    );
    assert_eq!(
        words(&wire.simple("select 1")),
        ["Error(25P02)", "Ready(E)"]
    );
    assert_eq!(
        words(&wire.simple("commit")),
        ["Complete(ROLLBACK)", "Ready(I)"]
    );
    assert_eq!(
        words(&waiting.read_ready()),
        ["Complete(INSERT 0 1)", "Ready(I)"]
    );
    assert_eq!(wire.succeed("select word from held"), ["second"]);
    assert_in_step(&proxy, &database, &mut wire);
}

#[test]
fn a_transaction_in_one_pipeline_commits() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    wire.succeed("create table piped (id int)");
    let script = [
        "begin",
        "insert into piped values (1)",
        "commit",
        "begin",
        "insert into piped values (2)",
        "rollback",
    ];
    wire.send(
        &script
            .iter()
            .flat_map(|sql| [run_unnamed(sql, &[]), sync()].concat())
            .collect::<Vec<u8>>(),
    )
    .unwrap();
    let states: Vec<String> = script
        .iter()
        .map(|_| words(&wire.read_ready()).pop().unwrap())
        .collect();
    assert_eq!(
        states,
        [
            "Ready(T)", "Ready(T)", "Ready(I)", "Ready(T)", "Ready(T)", "Ready(I)"
        ]
    );
    assert_eq!(wire.succeed("select id from piped"), ["1"]);
    assert_in_step(&proxy, &database, &mut wire);
}

#[test]
fn the_last_query_before_a_terminate_in_the_same_write_is_run() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    wire.succeed("create table farewell (id int)");
    wire.send(&[query("insert into farewell values (1)"), terminate()].concat())
        .unwrap();
    let reply = wire.read_to_close();
    assert!(
        reply.is_empty() || words(&reply) == ["Complete(INSERT 0 1)", "Ready(I)"],
        "{:?}",
        words(&reply)
    );
    let mut other = proxy.connect(&database);
    assert_eq!(other.succeed("select id from farewell"), ["1"]);
}

#[test]
fn notices_and_parameter_reports_stay_with_their_query() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    let reply = wire.simple("drop table if exists nowhere; drop table if exists never");
    let dropped = ["Notice(00000)", "Complete(DROP TABLE)"];
    assert_eq!(
        words(&reply),
        [&dropped[..], &dropped, &["Ready(I)"]].concat()
    );
    // A code block may change the session unseen, and pins.
    wire.simple("discard all");
    let reply = wire.simple("set time zone 'Asia/Tokyo'");
    assert_eq!(
        words(&reply),
        [
            "Complete(SET)",
            "Parameter(TimeZone=Asia/Tokyo)",
            "Ready(I)"
        ]
    );
    assert_eq!(wire.value("show time zone"), "Asia/Tokyo");
    let mut other = proxy.connect(&database);
    assert_ne!(other.value("show time zone"), "Asia/Tokyo");
}

#[test]
fn discard_all_in_a_pipeline_is_answered_as_the_server_answers_it() {
    let (database, proxy) = narrow();
    let mut wire = proxy.connect(&database);
    let reply = wire.ask(&[run_unnamed("discard all", &[]), sync()].concat());
    assert_eq!(words(&reply).last().unwrap(), "Ready(I)");
    assert!(
        words(&reply).contains(&"Complete(DISCARD ALL)".to_owned()),
        "{:?}",
        words(&reply)
    );
    // After another statement before the same Sync there is an implicit transaction.
    let reply = wire.ask(
        &[
            run_unnamed("select 1", &[]),
            run_unnamed("discard all", &[]),
            sync(),
        ]
        .concat(),
    );
    assert_eq!(
        words(&reply)[words(&reply).len() - 2..],
        ["Error(25001)", "Ready(I)"]
    );
    wire.send(
        &[
            query("discard all"),
            query("select 'after'"),
            query("discard all"),
        ]
        .concat(),
    )
    .unwrap();
    assert_eq!(words(&wire.read_ready()).last().unwrap(), "Ready(I)");
    assert_eq!(column(&wire.read_ready()), ["after"]);
    assert_eq!(words(&wire.read_ready()).last().unwrap(), "Ready(I)");
    assert_in_step(&proxy, &database, &mut wire);
}
