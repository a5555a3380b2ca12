//! What people are told about their mistakes: the text is part of the product.

use super::{Folder, GROUP, LEAST, LISTENER, USER, load_text, with};

/// The whole messages about a text; the file is `sluice.toml`.
#[track_caller]
fn told(text: &str, expected: &[&str]) {
    match load_text(text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(problems) => assert_eq!(problems, expected, "{text}"),
    }
}

#[track_caller]
fn told_with(changes: &[(&str, &str)], expected: &str) {
    told(&with(changes), &[expected]);
}

#[test]
fn unknown_keys_have_likely_ones() {
    told_with(
        &[(GROUP, "max_conections_percent = 50")],
        "sluice.toml:7:1: unknown key `max_conections_percent`; did you mean `max_connections_percent`?",
    );
    told_with(
        &[(USER, "colour = \"blue\"")],
        "sluice.toml:14:1: unknown key `colour`",
    );
    // A key of another table, and one so short that anything is near.
    told_with(
        &[(GROUP, "require_tls = true")],
        "sluice.toml:7:1: unknown key `require_tls`",
    );
    told_with(&[(LISTENER, "x = 1")], "sluice.toml:4:1: unknown key `x`");
    told(
        &LEAST.replace("[[target_group.target]]", "[[target_group.targets]]"),
        &["sluice.toml:8:16: unknown key `targets`; did you mean `target`?"],
    );
    told(
        &LEAST.replace("[[listener]]", "[[listner]]"),
        &["sluice.toml:1:3: unknown key `listner`; did you mean `listener`?"],
    );
}

#[test]
fn text_that_is_not_toml() {
    told(
        &LEAST.replace("\"127.0.0.1:6432\"", "127.0.0.1:6432"),
        &[
            "sluice.toml:3:16: listener \"app\", `address`: invalid float; text must stand in double quotes",
        ],
    );
    told(
        &with(&[(GROUP, "pool_mode = \"session\"\npool_mode = \"session\"")]),
        &["sluice.toml:8:1: the key `pool_mode` stands here a second time"],
    );
}

#[test]
fn wrong_types() {
    for (value, shown) in [
        ("\"many\"", "\"many\""),
        ("-1", "-1"),
        ("1.5", "1.5"),
        ("true", "true"),
        ("[1,\n2]", "[1,"),
        ("4294967296", "4294967296"),
    ] {
        told_with(
            &[(LISTENER, &format!("backlog = {value}"))],
            &format!(
                "sluice.toml:4:11: listener \"app\", `backlog`: expected a whole number from 0 to 4294967295, not {shown}"
            ),
        );
    }
    told_with(
        &[(LISTENER, "require_tls = \"yes\"")],
        "sluice.toml:4:15: listener \"app\", `require_tls`: expected true or false, not \"yes\"",
    );
    told_with(
        &[(LISTENER, "allow_startup_options = [\n  \"a\",\n  3,\n]")],
        "sluice.toml:6:3: listener \"app\", `allow_startup_options`: expected a string, not 3",
    );
    told_with(
        &[(LISTENER, "ignore_startup_options = \"a\"")],
        "sluice.toml:4:26: listener \"app\", `ignore_startup_options`: expected a list, not \"a\"",
    );
    told(
        &format!("general = 3\n{LEAST}"),
        &["sluice.toml:1:11: `general`: expected a table, not 3"],
    );
    told(
        &LEAST.replace("[[listener]]", "[listener]"),
        &[
            "sluice.toml:1:1: `listener`: there may be several: write its name in double brackets, [[…]]",
        ],
    );
    told_with(
        &[(LISTENER, "max_client_conn = -1")],
        "sluice.toml:4:19: listener \"app\", `max_client_conn`: expected a whole number, 0 or more, not -1",
    );
}

