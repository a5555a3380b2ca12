//! Statements of clients, and what both servers hold.

use super::MOST_CLIENTS;
use crate::{differential::random::Random, support::mysql::Kind};

/// The schema of all clients.
pub const SCHEMA: &str = "test_twin";

/// Schemas that clients choose; one of them does not exist.
pub const SCHEMAS: [&str; 4] = [SCHEMA, "test_other", SCHEMA, "test_nothing"];

/// What is made once on each server.
pub fn once(kind: Kind) -> Vec<String> {
    let mut texts = Vec::new();
    for schema in [SCHEMA, "test_other"] {
        texts.push(format!("create database {schema}; use {schema}"));
        texts.push(
            "create table shared (id int primary key, name varchar(20), n int);
            insert into shared values (1, 'one', 10), (2, 'two', 20), (3, 'three', null)"
                .into(),
        );
        for client in 0..MOST_CLIENTS {
            texts.push(format!(
                "create table item_{client} (id int auto_increment primary key,
                    name varchar(6), n int)"
            ));
        }
        texts.extend(ROUTINES.map(str::to_owned));
        // MariaDB's trackers do not tell what triggers assign.
        for client in (0..MOST_CLIENTS).filter(|_| kind == Kind::MySql) {
            texts.push(format!(
                "create trigger trig_{client} before insert on item_{client}
                    for each row set @trig = ifnull(@trig, 0) + 1"
            ));
        }
    }
    texts
}

const ROUTINES: [&str; 11] = [
    "create procedure p_two() begin select 1 as a; select 2 as b, 3 as c; end",
    "create procedure p_set(x int) set @v = x",
    "create procedure p_mode() set session sql_mode = 'ANSI_QUOTES'",
    "create procedure p_zone() begin set time_zone = '+07:00'; select @@time_zone; end",
    "create procedure p_temp() create temporary table if not exists in_p (id int)",
    "create procedure p_begin() start transaction",
    "create procedure p_commit() commit",
    "create procedure p_out(out x int) set x = 42",
    "create procedure p_error() begin select 'before'; signal sqlstate '45000' set message_text = 'on purpose'; end",
    "create procedure p_warn() begin signal sqlstate '01000' set message_text = 'careful'; end",
    "create function f_var(x int) returns int no sql begin set @f = x; return x + 1; end",
];

/// What brings the databases back to where every script begins.
pub fn each_time(all: bool) -> String {
    let mut texts = vec!["set lock_wait_timeout = 60".to_owned()];
    for schema in [SCHEMA, "test_other"] {
        for client in 0..MOST_CLIENTS {
            if all || schema == SCHEMA {
                texts.push(format!("truncate {schema}.item_{client}"));
                texts.push(format!(
                    "insert into {schema}.item_{client} values (1, 'a', 1), (2, 'b', 2)"
                ));
            }
            texts.push(format!("drop table if exists {schema}.made_{client}"));
            texts.push(format!("drop table if exists {schema}.other_{client}"));
        }
    }
    for client in 0..MOST_CLIENTS {
        texts.push(format!("drop database if exists test_gone_{client}"));
    }
    texts.join("; ")
}

/// A query for what clients have written.
pub fn contents() -> String {
    let mut texts = Vec::new();
    for schema in [SCHEMA, "test_other"] {
        for client in 0..MOST_CLIENTS {
            texts.push(format!(
                "select '{schema}.{client}', group_concat(id, ' ', ifnull(name, '-'), ' ', ifnull(n, '-') order by id)
                 from {schema}.item_{client}"
            ));
        }
    }
    format!("set lock_wait_timeout = 1; {}", texts.join(" union all "))
}

const VARIABLES: [&str; 26] = [
    "set @a = {n}",
    "set @a = 'it''s'",
    "set @a = 'a\\\\b'",
    "set @a := 1.50, @b = -7",
    "set @a = null",
    "set @b = @a + 1",
    "set @a = 'é'",
    "set @a = _latin1'x'",
    "set @a = x'4142'",
    "set @a = 0x4142",
    "set @a = b'101'",
    "set @a = 1e3",
    "set @a = true, @c = 'c'",
    "set @a = concat('a', 'b')",
    "set @`a` = \"q\"",
    "set @a = date '2020-01-02'",
    "select {n} into @a",
    "select id, name into @a, @b from shared where id = 2",
    "select name into @a from shared where id = 99",
    "select @a := {n}",
    "do @c := 3",
    "select @a, @b, @c, @v, @f, @trig",
    "select @a, @b, @v, @trig",
    "select f_var({n})",
    "select @f",
    "set @a = f_var(5)",
];

