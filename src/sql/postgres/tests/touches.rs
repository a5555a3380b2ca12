//! One text per line with the touches it must have, in lower and in upper case.

use super::{check_all, verdict};

const NOTHING: &[(&str, &str)] = &[
    ("", ""),
    (" ; ;; ", ""),
    ("-- set x = 1", ""),
    ("/* set x = 1; /* nested */ */", ""),
    ("select 1", ""),
    ("select 'set x = 1; listen a'", ""),
    (
        "select $$; set x = 1; $$, $q$ select set_config('a','b',false) $q$",
        "",
    ),
    ("select \"set\", \"set_config\", set_config from t", ""),
    ("select set, \"nextval\" from t where currval = 1", ""),
    ("select 1 as temp, temp.x from temp", ""),
    ("insert into temp values (1)", ""),
    (
        "with t as (insert into temp values (1) returning *) select * from t",
        "",
    ),
    (
        "merge into temp using s on true when matched then do nothing",
        "",
    ),
    ("create table temp (local int)", ""),
    ("create unlogged table t (id int)", ""),
    ("update t set a = 1", ""),
    ("delete from t where a = 'pg_temp'", ""),
    ("alter role bob set search_path = x", ""),
    ("alter table t set (fillfactor = 70)", ""),
    ("alter system set work_mem = '1GB'", ""),
    (
        "select pg_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(2)",
        "",
    ),
    ("select pg_export_snapshot()", ""),
    ("lock table t in exclusive mode", ""),
    ("vacuum (analyze) t", ""),
    ("analyze", ""),
    ("explain (analyze, buffers) select 1", ""),
    ("begin", ""),
    ("commit", ""),
    ("prepare transaction 'set'", ""),
    (
        "create function f() returns int language sql as $$ select set_config('a','b',false) $$",
        "",
    ),
    (
        "create function f() returns int language plpgsql as 'begin perform nextval(''s''); end'",
        "",
    ),
    (
        "create trigger t after insert on x execute function f()",
        "",
    ),
    ("grant execute on function f() to bob", ""),
    (
        "create view v as select 1 as function, begin atomic from t",
        "",
    ),
    ("show all", ""),
    ("table t", ""),
    ("values (1), (2)", ""),
    ("(select 1) union (select 2)", ""),
    ("((select 1))", ""),
    ("wait for lsn '0/1'", ""),
    ("comment on table t is 'listen'", ""),
    ("truncate t", ""),
    ("refresh materialized view v", ""),
    ("select pg_temporal, pg_temperature() from t", ""),
    ("select like_escape(a, '\\\\') from t", ""),
    ("select * from t where a like 'x' escape '\\'", ""),
    ("select a from t where b = 'it''s; set x = 1'", ""),
    ("select 'a'\n'set x = 1'", ""),
    (
        "select coalesce(a, 1), count(*), lower(b) from t limit 5",
        "",
    ),
    ("select 1 -- x\n, 2", ""),
];

#[test]
fn statements_that_touch_nothing() {
    check_all(NOTHING);
}

#[test]
fn settings_of_the_session() {
    check_all(&[
        ("set x = 1", "set_session"),
        ("SeT x.y to 'z'", "set_session"),
        ("/**/set x=1", "set_session"),
        ("--c\nset/**/x/**/=/**/1", "set_session"),
        (";;set x = 1;", "set_session"),
        ("select 1; set x=1", "set_session"),
        ("set x=1;select 1", "set_session"),
        ("set session x = 1", "set_session"),
        ("set session.x = 1", "set_session"),
        ("set local.x = 1", "set_session"),
        ("set \"local\" = 1", "set_session"),
        ("set search_path to \"$user\", public, 'x'", "set_session"),
        ("set search_path = default", "set_session"),
        ("set search_path from current", "set_session"),
        ("set schema 'x'", "set_session"),
        ("set names 'utf8'", "set_session"),
        ("set names", "set_session"),
        ("set time zone 'UTC'", "set_session"),
        ("set time zone -8", "set_session"),
        ("set session time zone default", "set_session"),
        ("set timezone=-8", "set_session"),
        ("set xml option document", "set_session"),
        ("reset x", "set_session"),
        ("reset all", "set_session"),
        ("reset time zone", "set_session"),
        ("set a = 1; set b = 2", "set_session"),
        ("select set_config('a', 'b', false)", "set_session"),
        (
            "select pg_catalog.set_config('search_path', '', false);",
            "set_session",
        ),
        (
            "select set_config('a','b',false), set_config('c', null, false) as d",
            "set_session",
        ),
        (
            "select set_config('a','b',false), set_config('c', 'd', true)",
            "set_session set_local",
        ),
        (
            "select set_config('a'::text, 'b'::pg_catalog.text, false)",
            "set_session",
        ),
        (
            "select current_setting('jit') as cur, set_config('jit', 'off', false) as new",
            "set_session",
        ),
        ("select set_config('jit', $1, false)", "set_from_parameter"),
        (
            "select set_config('role', $1, false)",
            "set_from_parameter set_role",
        ),
    ]);
}

