//! What each statement may touch, and whether it may be read elsewhere.

use super::{MARIADB, MYSQL, only, touches};
use crate::sql::mysql::mode::Mode;

#[track_caller]
fn check(mode: Mode, table: &[(&str, &str)]) {
    for (text, expected) in table {
        assert_eq!(touches(text, mode), *expected, "{text}");
        // Case of words and comments change nothing.
        assert_eq!(
            touches(&format!("/* c */ {text} -- d"), mode),
            *expected,
            "{text}"
        );
    }
}

#[test]
fn reads_are_candidates() {
    for text in [
        "select 1",
        "SELECT * FROM t WHERE a = 'for update' AND `into` = \"x\"",
        "(select 1) union (select 2)",
        "((select 1))",
        "table t",
        "values row(1), row(2)",
        "with a as (select 1) select * from a",
        "select t.update, t.into, t.delete from t",
        "select insert('a', 1, 2, 'b'), replace('a', 'b', 'c')",
        "select sql_no_cache a from t limit 5",
        "select @a, @@version",
        "select count(*) from t where x in (1, 2) group by y for_update",
        "show tables",
        "show full columns from t",
        "show create table t",
        "explain select 1",
        "desc t",
        "help 'select'",
        "/*!40001 select */ 1",
        "select /*+ max_execution_time(100) */ 1",
        "select a from t; select b from u",
        "select ';'",
        "select 1;",
    ] {
        let verdict = super::classify(text.as_bytes(), MYSQL);
        assert!(verdict.read_only_candidate(), "{text}: {verdict:?}");
    }
}

#[test]
fn reads_that_are_none() {
    for text in [
        "select 1 for update",
        "select 1 FOR\n UPDATE;",
        "select 1 for share",
        "select 1 for /* */ share skip locked",
        "select 1 lock in share mode",
        "select a from t into @x",
        "select a into @x from t",
        "select a into outfile 'f' from t",
        "select a into dumpfile 'f' from t",
        "select get_lock('a', 1)",
        "select `get_lock`('a', 1)",
        "select get_lock ('a', 1)",
        "select nextval(s)",
        "select next value for s",
        "select last_insert_id(5)",
        "select last_insert_id()",
        "select @a := 1",
        "with a as (select 1) update t, a set b = 1",
        "with a as (select 1) delete t from t join a",
        "explain update t set a = 1",
        "insert into t values (1)",
        "replace into t values (1)",
        "update t set a = 1",
        "delete from t",
        "do 1",
        "show master status",
        "show variables",
        "/*!40001 insert into t values (1) */",
        "select 1; update t set a = 1",
        "",
        "-- nothing",
        "(select 1) for update",
        "handler t read first",
        "analyze table t",
        "call p()",
    ] {
        assert!(
            !super::classify(text.as_bytes(), MYSQL).read_only_candidate(),
            "{text}"
        );
    }
    for text in [
        "analyze update t set a = 1",
        "analyze format=json delete from t",
        "insert into t values (1) returning a",
        "delete from t returning a",
        "select nextval(s)",
    ] {
        assert!(
            !super::classify(text.as_bytes(), MARIADB).read_only_candidate(),
            "{text}"
        );
    }
    assert!(only("analyze select 1", MARIADB).read_only_candidate);
}