#[test]
fn values_with_units() {
    let expected = "expected a length of time with unit, at most 10 years, such as \"500ms\", \"30s\" or \"2h\"";
    for value in [
        "\"30 apples\"",
        "\"30\"",
        "\"\"",
        "\"-1s\"",
        "\"11y\"",
        "30",
    ] {
        told_with(
            &[(LISTENER, &format!("query_timeout = {value}"))],
            &format!(
                "sluice.toml:4:17: listener \"app\", `query_timeout`: {expected}, not {value}"
            ),
        );
    }
    told_with(
        &[(GROUP, "max_statement_size = \"1 apple\"")],
        "sluice.toml:7:22: target_group \"main\", `max_statement_size`: expected a size with unit, such as \"16KB\" or \"1MB\", not \"1 apple\"",
    );
    told_with(
        &[(GROUP, "max_connections_percent = 0")],
        "sluice.toml:7:27: target_group \"main\", `max_connections_percent`: expected a percentage from 1 to 100, not 0",
    );
    told_with(
        &[(GROUP, "max_connections_percent = \"50%\"")],
        "sluice.toml:7:27: target_group \"main\", `max_connections_percent`: expected a percentage from 1 to 100, not \"50%\"",
    );
    told(
        &LEAST.replace("127.0.0.1:6432", "localhost:6432"),
        &[
            "sluice.toml:3:11: listener \"app\", `address`: expected an IP address and port such as \"127.0.0.1:6432\", not \"localhost:6432\"",
        ],
    );
}

#[test]
fn words_that_do_not_exist() {
    told_with(
        &[(LISTENER, "engine = \"oracle\"")],
        "sluice.toml:4:10: listener \"app\", `engine`: expected \"postgresql\" or \"mysql\", not \"oracle\"",
    );
    told_with(
        &[(GROUP, "server_tls_mode = \"verify_full\"")],
        "sluice.toml:7:19: target_group \"main\", `server_tls_mode`: expected \"disable\", \"prefer\", \"require\", \"verify-ca\" or \"verify-full\", not \"verify_full\"; did you mean \"verify-full\"?",
    );
    told_with(
        &[(LISTENER, "pool_mode = \"statement\"")],
        "sluice.toml:4:13: listener \"app\", `pool_mode`: expected \"transaction\" or \"session\", not \"statement\"",
    );
    told_with(
        &[(LISTENER, "auth_method = 3")],
        "sluice.toml:4:15: listener \"app\", `auth_method`: expected one of its words in quotes, not 3",
    );
}

#[test]
fn keys_and_tables_that_are_missing() {
    told(
        &LEAST.replace("name = \"app\"\naddress", "address"),
        &["sluice.toml:1:1: `listener`: the key `name` is missing"],
    );
    told(
        &LEAST.replace("address = \"127.0.0.1:6432\"\n", ""),
        &["sluice.toml:1:1: listener \"app\": the key `address` is missing"],
    );
    told(
        &LEAST.replace("address = \"db:5432\"\n", ""),
        &["sluice.toml:8:1: target_group \"main\", `target`: the key `address` is missing"],
    );
    told(
        &LEAST.replace("[[target_group.target]]\naddress = \"db:5432\"\n", ""),
        &["sluice.toml:5:1: target_group \"main\": the key `target` is missing"],
    );
    told(
        "",
        &[
            "sluice.toml: `listener`: at least one [[listener]] is needed",
            "sluice.toml: `target_group`: at least one [[target_group]] is needed",
        ],
    );
}