#[test]
fn settings_of_the_transaction() {
    check_all(&[
        ("set local x = 1", "set_local"),
        ("set local x.y = e'a\\nb'", "set_local"),
        ("set local time zone 'UTC'", "set_local"),
        ("set local role bob", "set_local"),
        ("set local session authorization bob", "set_local"),
        ("set local session.x = 1", "set_local"),
        ("set transaction isolation level serializable", "set_local"),
        ("set local transaction read only", "set_local"),
        ("set session transaction read only", "set_local"),
        (
            "set transaction snapshot '00000003-0000001B-1'",
            "set_local",
        ),
        ("set transaction_isolation = 'serializable'", "set_local"),
        ("reset transaction isolation level", "set_local"),
        ("set constraints all deferred", "set_local"),
        ("select set_config('a', 'b', true)", "set_local"),
        (
            "select set_config($1, $2, true), set_config('role', $3, true)",
            "set_local",
        ),
        (
            "with x as (select set_config('a', f(1, 2), true)) select * from x",
            "set_local",
        ),
        (
            "select set_config('a', set_config('b', 'c', true), true)",
            "set_local",
        ),
        (
            "select set_config('a', (select string_agg(b, ',') from t), /* c */ true)",
            "set_local",
        ),
    ]);
}

const UNNAMED: &[(&str, &str)] = &[
    ("set x = $1", "set_unknown"),
    ("set x = e'\\x41'", "set_unknown"),
    ("set x = 'a\\b'", "set_unknown"),
    ("set x = 'a'\n'b'", "set_unknown"),
    ("set x = u&'a'", "set_unknown"),
    ("set x = null", "set_unknown"),
    ("set x = 1 2", "set_unknown"),
    ("set x", "set_unknown"),
    ("set", "set_unknown"),
    ("set time zone interval '1' hour", "set_unknown"),
    ("set catalog 'x'", "set_unknown"),
    ("set local search_path = e'pg\\x5ftemp'", "set_unknown"),
    ("set session characteristics as x", "set_unknown"),
    ("reset", "set_unknown"),
    ("reset x y", "set_unknown"),
    ("select set_config('a', 'b', $1)", "set_unknown"),
    ("select set_config($1, 'b', false)", "set_unknown"),
    ("select set_config('a' || 'b', 'c', false)", "set_unknown"),
    (
        "select set_config('a', 'b', false) from generate_series(1, 2)",
        "set_unknown",
    ),
    (
        "select set_config('a', 'b', false) where false",
        "set_unknown",
    ),
    ("select set_config('a', 'b', 'false')", "set_unknown"),
    ("select set_config('a', 'b', not true)", "set_unknown"),
    ("select set_config('a', 'b', true and false)", "set_unknown"),
    (
        "select set_config('a', is_local => false, new_value => true)",
        "set_unknown",
    ),
    (
        "select set_config(is_local => true, setting_name => 'a', new_value => 'b')",
        "set_unknown",
    ),
    (
        "select set_config('a', set_config('b', 'c', false), true)",
        "set_unknown",
    ),
    (
        "select set_config(set_config('a', 'b', true), 'c', false)",
        "set_unknown",
    ),
    ("select public.set_config('a', 'b', false)", "set_unknown"),
    ("select 1, set_config('a', 'b', false)", "set_unknown"),
    ("select distinct set_config('a', 'b', false)", "set_unknown"),
    (
        "explain analyze select set_config('a', 'b', false)",
        "set_unknown",
    ),
    (
        "with x as (select set_config('a','b',false)) select * from x",
        "set_unknown",
    ),
    (
        "update t set a = set_config('a', 'b', false)",
        "set_unknown",
    ),
    ("select set_config/**/('a'||'',\n'b', false)", "set_unknown"),
    ("select \"set_config\"('a'||'b', 'c', false)", "set_unknown"),
    ("select set_limit(0.5)", "set_unknown"),
    (
        "copy (select set_config('a','b',false)) to stdout",
        "set_unknown copy",
    ),
    (
        "prepare p as select set_config('a','b',false)",
        "sql_prepare set_unknown",
    ),
];

