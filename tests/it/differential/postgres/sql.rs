//! Texts of SQL, about tables that are the same on both sides.

use crate::differential::random::Random;

/// What both databases hold, made once.
pub const ONCE: &str = "
create schema one; create schema two; create schema \"a b\";
create table public.thing (id int, word text); insert into public.thing values (1, 'public');
create table one.thing (word text, id int); insert into one.thing values ('one', 10);
create table two.thing (id bigint, word varchar(20), more boolean);
insert into two.thing values (20, 'two', true);
create table \"a b\".thing (id int, word text); insert into \"a b\".thing values (30, 'a b');
create table shared (id int primary key, word text, n numeric(10, 2), at timestamptz, flag boolean);
insert into shared select g, 'word ' || g, g * 1.25, '2024-01-01 00:00:00+00'::timestamptz + g * '7 hours'::interval,
    g % 3 = 0 from generate_series(1, 40) g;
create table private (id int, word text); insert into private values (1, 'secret');
create function notice_it(t text) returns text language plpgsql as
    'begin raise notice ''noticed %'', t using detail = ''a detail''; return t; end';
create function fail_it(t text) returns text language plpgsql as
    'begin raise exception ''failed %'', t using hint = ''a hint'', errcode = ''P0042''; end';
create function set_it(name text, value text) returns text language plpgsql as
    'begin perform set_config(name, value, false); return value; end';
grant usage on schema one, two, \"a b\" to public;
grant select on shared, public.thing, one.thing, two.thing, \"a b\".thing to public;
";

/// Where every script begins.
pub const EACH_TIME: &str = "
drop table if exists item_0, item_1, item_2, made_0, made_1, made_2 cascade;
drop sequence if exists seq_0, seq_1, seq_2;
create table item_0 (id int primary key, word text, n int); insert into item_0 values (1, 'a', 1), (2, 'b', 2);
create table item_1 (id int primary key, word text, n int); insert into item_1 values (1, 'a', 1), (2, 'b', 2);
create table item_2 (id int primary key, word text, n int); insert into item_2 values (1, 'a', 1), (2, 'b', 2);
create sequence seq_0; create sequence seq_1; create sequence seq_2;
";

/// Who writes, and what tells its things from those of others.
#[derive(Clone, Copy, Debug)]
pub struct Writer {
    /// Its number: it writes to tables of this number only, so that nobody waits for a lock.
    pub client: usize,
    /// Unlike that of any other login: advisory locks of clients that left may still be held.
    pub key: usize,
}

/// What is excluded while it is known to differ. Each says what it is about; what stays out for
/// good is a limit that the documentation tells.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    /// `nextval`, `currval`, `lastval`.
    pub sequences: bool,
    /// Statements prepared by SQL, and those of the protocol named in SQL.
    pub names_by_sql: bool,
    /// Parse of a name that is taken by a statement that other settings have made impossible.
    pub names_taken: bool,
    /// Statements of the protocol whose columns may change before they are used again.
    pub shapes: bool,
    /// RESET inside a transaction, where it returns to startup options.
    pub resets: bool,
    /// Functions that change the session unseen.
    pub unseen: bool,
}

/// One statement.
pub fn statement(random: &mut Random, writer: Writer, allowed: Allowed) -> String {
    let kind: fn(&mut Random, Writer) -> String = random.weighted(&[
        (16, read as _),
        (10, by_settings as _),
        (6, wrong as _),
        (8, write as _),
        (3, noticed as _),
        (4, cursor as _),
        (3, temporary as _),
        (3, advisory as _),
        (3, channel as _),
        (3, definition as _),
        (1, discard as _),
        (1, odd as _),
    ]);
    if allowed.sequences && random.percent(3) {
        return sequence(random, writer);
    }
    if allowed.names_by_sql && random.percent(5) {
        return by_sql(random, writer);
    }
    if allowed.unseen && random.percent(2) {
        let value = random.pick(&["UTC", "Asia/Tokyo"]);
        return format!("select set_it('timezone', '{value}')");
    }
    kind(random, writer)
}

fn read(random: &mut Random, writer: Writer) -> String {
    let client = writer.client;
    let n = random.below(9);
    match random.below(14) {
        0 => format!("select {n}"),
        1 => "select 'word', null::int, 1.5::float8, true".into(),
        2 => format!("select id, word from shared order by id limit {n}"),
        3 => format!("select count(*), max(word) from item_{client}"),
        4 | 5 => format!("select * from item_{client} order by id"),
        6 => format!(
            "select id, word as w, n from shared where id > {n} order by id fetch first 3 rows only"
        ),
        7 => "values (1, 'a'), (2, 'b')".into(),
        8 => format!("table item_{client}"),
        9 => format!("with t as (select {n} as x) select x, x + 1 from t"),
        10 => format!("select repeat('x', {})", n * 4000),
        11 => format!(
            "select g, repeat('y', 100) from generate_series(1, {}) g",
            n * 20
        ),
        12 => format!("select * from item_{client} where id = {n} for update"),
        _ => format!("explain (costs off) select * from shared where id = {n}"),
    }
}