const TRANSACTIONS: [&str; 20] = [
    "begin",
    "begin",
    "start transaction",
    "start transaction read only",
    "start transaction with consistent snapshot, read write",
    "commit",
    "commit",
    "commit",
    "rollback",
    "rollback",
    "rollback",
    "savepoint s",
    "savepoint s",
    "rollback to savepoint s",
    "release savepoint s",
    "commit and chain",
    "rollback and chain",
    "commit release",
    "commit work and no chain no release",
    "rollback",
];

const DATA: [&str; 30] = [
    "insert into item_{c} (name, n) values ('x', {n})",
    "insert into item_{c} (name, n) values ('x', {n})",
    "insert into item_{c} (name) values ('y'), ('z')",
    "insert into item_{c} values ({n}, 'e', 0)",
    "insert into item_{c} values (0, 'zero', 0)",
    "insert into item_{c} values (1, 'dup', 0)",
    "insert ignore into item_{c} values (1, 'dup', 0), (null, 'new', 1)",
    "insert into item_{c} (name) values ('much too long')",
    "insert into item_{c} (id, name) values (1, 'k') on duplicate key update n = n + 1",
    "insert into item_{c} (id, name) values (2, 'k') on duplicate key update id = last_insert_id(id), n = 5",
    "replace into item_{c} values (2, 'r', {n})",
    "insert into item_{c} (name) select name from shared where id < 3",
    "update item_{c} set n = {n}",
    "update item_{c} set n = {n} where id = 1",
    "update item_{c} set n = n",
    "update item_{c} set name = 'long long long' where id = 2",
    "delete from item_{c} where id > 2",
    "delete from item_{c} where id = 99",
    "select * from item_{c} order by id",
    "select * from item_{c} order by id",
    "select id, name from shared order by id",
    "select name from shared where id = {n}",
    "select count(*) from shared",
    "select * from item_{c} order by id for update",
    "select * from shared where id = 1 lock in share mode",
    "table shared",
    "select 1 as one, 'zwei' as two, null as nothing",
    "select repeat('x', 300)",
    "select 'a\\'b'",
    "select \"double\", 'single'",
];

/// What asks about the command before it in the same text, where Sluice answers that itself
/// otherwise, or says that it does not know any more.
const ASKED: [&str; 36] = [
    "select last_insert_id()",
    "select last_insert_id()",
    "select last_insert_id() as id, {n} as n",
    "insert into item_{c} (n) values (last_insert_id())",
    "select @@identity, @@last_insert_id",
    "select last_insert_id({n})",
    "select last_insert_id(id) from shared where id = 3",
    "update item_{c} set n = last_insert_id(n + 1) where id = 1",
    "select row_count()",
    "select row_count()",
    "SELECT ROW_COUNT();",
    "select row_count() as r",
    "select found_rows()",
    "select found_rows()",
    "select FOUND_ROWS() as f",
    "select sql_calc_found_rows id from shared order by id limit 1",
    "show warnings",
    "show warnings",
    "show warnings",
    "SHOW WARNINGS",
    "SHOW WARNINGS;",
    "update item_{c} set n = {n} where id < 3;select row_count() + 1",
    "insert into item_{c} (name) values ('ef');select id from item_{c} where row_count() = 1 and id = last_insert_id()",
    "select id from shared limit 2;select found_rows(), row_count()",
    "select cast('12x' as signed) from shared;show warnings limit 1",
    "select cast('12x' as signed) from shared;show errors;show count(*) warnings",
    "select cast('12x' as signed) from shared;show count(*) errors;select @@warning_count",
    "select cast('12x' as signed) from shared;select @@warning_count, @@error_count",
    "select cast('12x' as signed) from shared;get diagnostics condition 1 @p3 = message_text",
    "update item_{c} set n = 3;get diagnostics @p1 = number, @p2 = row_count",
    "select @p1, @p2, @p3",
    "select connection_id()",
    "SELECT CONNECTION_ID()",
    "select connection_id() as me",
    "select version() is not null, user()",
    "select sleep(0)",
];