#[test]
fn settings_that_cannot_be_named() {
    check_all(UNNAMED);
}

#[test]
fn roles() {
    check_all(&[
        ("set role bob", "set_role"),
        ("set role 'bob'", "set_role"),
        ("set role none", "set_role"),
        ("set role = bob", "set_role"),
        ("set role to bob", "set_role"),
        ("set session role bob", "set_role"),
        ("set \"role\" to bob", "set_role"),
        ("reset role", "set_role"),
        ("select set_config('role', 'bob', false)", "set_role"),
        ("set session authorization bob", "set_session_authorization"),
        (
            "set session session authorization 'bob'",
            "set_session_authorization",
        ),
        (
            "set session authorization default",
            "set_session_authorization",
        ),
        ("reset session authorization", "set_session_authorization"),
        (
            "set session characteristics as transaction isolation level serializable, read only",
            "set_session_characteristics",
        ),
        (
            "set session characteristics as transaction not deferrable",
            "set_session_characteristics",
        ),
    ]);
}

#[test]
fn temporary_objects() {
    check_all(&[
        ("create temp table t (id int)", "temp_object"),
        (
            "create temporary table if not exists t as select 1",
            "temp_object",
        ),
        ("create local temp table t (id int)", "temp_object"),
        ("create global temporary table t (id int)", "temp_object"),
        ("create/**/temp--\nsequence s", "temp_object"),
        ("create temporary view v as select 1", "temp_object"),
        ("create or replace temp view v as select 1", "temp_object"),
        (
            "create temp recursive view v (a) as select 1",
            "temp_object",
        ),
        ("select * into temp t from x", "temp_object"),
        ("select * into temporary table t from x", "temp_object"),
        ("select 1into temp t", "temp_object"),
        ("select * into local temp t from x", "temp_object"),
        (
            "with a as (select 1) select * into temp t from a",
            "temp_object",
        ),
        ("create table pg_temp.x (id int)", "temp_object"),
        ("create table \"pg_temp\".x (id int)", "temp_object"),
        ("drop table pg_temp_3.x", "temp_object"),
        ("select * from pg_temp.x", "temp_object"),
        (
            "create function pg_temp.f() returns int language sql as 'select 1'",
            "temp_object",
        ),
        (
            "explain analyze create temp table t as select 1",
            "temp_object",
        ),
        (
            "set search_path = public, pg_temp",
            "set_session temp_object",
        ),
        ("set local search_path = 'pg_temp'", "set_local temp_object"),
        ("set search_path = \"pg_temp\"", "set_session temp_object"),
        (
            "select set_config('search_path', 'a,pg_temp', false)",
            "set_session temp_object",
        ),
        (
            "create temp table t as execute p",
            "temp_object sql_execute",
        ),
    ]);
}

#[test]
fn cursors_channels_and_libraries() {
    check_all(&[
        ("declare c cursor with hold for select 1", "cursor_hold"),
        (
            "declare c binary insensitive no scroll cursor with hold for select 1",
            "cursor_hold",
        ),
        (
            "declare \"c\" cursor with/**/hold for values (1)",
            "cursor_hold",
        ),
        ("declare c cursor for select 1", "cursor"),
        ("declare c cursor without hold for select 1", "cursor"),
        (
            "declare c cursor for with hold as (select 1) select * from hold",
            "cursor",
        ),
        ("fetch all from c", "cursor"),
        ("move 5 in c", "cursor"),
        ("close c", "cursor"),
        ("close all", "cursor"),
        ("listen a", "listen"),
        ("listen \"A b\"", "listen"),
        ("unlisten a", "unlisten"),
        ("unlisten *", "unlisten"),
        ("notify a, 'payload'", "notify"),
        ("select pg_notify('a', 'b')", "notify"),
        ("load 'auto_explain'", "load"),
    ]);
}