#[test]
fn functions_and_variables() {
    check(
        MYSQL,
        &[
            ("select get_lock('a', 1)", "user_lock"),
            ("select a from t where GET_LOCK(b, 1) = 1", "user_lock"),
            ("select release_lock('a')", "user_unlock"),
            ("select release_all_locks()", "user_unlock"),
            ("do release_lock('a')", "user_unlock do"),
            ("select is_used_lock('a')", "connection_id"),
            (
                "select service_get_write_locks('a', 'b', 1)",
                "service_lock",
            ),
            ("select version_tokens_lock_shared('a', 1)", "service_lock"),
            ("select last_insert_id()", "last_insert_id_read"),
            ("select LAST_INSERT_ID ( /* c */ )", "last_insert_id_read"),
            (
                "update t set a = last_insert_id(a + 1)",
                "table_write last_insert_id_write",
            ),
            (
                "insert into t values (last_insert_id())",
                "table_write last_insert_id_read",
            ),
            ("select @@last_insert_id", "last_insert_id_read"),
            ("select @@session.identity", "last_insert_id_read"),
            ("select @@`identity`", "last_insert_id_read"),
            ("select row_count()", "row_count"),
            ("select found_rows()", "found_rows"),
            (
                "select sql_calc_found_rows a from t limit 1",
                "calc_found_rows",
            ),
            ("select connection_id()", "connection_id"),
            ("select @@pseudo_thread_id", "connection_id"),
            ("select @@warning_count, @@local.error_count", "diagnostics"),
            ("select @@sql_mode", ""),
            ("select identity from t", ""),
            ("select nextval(s), lastval(s)", "sequence sequence_read"),
            ("select next value for s", "sequence"),
            ("select previous value for s", "sequence_read"),
            ("select @@last_gtid", "last_gtid"),
            ("select x.last_insert_id() from t", "function"),
            ("select last_insert_id from t", ""),
            ("select concat('get_lock(', \"@a\", `@b`)", ""),
        ],
    );
}

#[test]
fn user_variables() {
    check(
        MYSQL,
        &[
            ("set @a = 1", "user_variable"),
            (
                "set @a := 'x', @b = -1.5, @c = null, @d = true, @e = 0x41, @f = x'41', @g = n'x'",
                "user_variable",
            ),
            ("set @a = 1 + 1", "user_variable_unknown"),
            ("set @a = 'x' 'y'", "user_variable_unknown"),
            ("set @a = 'x' collate utf8mb4_bin", "user_variable_unknown"),
            ("set @a = _utf8mb4'x'", "user_variable_unknown"),
            ("set @a = current_timestamp", "user_variable_unknown"),
            ("set @a = date'2020-01-01'", "user_variable_unknown"),
            ("set @a = @b", "user_variable_unknown user_variable_read"),
            ("set @a = (select max(x) from t)", "user_variable_unknown"),
            (
                "set @a = 1, @b = @a := 2",
                "user_variable user_variable_unknown user_variable_read",
            ),
            (
                "set @a = get_lock('x', 1)",
                "user_variable_unknown user_lock",
            ),
            ("set @'é' = 1", "user_variable_unknown"),
            ("select @a := 1", "user_variable_unknown user_variable_read"),
            (
                "select @a := @a + 1 from t",
                "user_variable_unknown user_variable_read",
            ),
            ("select @a", "user_variable_read"),
            ("select@a", "user_variable_read"),
            ("select 1 into @a", "user_variable_unknown"),
            ("select 1, 2 into @a, @b from t", "user_variable_unknown"),
            (
                "insert into t values (@a)",
                "user_variable_read table_write",
            ),
            (
                "insert ignore into t select @a",
                "user_variable_read table_write",
            ),
            ("call p(@a)", "user_variable_unknown call"),
            ("execute s using @a, @b", "user_variable_read sql_execute"),
            (
                "get diagnostics condition 1 @a = returned_sqlstate",
                "user_variable_unknown user_variable_read diagnostics",
            ),
            (
                "load data infile 'f' into table t (a, @b) set c = @b",
                "user_variable_unknown table_write",
            ),
            (
                "explain format=json into @v select 1",
                "user_variable_unknown",
            ),
            ("grant all on *.* to 'u'@'h', `u`@`h`", "implicit_commit"),
            ("select @''", "user_variable_unknown user_variable_read"),
        ],
    );
    let names = |text| only(text, MYSQL).variables.join(" ");
    assert_eq!(names("select @A, @`b c`, @'D''e', @a"), "a b c d'e");
    assert_eq!(names("set @X = 1, @y = @z"), "x y z");
    assert_eq!(names("select 1 into @r"), "r");
}

