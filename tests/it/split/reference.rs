//! The verdicts held against real servers: what is taken for a read must be one to a transaction that only
//! reads.

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use sluice::{
    protocol::{mysql::catalogue as mysql_catalogue, postgres::catalogue as postgres_catalogue},
    sql::{
        mysql::{Flavor, Mode, reading as mysql_reading},
        postgres::reading as postgres_reading,
        reading::{Catalogue, Demand, Reading},
    },
};

use crate::support::{
    mysql::{self, Kind, message::Reply},
    postgres::Database,
    sluice::is_direct,
    wire::Wire,
};

/// Statements of the tables, but for what is asked with parameters or waits for data.
fn statements(table: &str) -> impl Iterator<Item = String> {
    let lines = table
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let texts = lines.map(|line| line.split_once(" | ").unwrap().1.replace("\\n", "\n"));
    texts.filter(|text| !text.contains("$1") && !text.contains('?'))
}

/// Random statements from pieces that belong together now and then.
fn random(pieces: &'static [&'static str], count: usize) -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    let words = proptest::collection::vec(proptest::sample::select(pieces), 1..9);
    let texts = words.prop_map(|words| format!("select {}", words.join(" ")));
    (0..count)
        .map(|_| texts.new_tree(&mut runner).unwrap().current())
        .collect()
}

fn reads(reading: &Reading) -> bool {
    matches!(reading.demand, Demand::Read)
}

const POSTGRES_OBJECTS: &str = "
create table t (id int primary key, v text); create table t2 (id int);
insert into t values (1, 'a'), (2, 'b');
create sequence s;
create function volatile_fn(int) returns int volatile language sql as 'insert into t2 values ($1) returning id';
create function volatile_rows() returns setof int volatile language sql as 'insert into t2 values (1) returning id';
create function stable_fn(int) returns int stable language sql as 'select $1';
create function immutable_fn(int) returns int immutable language sql as 'select $1';
create function lateral_fn(int) returns setof int stable language sql as 'select $1';
create function bump(t) returns int volatile language sql as 'insert into t2 values (1) returning id';
create function lower_too(text) returns text volatile language sql as 'insert into t2 values (1) returning ''a''';
create function \"Volatile Fn\"(int) returns int volatile language sql as 'insert into t2 values ($1) returning id';
create function step(int, int) returns int volatile language sql as 'insert into t2 values ($1) returning id';
create aggregate volatile_agg(int) (sfunc = step, stype = int, initcond = '0');
create function equals(int, int) returns bool volatile language sql as 'insert into t2 values ($1) returning true';
create operator === (leftarg = int, rightarg = int, function = equals);
create view v_plain as select * from t; create view v_ok as select count(*) from t;
create view v_seq as select nextval('s') as n; create view v_on as select * from v_seq;
create view v_sub as select * from t where id in (select n from v_seq);
create view v_now as select txid_current() as x; create view v_op as select 1 === 2 as x;
create materialized view m as select * from t;
create unlogged table ul (id int); create table par (a int) partition by range (a);
create unlogged table part partition of par for values from (0) to (10);
create table pol (id int); alter table pol enable row level security;
create policy p on pol using (volatile_fn(id) = 1);
";

fn postgres_catalogue_of(wire: &mut Wire) -> Catalogue {
    let answer = wire.value(postgres_catalogue::CATALOGUE);
    postgres_catalogue::catalogue(answer.as_bytes()).expect("a catalogue")
}

/// True if a read-only transaction on the server refuses it as no read.
fn refused_by_postgres(wire: &mut Wire, text: &str) -> bool {
    wire.simple("begin read only; set local statement_timeout = '2s'");
    let messages = wire.simple(text);
    wire.simple("rollback");
    let errors = messages.iter().filter(|message| message.tag == b'E');
    errors
        .map(|error| String::from_utf8_lossy(&error.body).into_owned())
        .any(|error| error.contains("C25006"))
}

const PIECES: &[&str] = &[
    "1",
    "id",
    "v",
    "t",
    "from t",
    "from t2",
    "where id = 1",
    ",",
    "(select 1)",
    "nextval('s')",
    "volatile_fn(1)",
    "stable_fn(1)",
    "for update",
    "for share",
    "into x",
    "union select 1",
    "limit 1",
    "===",
    "+",
    "count(*)",
    "t.bump",
    "v_seq",
    "from v_on",
    "from v_plain",
    "; insert into t2 values (1)",
    "; select 1",
    "setval('s', 1)",
    "order by 1",
    "lower('A')",
    "lower_too('a')",
    "(with d as (delete from t2 returning *) select 1)",
    "as x",
    "group by id",
    "pg_notify('a', 'b')",
    "lo_creat(-1)",
    "exists (select 1 from t)",
    "case when true then",
    "end",
    "volatile_agg(id)",
];

