//! Texts that change settings, in every form there is.

use crate::differential::random::Random;

/// Names, and values as `set_config` takes them.
const SETTINGS: &[(&str, &[&str])] = &[
    ("TimeZone", &["Asia/Tokyo", "UTC", "Europe/Rome", "-3"]),
    (
        "DateStyle",
        &["SQL, DMY", "ISO, MDY", "German", "postgres, ymd"],
    ),
    ("IntervalStyle", &["iso_8601", "sql_standard", "postgres"]),
    ("extra_float_digits", &["0", "-3", "3"]),
    ("bytea_output", &["escape", "hex"]),
    ("application_name", &["me", "it's me", "", "a \\ b"]),
    ("work_mem", &["1234kB", "4MB", "8192"]),
    ("statement_timeout", &["600s", "700000", "0", "11min"]),
    ("lock_timeout", &["500s", "0"]),
    ("client_min_messages", &["warning", "notice", "error"]),
    ("standard_conforming_strings", &["off", "on"]),
    (
        "default_transaction_isolation",
        &["serializable", "repeatable read", "read committed"],
    ),
    ("default_transaction_read_only", &["on", "off", "off"]),
    ("app.tenant", &["1", "two", "o'r", ""]),
    ("app.\"Odd One\"", &["x"]),
    ("jit", &["off", "on"]),
    ("enable_indexscan", &["off", "on"]),
    ("enable_bitmapscan", &["off", "on"]),
    ("enable_seqscan", &["off", "on"]),
    ("client_encoding", &["LATIN1", "UTF8", "SQL_ASCII"]),
    ("row_security", &["off", "on"]),
    ("plan_cache_mode", &["force_generic_plan", "auto"]),
    ("array_nulls", &["off", "on"]),
    ("transform_null_equals", &["on", "off"]),
    ("idle_in_transaction_session_timeout", &["900s", "0"]),
    ("max_parallel_workers_per_gather", &["0", "2"]),
];

/// Values of `search_path` as `SET` takes them, and the same as `set_config` does.
const PATHS: &[(&str, &str)] = &[
    ("one", "one"),
    ("one, public", "one, public"),
    ("two, one, public", "two, one, public"),
    ("\"a b\", public", "\"a b\", public"),
    ("'a b', 'public'", "\"a b\", public"),
    ("'one, two'", "\"one, two\""),
    ("\"$user\", public", "\"$user\", public"),
    ("''", "\"\""),
    ("public", "public"),
    ("pg_catalog, two", "pg_catalog, two"),
];

/// A text that changes a setting. `resets`: it may return one to what the session started with.
pub fn change(random: &mut Random, resets: bool) -> String {
    match random.below(20) {
        13..=15 if !resets => plain(random),
        0..=7 => plain(random),
        8..=10 => path(random),
        11 | 12 => by_function(random),
        13 | 14 => reset(random),
        15 => special(random),
        16 => role(random),
        17 => wrong(random),
        _ => plain(random),
    }
}

fn scope(random: &mut Random) -> &'static str {
    random.weighted(&[(6, ""), (2, "session "), (4, "local ")])
}

fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

fn plain(random: &mut Random) -> String {
    let (name, values) = random.pick(SETTINGS);
    let value = random.pick(values);
    let bare = !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric());
    let bare = bare && !value.ends_with("kB") && !value.ends_with('s');
    let starts_well =
        bare && (value.parse::<u32>().is_ok() || !value.starts_with(|c: char| c.is_ascii_digit()));
    let listed = name == "DateStyle";
    let value = match random.below(3) {
        0 if starts_well => value.to_owned(),
        1 if listed => value.to_owned(),
        _ => quoted(value),
    };
    let equals = random.pick(&["=", "to"]);
    let name = if random.percent(10) {
        name.to_uppercase()
    } else {
        name.to_owned()
    };
    format!("set {}{name} {equals} {value}", scope(random))
}

fn path(random: &mut Random) -> String {
    let (list, raw) = random.pick(PATHS);
    if random.percent(30) {
        let local = random.percent(30);
        return format!("select set_config('search_path', {}, {local})", quoted(raw));
    }
    format!("set {}search_path to {list}", scope(random))
}