#[test]
fn names_and_references() {
    let twice = format!("{LEAST}[[user]]\nname = \"app\"\npassword_file = \"app.password\"\n");
    told(
        &twice,
        &["sluice.toml:15:8: user \"app\", `name`: another one has this name already"],
    );
    told(
        &LEAST.replace("name = \"main\"", "name = \"\""),
        &["sluice.toml:6:8: `target_group.name`: must not be empty"],
    );
    told_with(
        &[(LISTENER, "target_group = \"man\"")],
        "sluice.toml:4:16: listener \"app\", `target_group`: there is no target_group \"man\"; did you mean \"main\"?",
    );
    told(
        &format!("{LEAST}[[database]]\nname = \"d\"\ntarget_group = \"other\"\n"),
        &["sluice.toml:16:16: database \"d\", `target_group`: there is no target_group \"other\""],
    );
    let second = "[[target_group]]\nname = \"second\"\ntarget = [{ address = \"db2\" }]\n";
    told(
        &format!("{LEAST}{second}"),
        &["sluice.toml:1:1: listener \"app\", `target_group`: name one of the target groups"],
    );
    let databases =
        "[[database]]\nname = \"a\"\ntarget_group = \"second\"\n[[database]]\nname = \"b\"\n";
    told(
        &format!("{LEAST}{second}{databases}"),
        &[
            "sluice.toml:20:1: database \"b\", `target_group`: needed, because listener \"app\" names none",
        ],
    );
    told_with(
        &[(GROUP, "auth_query = \"SELECT $1\"\nauth_user = \"asker\"")],
        "sluice.toml:8:13: target_group \"main\", `auth_user`: there is no [[user]] \"asker\", nor is it in the userlist",
    );
    let hash = "[[user]]\nname = \"asker\"\npassword = \"md53175bce1d3201d16594cebf9d7eb3f9d\"";
    told_with(
        &[
            (GROUP, "auth_query = \"SELECT $1\"\nauth_user = \"asker\""),
            (USER, hash),
        ],
        "sluice.toml:8:13: target_group \"main\", `auth_user`: the password of \"asker\" on the server is not known",
    );
}

#[test]
fn targets() {
    told(
        &with(&[(
            "address = \"db:5432\"",
            "[[target_group.target]]\naddress = \"db2\"",
        )]),
        &[
            "sluice.toml:8:1: target_group \"main\", `target.0`: several targets need monitor_user, which finds out who is primary, or a `role` each",
        ],
    );
    let second = |keys: &str| {
        let line = "role = \"primary\"\n[[target_group.target]]\n";
        with(&[("address = \"db:5432\"", &format!("{line}{keys}"))])
    };
    told(
        &second("address = \"db2\"\nrole = \"primary\""),
        &[
            "sluice.toml:13:8: target_group \"main\", `target.1.role`: another target is the primary already",
        ],
    );
    told(
        &second("address = \"db\"\nrole = \"replica\""),
        &[
            "sluice.toml:12:11: target_group \"main\", `target.1.address`: another target has this address already",
        ],
    );
    told(
        &with(&[(GROUP, "monitor_user = \"watcher\"")]),
        &[
            "sluice.toml:7:16: target_group \"main\", `monitor_user`: there is no [[user]] \"watcher\", nor is it in the userlist",
        ],
    );
    told(
        &with(&[(GROUP, "health_check_interval = \"9ms\"")]),
        &[
            "sluice.toml:7:25: target_group \"main\", `health_check_interval`: must be at least \"10ms\"",
        ],
    );
    told(
        &LEAST.replace("db:5432", "db:port"),
        &[
            "sluice.toml:9:11: target_group \"main\", `target.0.address`: expected \"host:port\", not \"db:port\"",
        ],
    );
    told(
        &LEAST.replace(
            "[[target_group.target]]\naddress = \"db:5432\"",
            "target = [{ address = \"\" }]",
        ),
        &[
            "sluice.toml:8:23: target_group \"main\", `target.0.address`: expected \"host:port\", not \"\"",
        ],
    );
}

#[test]
fn numbers_beside_each_other() {
    for (changes, expected) in [
        (
            "max_connections_percent = 40\nmax_idle_connections_percent = 41",
            "8:32: target_group \"main\", `max_idle_connections_percent`: must not be above max_connections_percent",
        ),
        (
            "min_pool_size = 21",
            "7:17: target_group \"main\", `min_pool_size`: must not be above default_pool_size",
        ),
        (
            "default_pool_size = 0",
            "7:21: target_group \"main\", `default_pool_size`: must be at least 1",
        ),
        (
            "max_statement_size = \"2MB\"",
            "7:22: target_group \"main\", `max_statement_size`: must be from \"1KB\" to \"1MB\"",
        ),
        (
            "server_connect_timeout = \"0s\"",
            "7:26: target_group \"main\", `server_connect_timeout`: must be more than \"0s\"",
        ),
        (
            "tcp_keepalive_interval = \"900ms\"",
            "7:26: target_group \"main\", `tcp_keepalive_interval`: must be at least \"1s\"",
        ),
        (
            "tcp_keepalive_count = 128",
            "7:23: target_group \"main\", `tcp_keepalive_count`: must be from 1 to 127",
        ),
        (
            "auth_query = \"SELECT 1\"\nauth_user = \"app\"",
            "7:14: target_group \"main\", `auth_query`: must have $1 where the user's name goes",
        ),
        (
            "auth_user = \"app\"",
            "7:13: target_group \"main\", `auth_user`: needs auth_query",
        ),
    ] {
        told_with(&[(GROUP, changes)], &format!("sluice.toml:{expected}"));
    }
    let general = format!("[general]\nlog_level = \"loud\"\nworker_threads = 2000\n{LEAST}");
    told(
        &general,
        &[
            "sluice.toml:2:13: `general.log_level`: log filter \"loud\" is no level: use off, error, warn, info, debug or trace",
        ],
    );
    told(
        &general.replace("loud", "info"),
        &["sluice.toml:3:18: `general.worker_threads`: must be from 0 to 1024"],
    );
}