#[test]
fn settings() {
    check(
        MYSQL,
        &[
            ("set names utf8mb4", "set_session"),
            (
                "set names 'utf8mb4' collate utf8mb4_bin, @a = 1",
                "set_session user_variable",
            ),
            ("set character set latin1", "set_session"),
            ("set charset default", "set_session"),
            ("set sql_mode = ''", "set_session"),
            (
                "set session sql_mode = concat(@@sql_mode, ',ansi')",
                "set_session",
            ),
            (
                "set @@session.sql_mode = 'ansi', @@global.max_connections = 5",
                "set_session set_global",
            ),
            ("set global max_connections = 5", "set_global"),
            ("set persist max_connections = 5", "set_global"),
            ("set @@persist_only.max_connections = 5", "set_global"),
            ("set sql_log_bin = 0", "set_unsafe"),
            ("set @@gtid_next = 'AUTOMATIC'", "set_unsafe"),
            ("set timestamp = default", "set_unsafe"),
            ("set session_track_gtids = 'OWN_GTID'", "set_tracker"),
            ("set last_insert_id = 5", "last_insert_id_write"),
            ("set insert_id = 5", "set_unsafe"),
            ("set autocommit = 0", "set_session"),
        ],
    );
}

#[test]
fn settings_that_are_no_variables() {
    check(
        MYSQL,
        &[
            ("set password = 'x'", "set_password implicit_commit"),
            ("set password for u = 'x'", "set_password implicit_commit"),
            ("set role r", "set_role"),
            ("set role none", "set_role"),
            ("set default role r to u", "implicit_commit"),
            ("set resource group g", "set_resource_group"),
            ("set transaction read only", "next_transaction"),
            (
                "set session transaction isolation level read committed, read write",
                "set_session",
            ),
            ("set global transaction read only", "set_global"),
            (
                "set @@transaction_isolation = 'SERIALIZABLE'",
                "next_transaction",
            ),
            ("set transaction_isolation = 'SERIALIZABLE'", "set_session"),
            ("set", "unknown"),
            ("set a", "unknown"),
            ("set a = ", "unknown"),
            ("set a = 1,", "unknown"),
            ("set session authorization u", "unknown"),
            (
                "/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */",
                "user_variable_unknown",
            ),
            ("/*!40101 SET NAMES utf8 */", "set_session"),
            (
                "/*!40014 SET @OLD=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */",
                "set_session user_variable_unknown",
            ),
        ],
    );
    check(
        MARIADB,
        &[
            (
                "set statement max_statement_time = 1 for select 1",
                "set_statement",
            ),
            (
                "set statement a = 1, b = (select 1 from t) for select get_lock('a', 1)",
                "set_statement user_lock",
            ),
            (
                "set statement a = 1 for set @b = 1",
                "set_statement user_variable",
            ),
            ("set statement a = 1", "unknown"),
        ],
    );
    assert!(only("set statement max_statement_time = 1 for select 1", MARIADB).read_only_candidate);
}

#[test]
fn commands() {
    check(
        MYSQL,
        &[
            ("begin", ""),
            ("start transaction with consistent snapshot, read only", ""),
            ("commit and chain", ""),
            ("rollback to savepoint a", ""),
            ("start replica", "server implicit_commit"),
            ("begin foo", "unknown"),
            ("xa start 'a'", "xa"),
            ("use db", "schema"),
            ("use `d b`", "schema"),
            ("create temporary table t (a int)", "temp_table"),
            ("create table t (a int)", "schema_objects implicit_commit"),
            (
                "create table t select get_lock('a', 1)",
                "user_lock schema_objects implicit_commit",
            ),
            ("drop temporary table t", "temp_drop"),
            (
                "drop table if exists t, u",
                "temp_drop schema_objects implicit_commit",
            ),
            (
                "drop database d",
                "schema_objects drop_database implicit_commit",
            ),
            ("alter table t add a int", "schema_objects implicit_commit"),
            (
                "alter table t rename to u",
                "table_rename schema_objects implicit_commit",
            ),
            (
                "alter database d collate utf8mb4_bin",
                "schema schema_objects implicit_commit",
            ),
            (
                "rename table a to b",
                "table_rename schema_objects implicit_commit",
            ),
            ("truncate t", "schema_objects implicit_commit"),
            ("lock tables t read", "lock_tables implicit_commit"),
            ("unlock tables", "unlock_tables implicit_commit"),
            ("lock instance for backup", "backup_lock"),
            ("unlock instance", "backup_unlock"),
            ("flush tables", "server implicit_commit"),
            (
                "flush tables with read lock",
                "flush_lock server implicit_commit",
            ),
            (
                "flush local tables t for export",
                "flush_lock server implicit_commit",
            ),
            ("flush privileges", "server implicit_commit"),
        ],
    );
}