/// What shows the settings that are in force.
fn by_settings(random: &mut Random, _: Writer) -> String {
    random
        .pick(&[
            "select at, n from shared order by id limit 2",
            "select timestamptz '2024-02-03 04:05:06+00', date '2024-02-03'",
            "select interval '1 day 02:03:04', '\\x00ff'::bytea, 0.1::float8 + 0.2",
            "select current_setting('timezone'), current_setting('datestyle'), current_setting('search_path')",
            "select nullif(current_setting('app.tenant', true), ''), current_setting('work_mem')",
            "select current_user, session_user",
            "select current_schemas(false)",
            "select id, word from thing",
            "select * from thing",
            "select word from private",
            "select 'a\\\\b', 'it''s'",
            "select '01/02/2024'::date",
            "show timezone",
            "show search_path",
            "show statement_timeout",
            "show transaction_isolation",
            "show transaction_read_only",
            "show default_transaction_read_only",
            "show client_min_messages",
            "show role",
            "select name, setting from pg_settings where name in ('TimeZone', 'work_mem', 'jit') order by name",
        ])
        .into()
}

fn wrong(random: &mut Random, writer: Writer) -> String {
    match random.below(9) {
        0 => "select 1/0".into(),
        1 => "select * from nowhere".into(),
        2 => "selec 1".into(),
        3 => "select 'x'::int".into(),
        4 => "select word,\n  nothing from shared".into(),
        5 => format!("insert into item_{} values (1, 'taken')", writer.client),
        6 => "select fail_it('it')".into(),
        7 => "begin; set local statement_timeout = 3; select pg_sleep(5); commit".into(),
        _ => "select 'open".into(),
    }
}

fn write(random: &mut Random, writer: Writer) -> String {
    let client = writer.client;
    let n = random.below(30);
    match random.below(6) {
        0 | 1 => format!("insert into item_{client} (id, word) values ({n}, 'w{n}')"),
        2 => format!(
            "update item_{client} set word = word || '{n}' where id = {} returning id, word",
            n % 4
        ),
        3 => format!("delete from item_{client} where id = {}", n % 4),
        4 => format!(
            "insert into item_{client} (id) values ({n}) on conflict do nothing returning *"
        ),
        _ => format!("truncate item_{client}"),
    }
}

fn noticed(random: &mut Random, writer: Writer) -> String {
    match random.below(5) {
        0 => "drop table if exists nothing_like_this".into(),
        1 => format!("create table if not exists item_{} ()", writer.client),
        2 | 3 => "select notice_it('word')".into(),
        _ => "do $$ begin raise notice 'from a block'; end $$".into(),
    }
}

fn cursor(random: &mut Random, _: Writer) -> String {
    random
        .pick(&[
            "declare c cursor for select id, word from shared order by id",
            "declare c cursor with hold for select id from shared order by id",
            "declare \"C d\" scroll cursor for select 1",
            "fetch 2 from c",
            "fetch all in c",
            "fetch next from \"C d\"",
            "move 3 in c",
            "close c",
            "close all",
        ])
        .into()
}

fn temporary(random: &mut Random, _: Writer) -> String {
    random
        .pick(&[
            "create temp table mine (id int, word text)",
            "create temp table mine (id int) on commit drop",
            "create temp table mine on commit delete rows as select 1 as id",
            "create temporary view seen as select id from shared where id < 4",
            "select id, word into temp mine from shared where id < 3",
            "insert into mine (id) values (7)",
            "select * from mine",
            "select * from seen order by id",
            "drop table mine",
            "drop view seen",
        ])
        .into()
}

fn advisory(random: &mut Random, writer: Writer) -> String {
    let key = writer.key * 4 + random.below(2);
    random
        .pick(&[
            "select pg_advisory_lock(KEY)",
            "select pg_try_advisory_lock(KEY)",
            "select pg_try_advisory_lock_shared(KEY)",
            "select pg_advisory_unlock(KEY)",
            "select pg_advisory_unlock_shared(KEY)",
            "select pg_advisory_unlock_all()",
            "select pg_advisory_xact_lock(KEY)",
            "select pg_try_advisory_xact_lock(KEY)",
        ])
        .replace("KEY", &key.to_string())
}

fn channel(random: &mut Random, _: Writer) -> String {
    random
        .pick(&[
            "listen bell",
            "listen \"Big Bell\"",
            "notify bell, 'ding'",
            "notify bell",
            "notify \"Big Bell\", 'dong'",
            "select pg_notify('bell', 'by function')",
            "unlisten bell",
            "unlisten *",
        ])
        .into()
}

