//! Mistakes, and what is said about each: the whole message.

use super::{Folder, GROUP, LISTENER, TARGET, USER, file};

/// Each message, without the folder's name.
fn check(cases: &[(&str, String, &str)]) {
    let folder = Folder::new();
    folder.write("list", "\"ann\" \"x\"\nbob\n");
    let mut wrong = Vec::new();
    for (mistake, text, expected) in cases {
        match folder.load(text) {
            Err(error) if error == *expected => {}
            Err(error) => wrong.push(format!("{mistake}:\n  {expected}\n  {error}")),
            Ok(_) => wrong.push(format!("{mistake}: not noticed")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn listener(line: &str) -> String {
    file(line, "", "")
}

fn group(line: &str) -> String {
    file("", line, "")
}

fn user(line: &str) -> String {
    file("", "", line)
}

fn general(line: &str) -> String {
    format!("[general]\n{line}\n{}", file("", "", ""))
}

/// A file without the first part that is the same as this.
fn without(part: &str) -> String {
    file("", "", "").replacen(part, "", 1)
}

#[test]
fn wrong_keys() {
    check(&[
        (
            "a misspelt key",
            listener("idle_client_timout = \"5m\""),
            "sluice.toml:4: unknown key `idle_client_timout`; did you mean `idle_client_timeout`?",
        ),
        (
            "a key of nothing here",
            listener("x = 1"),
            "sluice.toml:4: unknown key `x`",
        ),
        (
            "a misspelt table",
            listener("").replace("target_group", "target_groups"),
            "sluice.toml:5: unknown key `target_groups`; did you mean `target_group`?",
        ),
        (
            "a key of another table",
            group("require_tls = true"),
            "sluice.toml:7: unknown key `require_tls`",
        ),
        (
            "a key given twice",
            listener("name = \"b\""),
            "sluice.toml:4: `name`: is given twice",
        ),
        (
            "a missing key",
            without("address = \"127.0.0.1:6432\"\n"),
            "sluice.toml:1: `listener`: the key `address` is missing",
        ),
        (
            "a single bracket",
            listener("").replace("[[listener]]", "[listener]"),
            "sluice.toml:1: `listener`: write [[listener]], as there may be several",
        ),
        (
            "a missing quote",
            listener("pool_mode = \"session"),
            "sluice.toml:4: `pool_mode`: invalid basic string, expected `\"`",
        ),
    ]);
}

#[test]
fn wrong_values() {
    check(&[
        (
            "a number in quotes",
            listener("max_client_conn = \"5\""),
            "sluice.toml:4: `max_client_conn`: expected a whole number, 0 or more, not \"5\"",
        ),
        (
            "a negative number",
            listener("backlog = -5"),
            "sluice.toml:4: `backlog`: expected a whole number from 0 to 4294967295, not -5",
        ),
        (
            "a word for a switch",
            listener("require_tls = \"yes\""),
            "sluice.toml:4: `require_tls`: expected true or false, not \"yes\"",
        ),
        (
            "a time without unit",
            listener("idle_client_timeout = \"30\""),
            "sluice.toml:4: `idle_client_timeout`: expected a length of time with unit, such as \
             \"500ms\", \"30s\" or \"2h\", not \"30\"",
        ),
        (
            "a time as a number",
            listener("idle_client_timeout = 30"),
            "sluice.toml:4: `idle_client_timeout`: expected a length of time with unit, such as \
             \"500ms\", \"30s\" or \"2h\", not 30",
        ),
        (
            "a size of unknown unit",
            group("max_statement_size = \"1TB\""),
            "sluice.toml:7: `max_statement_size`: expected a size with unit, such as \"16KB\" or \
             \"1MB\", not \"1TB\"",
        ),
        (
            "more than everything",
            group("max_connections_percent = 101"),
            "sluice.toml:7: `max_connections_percent`: expected a percentage, a whole number from \
             1 to 100, not 101",
        ),
        (
            "a percentage in quotes",
            group("max_connections_percent = \"50%\""),
            "sluice.toml:7: `max_connections_percent`: expected a percentage, a whole number from \
             1 to 100, not \"50%\"",
        ),
    ]);
}

#[test]
fn values_that_are_none_of_those_there_are() {
    check(&[
        (
            "a mode that PgBouncer has",
            group("pool_mode = \"statement\""),
            "sluice.toml:7: `pool_mode`: expected \"transaction\" or \"session\", not \"statement\"",
        ),
        (
            "a TLS mode misspelt",
            group("server_tls_mode = \"verify_full\""),
            "sluice.toml:7: `server_tls_mode`: expected \"disable\", \"prefer\", \"require\", \
             \"verify-ca\" or \"verify-full\", not \"verify_full\"",
        ),
        (
            "a name where an address is needed",
            general("admin_address = \"localhost:9930\""),
            "sluice.toml:2: `admin_address`: expected an IP address and a port in quotes, such as \
             \"127.0.0.1:6432\"",
        ),
        (
            "text for a list",
            listener("ignore_startup_options = \"a\""),
            "sluice.toml:4: `ignore_startup_options`: expected a list, such as [\"a\", \"b\"], not \
             \"a\"",
        ),
        (
            "an unknown level",
            general("log_level = \"loud\""),
            "sluice.toml:2: `general.log_level`: log filter \"loud\" is no level: use off, error, \
             warn, info, debug or trace",
        ),
        (
            "a secret of the wrong type, which is not repeated",
            user("server_password = 12345"),
            "sluice.toml:13: `server_password`: expected text in quotes",
        ),
    ]);
}

#[test]
fn values_out_of_range() {
    check(&[
        (
            "an empty pool",
            group("default_pool_size = 0"),
            "sluice.toml:7: target_group \"main\", `default_pool_size`: must be at least 1",
        ),
        (
            "no prepared statements, PgBouncer's way to switch them off",
            group("max_prepared_statements = 0"),
            "sluice.toml:7: target_group \"main\", `max_prepared_statements`: must be at least 1",
        ),
        (
            "no time to log in",
            listener("client_login_timeout = \"0s\""),
            "sluice.toml:4: listener \"app\", `client_login_timeout`: must be longer than \"0s\"",
        ),
        (
            "more idle connections than connections",
            group("max_connections_percent = 10\nmax_idle_connections_percent = 20"),
            "sluice.toml:8: target_group \"main\", `max_idle_connections_percent`: must not be \
             above max_connections_percent",
        ),
        (
            "more kept open than there may be",
            group("min_pool_size = 21"),
            "sluice.toml:7: target_group \"main\", `min_pool_size`: must not be above \
             default_pool_size",
        ),
        (
            "the same of a database",
            file("", "", "") + "[[database]]\nname = \"d\"\npool_size = 1\nmin_pool_size = 2\n",
            "sluice.toml:17: database \"d\", `min_pool_size`: must not be above pool_size",
        ),
        (
            "too large a statement",
            group("max_statement_size = \"2MB\""),
            "sluice.toml:7: target_group \"main\", `max_statement_size`: must be from \"1KB\" to \
             \"1MB\"",
        ),
        (
            "a port that is none",
            without("").replace("db.example.com:5432", "db.example.com:99999"),
            "sluice.toml:9: target_group.target \"main\", `address`: expected \"host:port\"",
        ),
    ]);
}

#[test]
fn tables_that_do_not_fit_together() {
    check(&[
        (
            "an empty file",
            String::new(),
            "sluice.toml: at least one [[listener]] is needed",
        ),
        (
            "no listener",
            without(LISTENER),
            "sluice.toml: at least one [[listener]] is needed",
        ),
        (
            "no target group",
            format!("{LISTENER}{USER}"),
            "sluice.toml: at least one [[target_group]] is needed",
        ),
        (
            "no target",
            without(TARGET),
            "sluice.toml:5: `target_group`: the table [[target_group.target]] is missing",
        ),
        (
            "two targets",
            file("", "", "").replace(TARGET, &TARGET.repeat(2)),
            "sluice.toml:5: target_group \"main\", `target`: exactly one target is supported",
        ),
        (
            "two listeners of one name",
            format!("{LISTENER}{}", file("", "", "")),
            "sluice.toml:5: listener \"app\", `name`: another one has this name already",
        ),
        (
            "two users of one name",
            file("", "", "") + USER,
            "sluice.toml:15: user \"ann\", `name`: another one has this name already",
        ),
        (
            "two listeners of one address",
            format!("{}{}", LISTENER.replace("app", "b"), file("", "", "")),
            "sluice.toml:6: listener \"app\", `address`: listener \"b\" has this address already",
        ),
    ]);
}

#[test]
fn references_that_lead_nowhere() {
    check(&[
        (
            "a target group that is not there",
            listener("target_group = \"mian\""),
            "sluice.toml:4: listener \"app\", `target_group`: there is no target group \"mian\"; \
             did you mean \"main\"?",
        ),
        (
            "a database in a target group that is not there",
            file("", "", "") + "[[database]]\nname = \"d\"\ntarget_group = \"reporting\"\n",
            "sluice.toml:16: database \"d\", `target_group`: there is no target group \
             \"reporting\"",
        ),
        (
            "two target groups to choose from",
            file("", "", "") + &GROUP.replace("main", "other") + TARGET,
            "sluice.toml:1: listener \"app\", `target_group`: is needed, as there are several \
             target groups",
        ),
        (
            "a name on the server for any database",
            file("", "", "") + "[[database]]\nname = \"*\"\nserver_database = \"d\"\n",
            "sluice.toml:16: database \"*\", `server_database`: cannot be given for \"*\"",
        ),
        (
            "an auth_query that nobody runs",
            group("auth_query = \"SELECT $1\""),
            "sluice.toml:7: target_group \"main\", `auth_query`: needs auth_user",
        ),
        (
            "an auth_user that is not there",
            group("auth_query = \"SELECT $1\"\nauth_user = \"bob\""),
            "sluice.toml:8: target_group \"main\", `auth_user`: there is no user \"bob\", neither \
             as [[user]] nor in a userlist",
        ),
    ]);
}

const TLS: &str = "tls_cert_file = \"crt\"\ntls_key_file = \"key\"\n";

#[test]
fn what_would_not_be_safe() {
    let open = |text: &str| text.replace("127.0.0.1", "0.0.0.0");
    check(&[
        (
            "trust for other machines",
            open(&listener("auth_method = \"trust\"")),
            "sluice.toml:4: listener \"app\", `auth_method`: \"trust\" lets anybody in: it is for \
             listeners on a loopback address",
        ),
        (
            "trust for other machines by the back door",
            open(&user("auth_method = \"trust\"")),
            "sluice.toml:13: user \"ann\", `auth_method`: not on listener \"app\": \"trust\" lets \
             anybody in: it is for listeners on a loopback address",
        ),
        (
            "passwords in the clear",
            listener("auth_method = \"password\""),
            "sluice.toml:4: listener \"app\", `auth_method`: \"password\" sends passwords in the \
             clear: it needs tls_cert_file and tls_key_file",
        ),
        (
            "certificates without TLS",
            listener("auth_method = \"cert\""),
            "sluice.toml:4: listener \"app\", `auth_method`: \"cert\" needs TLS with \
             tls_client_cert = \"optional\" or \"required\"",
        ),
        (
            "certificates that nobody asks for",
            listener(&format!("{TLS}auth_method = \"cert\"")),
            "sluice.toml:6: listener \"app\", `auth_method`: \"cert\" needs TLS with \
             tls_client_cert = \"optional\" or \"required\"",
        ),
        (
            "certificates of any authority",
            listener(&format!("{TLS}tls_client_cert = \"required\"")),
            "sluice.toml:6: listener \"app\", `tls_client_cert`: needs tls_client_ca_file",
        ),
        (
            "TLS required but not possible",
            listener("require_tls = true"),
            "sluice.toml:4: listener \"app\", `require_tls`: needs tls_cert_file and tls_key_file",
        ),
        (
            "a certificate without key",
            listener("tls_cert_file = \"crt\""),
            "sluice.toml:4: listener \"app\", `tls_cert_file`: needs tls_key_file beside it",
        ),
        (
            "a key without certificate",
            group("server_tls_key_file = \"key\""),
            "sluice.toml:7: target_group \"main\", `server_tls_key_file`: needs \
             server_tls_cert_file beside it",
        ),
        (
            "client certificates but no certificate",
            listener("tls_client_cert = \"required\"\ntls_client_ca_file = \"ca\""),
            "sluice.toml:4: listener \"app\", `tls_client_cert`: needs tls_cert_file and \
             tls_key_file",
        ),
    ]);
}

#[test]
fn secrets_and_files_that_cannot_be_had() {
    let secret = |line: &str| file("", "", "").replace("password_file = \"secret\"", line);
    check(&[
        (
            "a secret in two ways",
            user("password = \"hunter2\""),
            "sluice.toml:12: user \"ann\", `password_file`: password is given too; one of them is \
             enough",
        ),
        (
            "no secret at all",
            secret(""),
            "sluice.toml:10: user \"ann\", `password`: is needed, or password_file, or password_env",
        ),
        (
            "a variable that is not set",
            secret("password_env = \"SLUICE_TEST_NOT_SET\""),
            "sluice.toml:12: user \"ann\", `password_env`: variable SLUICE_TEST_NOT_SET is not set",
        ),
        (
            "a secret file that is not there",
            secret("password_file = \"gone\""),
            "sluice.toml:12: user \"ann\", `password_file`: cannot read gone: No such file or \
             directory (os error 2)",
        ),
        (
            "an empty secret file",
            secret("password_file = \"empty\""),
            "sluice.toml:12: user \"ann\", `password_file`: is empty",
        ),
        (
            "an empty secret",
            secret("password = \"\""),
            "sluice.toml:12: user \"ann\", `password`: is empty",
        ),
        (
            "a certificate that is not there",
            listener("tls_cert_file = \"gone\"\ntls_key_file = \"key\""),
            "sluice.toml:4: listener \"app\", `tls_cert_file`: cannot read gone: No such file or \
             directory (os error 2)",
        ),
        (
            "a folder for a file",
            group("server_tls_ca_file = \".\""),
            "sluice.toml:7: target_group \"main\", `server_tls_ca_file`: cannot read .: is a folder",
        ),
        (
            "a userlist that is not there",
            general("userlist_file = \"gone\""),
            "sluice.toml:2: `general.userlist_file`: gone: cannot read it: No such file or \
             directory (os error 2)",
        ),
        (
            "a userlist with a line that is none",
            general("userlist_file = \"list\""),
            "sluice.toml:2: `general.userlist_file`: list: line 2: expected a user name in quotes",
        ),
    ]);
}

#[test]
fn a_configuration_that_is_not_there() {
    let folder = Folder::new();
    let error = crate::config::load(&folder.path().join("gone.toml")).unwrap_err();
    assert_eq!(
        error.to_string().replace(&folder.prefix(), ""),
        "gone.toml: cannot read the configuration: No such file or directory (os error 2)"
    );
}