#[test]
fn locks_and_sequences() {
    check_all(&[
        ("select pg_advisory_lock(1)", "advisory_lock"),
        (
            "select pg_catalog.pg_try_advisory_lock(1, 2)",
            "advisory_lock",
        ),
        ("select pg_advisory_lock_shared(1)", "advisory_lock"),
        ("select Pg_Try_Advisory_Lock_Shared (1)", "advisory_lock"),
        ("select \"pg_advisory_lock\"(1)", "advisory_lock"),
        (
            "select 1 from t where pg_try_advisory_lock(id)",
            "advisory_lock",
        ),
        (
            "with x as (select pg_advisory_lock(1)) select 1",
            "advisory_lock",
        ),
        (
            "select (select (select pg_advisory_lock(1)))",
            "advisory_lock",
        ),
        ("select * from pg_advisory_lock(1)", "advisory_lock"),
        (
            "select * from rows from (pg_advisory_lock(1))",
            "advisory_lock",
        ),
        ("select 0,1from pg_advisory_lock(1)", "advisory_lock"),
        (
            "explain analyze select pg_advisory_lock(1)",
            "advisory_lock",
        ),
        ("insert into t select pg_advisory_lock(1)", "advisory_lock"),
        ("select pg_advisory_unlock(1)", "advisory_unlock"),
        ("select pg_advisory_unlock_shared(1)", "advisory_unlock"),
        ("select pg_advisory_unlock_all()", "advisory_unlock"),
        (
            "select pg_advisory_lock(1), pg_advisory_unlock(2)",
            "advisory_lock advisory_unlock",
        ),
        ("select nextval('s')", "sequence_state"),
        (
            "insert into t values (nextval('pg_temp.s'))",
            "sequence_state",
        ),
        ("select currval('s'), lastval()", "sequence_recall"),
        ("select setval('s', 1)", "sequence_state"),
        ("select \"nextval\"\n('s')", "sequence_state"),
        ("values (pg_catalog.nextval('s'))", "sequence_state"),
        ("select setseed(0.5)", "random_seed"),
        ("set seed = 0.5", "random_seed"),
        ("set seed to 0.5", "random_seed"),
        ("set local seed to 0.5", "random_seed"),
        ("select set_config('seed', '0.5', true)", "random_seed"),
    ]);
}

#[test]
fn prepared_statements_and_discard() {
    check_all(&[
        ("prepare p as select 1", "sql_prepare"),
        ("prepare p (int, text) as select $1", "sql_prepare"),
        ("prepare transaction as select 1", "sql_prepare"),
        ("prepare p as set x = 1", "sql_prepare"),
        (
            "prepare p as select pg_advisory_lock(1)",
            "sql_prepare advisory_lock",
        ),
        ("execute p", "sql_execute"),
        ("execute p(1, 'x')", "sql_execute"),
        ("explain analyze execute p", "sql_execute"),
        ("explain (analyze) execute p(1)", "sql_execute"),
        ("create table t as execute p", "sql_execute"),
        ("deallocate p", "deallocate"),
        ("deallocate prepare p", "deallocate"),
        ("deallocate all", "deallocate"),
        ("discard all", "discard_all"),
        ("discard plans", "discard_plans"),
        ("discard sequences", "discard_sequences"),
        ("discard temp", "discard_temp"),
        ("discard temporary", "discard_temp"),
    ]);
}

#[test]
fn code_copy_and_the_rest() {
    check_all(&[
        (
            "do $$ begin perform set_config('a','b',false); end $$",
            "set_unknown code_block",
        ),
        ("do language plpgsql 'begin end'", "code_block"),
        ("call p()", "code_block"),
        ("call p(nextval('s'))", "code_block sequence_state"),
        (
            "select query_to_xml('select 1', true, true, '')",
            "code_block",
        ),
        ("select * from crosstab2('select 1')", "code_block"),
        ("select ts_rewrite('a'::tsquery, 'select 1')", "code_block"),
        ("copy t from stdin", "copy"),
        ("copy (select 1) to stdout with (format csv)", "copy"),
        ("copy t to program 'x'", "copy"),
        (
            "select dblink_connect('a', 'host=b')",
            "external_connection",
        ),
        ("select dblink_disconnect('a')", "external_connection"),
        (
            "select pg_replication_origin_session_setup('a')",
            "replication_session",
        ),
        (
            "select pg_create_logical_replication_slot('a', 'b', true)",
            "replication_session",
        ),
        ("select pg_backup_start('a')", "replication_session"),
        ("frobnicate", "unknown"),
        ("alter", ""),
        ("42", "unknown"),
        ("'set x = 1'", "unknown"),
        ("\"set\" x = 1", "unknown"),
        ("(set x = 1)", "unknown"),
        ("(1)", "unknown"),
        ("\u{feff}select 1", "unknown"),
        ("explain", ""),
        ("discard", "unknown"),
        ("discard all x", "unknown"),
        ("select 1; frobnicate", "unknown"),
    ]);
}