/// Statements prepared by SQL, or by the protocol and called by SQL.
fn by_sql(random: &mut Random, writer: Writer) -> String {
    let name = random.pick(&["s1", "q1", "a1", "\"S_1\""]);
    let client = writer.client;
    match random.below(9) {
        0 => format!("prepare {name} as select 1"),
        1 => format!("prepare {name} (int) as select id, word from shared where id = $1"),
        2 => format!("prepare {name} as insert into item_{client} (id) values ($1)"),
        3 => format!("execute {name}"),
        4 | 5 => format!("execute {name} (3)"),
        6 => format!("deallocate {name}"),
        7 => format!("deallocate prepare {name}"),
        _ => "deallocate all".into(),
    }
}

fn definition(random: &mut Random, writer: Writer) -> String {
    let client = writer.client;
    random
        .pick(&[
            "alter table item_CLIENT add column extra int default 7",
            "alter table item_CLIENT drop column extra",
            "alter table item_CLIENT alter column n type text",
            "create table made_CLIENT (id int)",
            "drop table made_CLIENT",
            "create index on item_CLIENT (word)",
            "lock table item_CLIENT in share mode",
            "comment on table item_CLIENT is 'a table'",
        ])
        .replace("CLIENT", &client.to_string())
}

fn discard(random: &mut Random, _: Writer) -> String {
    random
        .pick(&[
            "discard all",
            "discard plans",
            "discard sequences",
            "discard temp",
        ])
        .into()
}

fn sequence(random: &mut Random, writer: Writer) -> String {
    let client = writer.client;
    random
        .pick(&[
            "select nextval('seq_CLIENT')",
            "select currval('seq_CLIENT')",
            "select lastval()",
            "select setval('seq_CLIENT', 5)",
            "select setval('seq_CLIENT', 7, false)",
        ])
        .replace("CLIENT", &client.to_string())
}

fn odd(random: &mut Random, _: Writer) -> String {
    random
        .pick(&[
            "",
            ";",
            "-- nothing",
            "/* /* nested */ */ select 2",
            "select $$dollar$$, $a$b$a$",
            "select U&'\\0061', E'a\\tb'",
            "SELECT 1 AS \"Sluice_1\"",
            "select 'sluice_1 is a word'",
            "checkpoint",
            "show all of it",
        ])
        .into()
}

/// A statement with parameters, and values for them as text.
pub fn with_parameters(random: &mut Random, writer: Writer) -> (String, Vec<Option<String>>) {
    let client = writer.client;
    let n = Some(random.below(12).to_string());
    let word = Some(random.pick(&["w", "it's", "Asia/Tokyo", ""]).to_owned());
    match random.below(9) {
        0 => ("select $1::int + 1".into(), vec![n]),
        1 | 2 => (
            "select id, word from shared where id < $1 order by id".into(),
            vec![n],
        ),
        3 => (
            format!("insert into item_{client} (id, word) values ($1, $2) returning id"),
            vec![n, word],
        ),
        4 => ("select $1::text, $2::int".into(), vec![word, n]),
        5 => (
            format!("select * from item_{client} where id = $1"),
            vec![n],
        ),
        6 => ("select word from thing where id >= $1".into(), vec![n]),
        7 => ("select at from shared where id = $1".into(), vec![n]),
        _ => (
            "select g from generate_series(1, $1::int) g".into(),
            vec![n],
        ),
    }
}

/// Begins, ends and splits of transactions. `open`: one is, as far as the writer knows; says
/// whether it is afterwards.
pub fn transaction(random: &mut Random, open: bool) -> (String, bool) {
    if !open && random.percent(80) {
        let begin = random.pick(&[
            "begin",
            "begin",
            "begin",
            "BEGIN TRANSACTION",
            "start transaction",
            "begin isolation level repeatable read",
            "start transaction read only",
            "begin isolation level serializable read only deferrable",
        ]);
        return (begin.into(), true);
    }
    let (sql, open) = random.weighted(&[
        (8, ("commit", false)),
        (4, ("rollback", false)),
        (1, ("end", false)),
        (1, ("abort", false)),
        (1, ("commit and chain", true)),
        (1, ("rollback and chain", true)),
        (5, ("savepoint a", true)),
        (2, ("savepoint b", true)),
        (5, ("rollback to a", true)),
        (2, ("rollback to savepoint b", true)),
        (2, ("release a", true)),
        (1, ("release savepoint b", true)),
        (1, ("set transaction isolation level repeatable read", true)),
        (1, ("set transaction read only", true)),
        (1, ("begin", true)),
        (1, ("set constraints all deferred", true)),
    ]);
    (sql.into(), open)
}