#[test]
fn what_is_taken_for_a_read_is_one_to_postgresql() {
    if is_direct() {
        return;
    }
    let database = Database::new();
    let mut wire = database.admin();
    wire.succeed(POSTGRES_OBJECTS);
    let catalogue = postgres_catalogue_of(&mut wire);
    let (mut taken, mut refused) = (0, Vec::new());
    let table = include_str!("../../corpus/postgres_routes.txt");
    for text in statements(table).chain(random(PIECES, 4000)) {
        let reading = postgres_reading(text.as_bytes(), Some(&catalogue));
        if reads(&reading) {
            taken += 1;
            if refused_by_postgres(&mut wire, &text) {
                refused.push(text);
            }
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
    assert!(taken > 150, "{taken}");
    // The check is one: these are refused.
    assert!(refused_by_postgres(&mut wire, "select volatile_fn(1)"));
    assert!(refused_by_postgres(&mut wire, "select * from v_on"));
    // The table's own claims about objects hold for the catalogue of a real server too.
    let wrong: Vec<_> = table
        .lines()
        .filter_map(|line| line.split_once(" | "))
        .filter(|(expected, text)| {
            let reading = postgres_reading(text.replace("\\n", "\n").as_bytes(), Some(&catalogue));
            (*expected == "read") != reads(&reading)
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

const MYSQL_OBJECTS: [&str; 12] = [
    "create table t (id int primary key, v varchar(20))",
    "create table t2 (id int)",
    "insert into t values (1, 'a'), (2, 'b')",
    "create table mem (id int) engine = memory",
    "create function reads_fn(n int) returns int reads sql data return n",
    "create function nosql_fn(n int) returns int no sql deterministic return n",
    "create function plain_fn(n int) returns int deterministic return n",
    "create function writes_fn(n int) returns int modifies sql data begin insert into t2 values (n); return n; end",
    "create view v_plain as select * from t",
    "create view v_reads as select reads_fn(1) as x",
    "create view v_writes as select writes_fn(1) as x",
    "create view v_over as select * from v_writes",
];

const MYSQL_PIECES: &[&str] = &[
    "1",
    "id",
    "v",
    "from t",
    "from t2",
    "where id = 1",
    ",",
    "(select 1)",
    "writes_fn(1)",
    "reads_fn(1)",
    "plain_fn(1)",
    "for update",
    "lock in share mode",
    "for share",
    "into @x",
    "union select 1",
    "limit 1",
    "+",
    "count(*)",
    "from v_writes",
    "from v_over",
    "from v_plain",
    "; insert into t2 values (1)",
    "; select 1",
    "order by 1",
    "lower('A')",
    "as x",
    "group by id",
    "get_lock('a', 0)",
    "@a := 1",
    "@a",
    "exists (select 1 from t)",
    "last_insert_id(3)",
    "case when 1 then",
    "end",
    "rand()",
];

fn real_mysql(kind: Kind, flavor: Flavor) {
    let database = mysql::Database::new(kind);
    let mut wire = database.admin();
    wire.succeed("set global log_bin_trust_function_creators = 1");
    for text in MYSQL_OBJECTS {
        wire.succeed(text);
    }
    let answer = wire.value(mysql_catalogue::CATALOGUE);
    let catalogue = mysql_catalogue::catalogue(answer.as_bytes()).expect("a catalogue");
    let mode = Mode::new(flavor, 110_803);
    let mut refused_by_server = |text: &str| {
        wire.succeed("start transaction read only");
        let replies = wire.query(text);
        let errors = replies.unwrap_or_default().into_iter();
        let refused = errors.into_iter().any(|reply| match reply {
            Reply::Err(failure) | Reply::Cut { failure, .. } => failure.code == 1792,
            Reply::Ok(_) | Reply::Rows { .. } => false,
        });
        let _ = wire.query("rollback");
        refused
    };
    let (mut taken, mut refused) = (0, Vec::new());
    let table = include_str!("../../corpus/mysql_routes.txt")
        .replace("test.", &format!("{}.", database.name));
    for text in statements(&table).chain(random(MYSQL_PIECES, 4000)) {
        let reading = mysql_reading(text.as_bytes(), mode, Some(&catalogue));
        if reads(&reading) && !text.starts_with("use ") {
            taken += 1;
            if refused_by_server(&text) {
                refused.push(text);
            }
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
    assert!(taken > 100, "{taken}");
    assert!(refused_by_server("select writes_fn(1)") && refused_by_server("select * from v_over"));
    for (text, expected) in [
        ("select * from v_reads", false),
        ("select * from v_plain", true),
        ("select * from v_writes", false),
        ("select * from v_over", false),
        ("select reads_fn(1)", false),
        ("select plain_fn(1)", false),
        ("select * from mem", false),
    ] {
        let reading = mysql_reading(text.as_bytes(), mode, Some(&catalogue));
        assert_eq!(reads(&reading), expected, "{text}");
    }
}

#[test]
fn what_is_taken_for_a_read_is_one_to_mysql() {
    if !is_direct() {
        real_mysql(Kind::MySql, Flavor::MySql);
    }
}

#[test]
fn what_is_taken_for_a_read_is_one_to_mariadb() {
    if !is_direct() {
        real_mysql(Kind::MariaDb, Flavor::MariaDb);
    }
}