#[test]
fn commands_about_what_a_connection_holds() {
    check(
        MYSQL,
        &[
            ("handler t open as h", "handler"),
            ("handler h read next", "handler"),
            ("handler h close", "handler_close"),
            ("prepare s from 'select 1'", "sql_prepare"),
            ("prepare s from 'set @a = 1'", "user_variable sql_prepare"),
            (
                "prepare s from 'select get_lock(\"a\", 1)'",
                "user_lock sql_prepare",
            ),
            (
                "prepare s from @a",
                "user_variable_read sql_prepare unknown",
            ),
            (
                "prepare s from 'prepare t from \"select 1\"'",
                "sql_prepare unknown",
            ),
            ("execute s", "sql_execute"),
            ("deallocate prepare s", "deallocate"),
            ("drop prepare s", "deallocate"),
            ("call p()", "call"),
            ("do sleep(1)", "do"),
            ("show warnings", "diagnostics"),
            ("show count(*) errors", "diagnostics"),
            ("show full processlist", "process_list"),
            ("show profile", "profile"),
            ("explain for connection 5", "connection_id"),
            ("kill 5", "kill"),
            (
                "load data local infile 'f' into table t",
                "table_write load_local",
            ),
            ("load data infile 'f' into table t", "table_write"),
        ],
    );
}

#[test]
fn commands_about_the_server() {
    check(
        MYSQL,
        &[
            ("install plugin p soname 's'", "server implicit_commit"),
            ("shutdown", "server implicit_commit"),
            (
                "change replication source to source_host = 'h'",
                "server implicit_commit",
            ),
            ("binlog 'abc'", "binlog"),
            ("grant all on t to u", "implicit_commit"),
            ("optimize table t", "implicit_commit"),
            ("analyze table t", "implicit_commit"),
            ("frobnicate", "unknown"),
            ("1", "unknown"),
            ("'a'", "unknown"),
            ("(insert into t values (1))", "unknown"),
            ("delimiter //", "unknown"),
        ],
    );
    check(
        MARIADB,
        &[
            ("backup stage start", "backup_lock implicit_commit"),
            ("backup stage end", "backup_unlock implicit_commit"),
            ("backup unlock", "backup_unlock implicit_commit"),
            ("create or replace temporary table t (a int)", "temp_table"),
            ("execute immediate 'select 1'", "unknown"),
            (
                "begin not atomic set @a = 1; end",
                "user_variable_read unknown",
            ),
            ("if 1 then select 1; end if", "unknown"),
        ],
    );
}

#[test]
fn code_of_users_may_run() {
    check(
        MYSQL,
        &[
            ("select f()", "function"),
            ("select t.get_lock('a', 1)", "function"),
            ("select `count`(*) from t", "function"),
            ("select uuid_to_bin(uuid())", ""),
            ("do f(1)", "function do"),
            ("set @a = f()", "user_variable_unknown function"),
            ("insert into t (a) values (now())", "table_write"),
            ("insert into s.t (a) values (f())", "function table_write"),
            ("insert `t` (a) select f() from u", "function table_write"),
            ("replace t (a) values (1)", "table_write"),
            (
                "insert into t (a) values (1) as n (b) on duplicate key update a = f(b)",
                "function table_write",
            ),
            (
                "update t set a = coalesce(a, 0) where b in (1, 2)",
                "table_write",
            ),
            ("with a as (select 1) delete from t", "table_write"),
            ("with a (b) as (select 1) select b from a", ""),
            ("select * from (select 1) as a (b) join u using (b)", ""),
            ("select 1 from t for update", ""),
            ("show tables where f()", "function"),
            (
                "create table t (a int, key a (a), constraint c check (a > 0))",
                "schema_objects implicit_commit",
            ),
            (
                "create table t as select f()",
                "function schema_objects implicit_commit",
            ),
            ("grant select (a) on t to u", "implicit_commit"),
        ],
    );
    check(MARIADB, &[("select uuid_to_bin(uuid())", "function")]);
}