fn by_function(random: &mut Random) -> String {
    let (name, values) = random.pick(SETTINGS);
    let value = quoted(random.pick(values));
    let local = random.pick(&["false", "false", "true"]);
    let name = quoted(&name.replace('"', ""));
    if random.percent(25) {
        // Where it is less plain whether, when and how often it happens.
        return random
            .pick(&[
                "select CALL from generate_series(1, 3)",
                "select CALL where false",
                "select CALL from shared where id = 999",
                "select 1 where CALL = 'x'",
                "values (CALL)",
                "with t as (select CALL as v) select v from t",
                "select (select CALL)",
                "copy (select CALL) to stdout",
                "explain (analyze, costs off, timing off, summary off) select CALL",
                "explain (costs off) select CALL",
                "declare c cursor for select CALL",
                "select case when CALL = '1' then 2 end",
                "select CALL, 1/0",
            ])
            .replace("CALL", &format!("set_config({name}, {value}, {local})"));
    }
    match random.below(4) {
        0 => format!("select pg_catalog.set_config({name}, {value}, {local}), 1"),
        1 => format!(
            "select set_config({name}, {value}, {local}), set_config('app.tenant', '3', {local})"
        ),
        _ => format!("select set_config({name}, {value}, {local})"),
    }
}

fn reset(random: &mut Random) -> String {
    let (name, _) = random.pick(SETTINGS);
    match random.below(6) {
        0 => "reset all".into(),
        1 => format!("set {name} to default"),
        2 => format!("set local {name} to default"),
        3 => "reset search_path".into(),
        _ => format!("reset {name}"),
    }
}

fn special(random: &mut Random) -> String {
    random
        .pick(&[
            "set time zone 'Asia/Tokyo'",
            "set time zone local",
            "set time zone default",
            "set local time zone 3",
            "set time zone interval '+02:00' hour to minute",
            "reset time zone",
            "set names 'LATIN1'",
            "set names",
            "set session characteristics as transaction isolation level serializable",
            "set session characteristics as transaction read only",
            "set session characteristics as transaction isolation level read committed, read write",
            "set schema 'one'",
            "set transaction isolation level serializable",
            "set seed to 0.5",
            "show timezone",
            "set app.tenant to default",
        ])
        .into()
}

fn role(random: &mut Random) -> String {
    random
        .pick(&[
            "set role other",
            "set local role other",
            "set role none",
            "set role 'other'",
            "reset role",
            "set session authorization default",
            "reset session authorization",
            "set session authorization app_md5",
            "set role nobody_like_this",
            "select set_config('role', 'other', false)",
        ])
        .into()
}

fn wrong(random: &mut Random) -> String {
    random
        .pick(&[
            "set timezone = 'Nowhere/Land'",
            "set work_mem = 'much'",
            "set no_such_setting = 1",
            "set datestyle to 'never'",
            "set max_connections = 3",
            "reset no_such_setting",
            "select set_config('work_mem', 'much', false)",
            "set search_path",
            "set log_statement = 'all'",
        ])
        .into()
}

/// A query for settings that scripts change. A setting of an own name that was once given is
/// empty after a reset, and nothing on a connection that never had it: the same to us.
pub fn shown() -> String {
    let names: Vec<String> = SETTINGS
        .iter()
        .filter(|(name, _)| !name.contains('.'))
        .map(|(name, _)| format!("current_setting({})", quoted(name)))
        .collect();
    format!(
        "select nullif(current_setting('app.tenant', true), ''), current_user, \
         current_setting('search_path'), {}",
        names.join(", ")
    )
}

/// Startup parameters.
pub fn startup(random: &mut Random) -> Vec<(&'static str, &'static str)> {
    let all = [
        ("application_name", "asked for"),
        ("TimeZone", "Europe/Rome"),
        ("DateStyle", "ISO, DMY"),
        ("search_path", "one, public"),
        ("options", "-c statement_timeout=800s -c search_path=two"),
        ("options", "-c app.tenant=9 --work-mem=2MB"),
        ("client_encoding", "LATIN1"),
        ("extra_float_digits", "0"),
        ("default_transaction_isolation", "repeatable read"),
    ];
    let mut chosen = Vec::new();
    for _ in 0..random.below(3) {
        let (name, value) = random.pick(&all);
        if chosen.iter().all(|(known, _)| *known != name) {
            chosen.push((name, value));
        }
    }
    chosen
}