const HELD: [&str; 36] = [
    "create temporary table tmp (id int)",
    "create temporary table tmp (id int auto_increment primary key)",
    "create temporary table if not exists tmp as select id from shared",
    "insert into tmp values (1), (2)",
    "select * from tmp order by 1",
    "drop temporary table tmp",
    "drop temporary table if exists tmp, tmp2",
    "drop table tmp",
    "alter table tmp rename to tmp2",
    "truncate tmp",
    "create temporary table shared (x int)",
    "drop temporary table shared",
    "do get_lock('lock_{c}', 5)",
    "select get_lock('lock_{c}', 5)",
    "select get_lock('lock_{c}_2', 5)",
    "select release_lock('lock_{c}')",
    "select release_lock('lock_{c}_2')",
    "select release_all_locks()",
    "select is_free_lock('lock_{c}'), is_used_lock('lock_{c}') is null",
    "lock tables item_{c} write",
    "lock tables shared read",
    "lock tables shared read, item_{c} write",
    "unlock tables",
    "handler shared open",
    "handler shared open as h",
    "handler shared read first",
    "handler shared read next",
    "handler h read `primary` = (2)",
    "handler shared close",
    "handler h close",
    "prepare p from 'select ? + 1'",
    "prepare p from 'select @a, database()'",
    "execute p",
    "execute p using @a",
    "deallocate prepare p",
    "drop prepare p",
];

const OBJECTS: [&str; 20] = [
    "create table made_{c} (id int)",
    "create table made_{c} as select * from shared",
    "insert into made_{c} values (1)",
    "alter table made_{c} add column x int",
    "drop table made_{c}",
    "drop table if exists made_{c}",
    "rename table made_{c} to other_{c}",
    "show create table shared",
    "show columns from shared",
    "show variables like 'sql_mode'",
    "use test_other",
    "use test_twin",
    "use test_twin",
    "use test_nothing",
    "create database if not exists test_gone_{c}",
    "use test_gone_{c}",
    "drop database if exists test_gone_{c}",
    "select database(), schema()",
    "show tables like 'shar%'",
    "flush tables with read lock",
];

const CALLED: [&str; 13] = [
    "call p_two()",
    "call p_set({n})",
    "call p_mode()",
    "call p_zone()",
    "call p_temp()",
    "select * from in_p",
    "call p_begin()",
    "call p_commit()",
    "call p_out(@o)",
    "select @o",
    "call p_error()",
    "call p_warn()",
    "call nothing()",
];

const FAILING: [&str; 19] = [
    "selec",
    "",
    "select nothing",
    "select * from nowhere",
    "signal sqlstate '45000' set message_text = 'on purpose'",
    "signal sqlstate '01000' set message_text = 'careful'",
    "select 1/0, cast('x' as signed)",
    "select cast('12x' as signed), cast('y' as signed)",
    "insert into shared values (1, 'dup', 0)",
    "insert into item_{c} (nothing) values (1)",
    "select 'open",
    "select 1 /* open",
    "drop table if exists nothing_{c}",
    "kill 4000000000",
    "kill query 4000000000",
    "kill query {id}",
    "create table shared (id int)",
    "load data local infile 'file' into table item_{c}",
    "load data local infile 'file' ignore into table item_{c} (id, name, n)",
];

/// A statement; `{id}` in it is the connection's number.
pub fn statement(random: &mut Random, client: usize, kind: Kind) -> String {
    let from: &[&str] = random.weighted(&[
        (14, &VARIABLES[..]),
        (14, &TRANSACTIONS[..]),
        (22, &DATA[..]),
        (18, &ASKED[..]),
        (12, &HELD[..]),
        (7, &OBJECTS[..]),
        (6, &CALLED[..]),
        (7, &FAILING[..]),
    ]);
    let mut text = random.pick(from);
    // MariaDB shows warnings of a statement that is not the last, if that had no tables.
    if kind == Kind::MariaDb && text.to_ascii_lowercase().starts_with("show warnings") {
        text = "select cast('12x' as signed) from shared;show warnings";
    }
    // What triggers and functions assign, MariaDB's trackers do not tell.
    if kind == Kind::MariaDb && (text.contains("f_var") || text.contains("@trig")) {
        text = "select @a, @b, @c, @v";
    }
    // It gives the sql_mode back when the routine ends, but not the status flag that stands for it.
    if kind == Kind::MariaDb && text.contains("p_mode") {
        text = "call p_zone()";
    }
    let n = random.below(20).to_string();
    text.replace("{c}", &client.to_string()).replace("{n}", &n)
}