#[test]
fn what_drivers_and_tools_send() {
    check_all(&[
        // JDBC
        ("SET extra_float_digits = 3", "set_session"),
        (
            "SET application_name = 'PostgreSQL JDBC Driver'",
            "set_session",
        ),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "set_session_characteristics",
        ),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "set_session_characteristics",
        ),
        ("SHOW TRANSACTION ISOLATION LEVEL", ""),
        // asyncpg: its reset, and its look at types
        (
            "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;",
            "advisory_unlock cursor unlisten set_session",
        ),
        (
            "\n  SELECT\n    current_setting('jit') AS cur,\n    set_config('jit', 'off', false) AS new\n",
            "set_session",
        ),
        // Rails
        ("SET client_min_messages TO 'warning'", "set_session"),
        ("SET standard_conforming_strings = on", "set_session"),
        ("SET SESSION timezone TO 'UTC'", "set_session"),
        ("SET intervalstyle = iso_8601", "set_session"),
        ("SELECT pg_try_advisory_lock(2938475)", "advisory_lock"),
        // Hibernate, Spring Data
        (
            "select u1_0.id from users u1_0 where u1_0.name like $1 escape '\\'",
            "",
        ),
        ("select nextval('user_seq')", "sequence_state"),
        // Django
        ("SELECT set_config('TimeZone', 'UTC', false)", "set_session"),
        (
            "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED",
            "set_local",
        ),
        // pg_dump, psql, Prisma, PostgREST
        (
            "SET DATESTYLE = ISO; SET statement_timeout = 0; SET row_security = off",
            "set_session",
        ),
        ("SET search_path TO \"public\"", "set_session"),
        (
            "select set_config('search_path', $1, true), set_config('request.jwt.claims', $2, true)",
            "set_local",
        ),
    ]);
}

#[test]
fn the_server_s_own_splitting_is_followed() {
    for (text, statements) in [
        ("", 0),
        ("select 1", 1),
        ("select 1;", 1),
        (";select 1;;select 2;", 2),
        ("select ';'; select $$;$$; select \";\"", 3),
        (
            "create rule r as on insert to t do also (delete from a; delete from b); select 1",
            2,
        ),
        (
            "create function f() returns int begin atomic select 1; select case when a then b end; end; select 1",
            2,
        ),
        (
            "create or replace procedure p() language sql begin atomic end; select 1",
            2,
        ),
        (
            "create procedure p() begin atomic (select 1); select 1 end; end; select 1; select 2",
            3,
        ),
        (
            "create function f(begin atomic) returns int language sql as ''; set x = 1",
            2,
        ),
        (
            "create view v as select begin atomic from t; set x = 1; end",
            3,
        ),
        ("create table function (begin atomic); set x = 1", 2),
    ] {
        let verdict = verdict(text);
        assert!(verdict.complete, "{text}");
        assert_eq!(verdict.statements.len(), statements, "{text}");
    }
}

#[test]
fn reading_is_told_from_writing() {
    for text in [
        "select 1",
        "/* c */ SELECT * from t",
        "values (1)",
        "table t",
        "show x",
        "with a as (select 1) select * from a",
        "(select 1)",
        "select 1; select 2",
        "select substring(a from 1 for 2) from t",
        "select no, key, share from t",
    ] {
        assert!(verdict(text).read_only_candidate(), "{text}");
    }
    for text in [
        "",
        "select * into t from x",
        "select * from t for update",
        "select * from t for no key update",
        "select * from t for share",
        "select * from t for key share",
        "select 1; delete from t",
        "with a as (delete from t returning *) select * from a",
        "with a as (insert into t values (1)) select 1",
        "with a as (update t set b = 1) select 1",
        "with a as (merge into t using x on true when matched then delete) select 1",
        "select nextval('s')",
        "select set_config('a', 'b', true)",
        "explain select 1",
        "begin read only",
        "select 'a\\'; select 1 --'",
        "insert into t values (1)",
        "select 1; frobnicate",
        "select 'unfinished",
    ] {
        assert!(!verdict(text).read_only_candidate(), "{text}");
    }
}