#[test]
fn addresses_that_are_taken() {
    let second = "[[listener]]\nname = \"b\"\naddress = \"127.0.0.1:6432\"\n";
    told(
        &format!("{LEAST}{second}"),
        &[
            "sluice.toml:16:11: listener \"b\", `address`: listener \"app\" has this address already",
        ],
    );
    told(
        &format!("general.admin_address = \"127.0.0.1:6432\"\n{LEAST}"),
        &["sluice.toml:1:25: `general.admin_address`: listener \"app\" has this address already"],
    );
}

#[test]
fn files() {
    told_with(
        &[(
            LISTENER,
            "tls_cert_file = \"absent.crt\"\ntls_key_file = \"server.key\"",
        )],
        "sluice.toml:4:17: listener \"app\", `tls_cert_file`: cannot read absent.crt: No such file or directory (os error 2)",
    );
    told_with(
        &[(GROUP, "server_tls_ca_file = \".\"")],
        "sluice.toml:7:22: target_group \"main\", `server_tls_ca_file`: cannot read .: Is a directory (os error 21)",
    );
    told_with(
        &[(LISTENER, "tls_cert_file = \"server.crt\"")],
        "sluice.toml:4:17: listener \"app\", `tls_cert_file`: needs tls_key_file beside it",
    );
    told_with(
        &[(LISTENER, "require_tls = true")],
        "sluice.toml:4:15: listener \"app\", `require_tls`: needs tls_cert_file and tls_key_file",
    );
    told_with(
        &[(LISTENER, "tls_client_ca_file = \"ca.crt\"")],
        "sluice.toml:4:22: listener \"app\", `tls_client_ca_file`: needs tls_cert_file and tls_key_file",
    );
    told_with(
        &[(LISTENER, "tls_client_cert = \"required\"")],
        "sluice.toml:4:19: listener \"app\", `tls_client_cert`: needs tls_client_ca_file",
    );
    told(
        &format!("general.userlist_file = \"broken.txt\"\n{LEAST}"),
        &[
            "sluice.toml:1:25: `general.userlist_file`: broken.txt, line 2: expected a password in double quotes",
        ],
    );
    let folder = Folder::new();
    let file = folder.path().join("absent.toml");
    let error = super::load(&file).unwrap_err();
    let expected = format!(
        "{}: cannot read the configuration: No such file or directory (os error 2)",
        file.display()
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn several_mistakes_are_told_in_order() {
    let text = with(&[(GROUP, "default_pool_size = 0"), (LISTENER, "backlog = 0")]);
    let text = text.replace("app.password", "absent");
    told(
        &text,
        &[
            "sluice.toml:4:11: listener \"app\", `backlog`: must be at least 1",
            "sluice.toml:8:21: target_group \"main\", `default_pool_size`: must be at least 1",
            "sluice.toml:15:17: user \"app\", `password_file`: cannot read absent: No such file or directory (os error 2)",
        ],
    );
    let folder = Folder::new();
    folder.write("sluice.toml", &text);
    let error = super::load(&folder.path().join("sluice.toml")).unwrap_err();
    let line = error.to_string();
    assert_eq!(line.matches("; ").count(), 2, "{line}");
    assert!(!line.contains('\n'), "{line}");
}
