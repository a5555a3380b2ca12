//! The files under `config/` load as they are, and `reference.toml` is complete and true: it shows
//! every key of `config::raw` at a value other than the default that its comment names.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking, and reads its own files"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sluice::config::{self, Plan, raw};
use sluice::model::{AuthMethod, Credential, PoolMode, TargetRole, Verifier};
use sluice::net::options::{ClientCert, TlsMode};
use toml::{Table, Value};

/// A variable that cargo sets for each test; it stands in for those that the files name.
const SET_VARIABLE: &str = "CARGO_MANIFEST_DIR";
const USERLIST: &str = concat!(
    "\"app\" \"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$",
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\"\n",
    "\"pgbouncer\" \"secret\"\n",
);

/// The public key of RFC 7517, appendix A.1.
const JWKS: &str = r#"{"keys": [{"kty": "EC", "crv": "P-256", "kid": "1",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

fn config_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

fn text_of(name: &str) -> String {
    fs::read_to_string(config_folder().join(name)).unwrap()
}

fn load(name: &str) -> Plan {
    load_text(&text_of(name))
}

/// Copies a file into a folder of its own, with all that it names, and loads it there.
fn load_text(text: &str) -> Plan {
    let folder = tempfile::tempdir().unwrap();
    let text: String = text
        .lines()
        .map(|line| match line.split_once("_env = ") {
            Some((key, _)) => format!("{key}_env = \"{SET_VARIABLE}\"\n"),
            None => format!("{line}\n"),
        })
        .collect();
    let mut named = Vec::new();
    files_named(&Value::Table(text.parse().unwrap()), &mut named);
    for (key, file) in named {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content(&key)).unwrap();
    }
    let file = folder.path().join("sluice.toml");
    fs::write(&file, text).unwrap();
    config::load(&file).unwrap_or_else(|error| panic!("{error}"))
}

/// The keys that end in `_file`, and their values.
fn files_named(value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| files_named(item, found)),
        Value::Table(table) => {
            for (key, value) in table {
                match value.as_str().filter(|_| key.ends_with("_file")) {
                    Some(file) => found.push((key.clone(), file.to_owned())),
                    None => files_named(value, found),
                }
            }
        }
        _ => {}
    }
}

fn content(key: &str) -> String {
    let made = rcgen::generate_simple_self_signed(["db.example.com".to_owned()]).unwrap();
    match key {
        "userlist_file" => USERLIST.into(),
        _ if key.ends_with("_key_file") => made.signing_key.serialize_pem(),
        "policy_file" => r#"{"Statement": []}"#.into(),
        "jwks_file" => JWKS.into(),
        _ if key.ends_with("password_file") => "secret\n".into(),
        "secret_access_key_file" | "session_token_file" => "secret\n".into(),
        _ => made.cert.pem(),
    }
}

#[test]
fn every_file_loads() {
    let mut names: Vec<_> = fs::read_dir(config_folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = [
        "lambda.toml",
        "minimal.toml",
        "mysql-iam.toml",
        "pgbouncer-migration.toml",
        "postgres-iam.toml",
        "rds-mysql.toml",
        "rds-postgres.toml",
        "rds-secrets.toml",
        "read-write-split.toml",
        "reference.toml",
        "sidecar.toml",
    ];
    assert_eq!(names, expected);
    for name in names {
        let warnings = load(&name).warnings;
        let about: Vec<_> = warnings
            .iter()
            .map(|w| w.split(':').next().unwrap())
            .collect();
        match &*name {
            "minimal.toml" => assert_eq!(about, ["user \"postgres\""], "{warnings:?}"),
            "reference.toml" => assert_eq!(about, ["user \"reports\""], "{warnings:?}"),
            _ => assert!(about.is_empty(), "{name}: {warnings:?}"),
        }
    }
}

#[test]
fn the_readmes_configuration_loads() {
    let readme = include_str!("../README.md");
    let (_, rest) = readme.split_once("```toml\n").unwrap();
    let plan = load_text(rest.split_once("```").unwrap().0);
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    assert!(plan.users.user("app").is_some());
}

#[test]
fn the_configuration_for_mysql_loads() {
    let page = include_str!("../docs/mysql.md");
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let plan = load_text(rest.split_once("```").unwrap().0);
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    assert_eq!(plan.listeners[0].engine, plan.groups[0].engine);
}

#[test]
fn minimal_connects_this_machine_to_this_machine() {
    let plan = load("minimal.toml");
    let [listener] = &*plan.listeners else {
        panic!("{:?}", plan.listeners);
    };
    assert_eq!(listener.listen.address.to_string(), "127.0.0.1:6432");
    assert_eq!(&*plan.groups[0].topology.seeds[0].name, "127.0.0.1:5432");
    let user = plan.users.user("postgres").unwrap();
    assert!(matches!(
        user.server_credential,
        Some(Credential::Password(_))
    ));
}

#[test]
fn rds_and_lambda_verify_the_server_and_require_tls() {
    for name in [
        "rds-postgres.toml",
        "rds-mysql.toml",
        "rds-secrets.toml",
        "lambda.toml",
    ] {
        let plan = load(name);
        assert!(plan.listeners[0].require_tls, "{name}");
        let tls = &plan.groups[0].dial.tls;
        assert_eq!(tls.mode, TlsMode::VerifyFull, "{name}");
        assert!(tls.ca_file.is_some(), "{name}");
    }
}

#[test]
fn tokens_are_shown_to_a_verified_server_only() {
    for name in ["postgres-iam.toml", "mysql-iam.toml"] {
        let plan = load(name);
        assert_eq!(
            plan.listeners[0].auth_method,
            Some(AuthMethod::Iam),
            "{name}"
        );
        assert!(plan.listeners[0].require_tls, "{name}");
        assert_eq!(plan.groups[0].dial.tls.mode, TlsMode::VerifyFull, "{name}");
    }
}

#[test]
fn the_configurations_for_tokens_load() {
    let page = include_str!("../docs/iam.md");
    let group = "[[target_group]]\nname = \"g\"\n[[target_group.target]]\naddress = \"db:5432\"\n";
    let mut found = 0;
    for block in page.split("```toml\n").skip(1) {
        let block = block.split_once("```").unwrap().0;
        load_text(&format!("{block}\n{group}"));
        found += 1;
    }
    assert_eq!(found, 2);
}

#[test]
fn the_sidecar_is_reached_from_its_own_machine_only() {
    let plan = load("sidecar.toml");
    assert!(plan.listeners[0].listen.address.ip().is_loopback());
}

#[test]
fn the_example_of_several_servers_has_a_reader_and_a_monitor() {
    let plan = load("read-write-split.toml");
    assert_eq!(plan.groups[0].topology.seeds.len(), 3);
    assert!(plan.groups[0].topology.health.monitor.is_some());
    let roles: Vec<_> = plan.listeners.iter().map(|l| l.target_role).collect();
    assert!(roles.contains(&TargetRole::ReadOnly), "{roles:?}");
}

#[test]
fn the_userlist_is_taken_over_from_pgbouncer() {
    let plan = load("pgbouncer-migration.toml");
    let app = plan.users.user("app").unwrap();
    assert!(matches!(app.verifier, Some(Verifier::Scram(_))));
    // Passed through: what the client proves is shown to the server.
    assert!(app.server_credential.is_none());
    let query = plan.groups[0].auth_query.as_ref().unwrap();
    assert_eq!(&*query.user, "pgbouncer");
    assert_eq!(plan.databases.len(), 2);
}

#[test]
fn reference_values_reach_the_plan() {
    let plan = load("reference.toml");
    assert_eq!(plan.general.worker_threads, 2);
    let tls = plan.listeners[0].tls.as_ref().unwrap();
    assert_eq!(tls.client_cert, ClientCert::Optional);
    assert_eq!(plan.groups[0].pool_mode, PoolMode::Session);
    assert_eq!(plan.groups[0].limits.max_idle_connections_percent, 20);
    assert_eq!(plan.databases[0].pool_size, Some(50));
    assert_eq!(
        plan.users.user("reports").unwrap().certificate_names.len(),
        2
    );
}

// --- Is the reference complete and true? --------------------------------------------------------

/// A key of `raw.rs`: its table, its name, its documentation.
#[derive(Debug)]
struct Documented {
    table: String,
    key: String,
    text: String,
}

/// The fields of the structs in `raw.rs`, read from its source: what serde knows, it knows by these.
fn fields(source: &str) -> Vec<Documented> {
    let (mut table, mut text, mut found) = (None, String::new(), Vec::new());
    for line in source.lines().map(str::trim) {
        if let Some(doc) = line.strip_prefix("/// ") {
            text.push_str(doc);
            text.push(' ');
        } else if let Some(name) = line.strip_prefix("pub struct ") {
            table = table_of(name.split([' ', '{']).next().unwrap());
            text.clear();
        } else if line == "}" {
            (table, text) = (None, String::new());
        } else if let Some((key, _)) = line.strip_prefix("pub ").and_then(|l| l.split_once(": "))
            && let Some(table) = &table
        {
            let (table, key) = (String::from(*table), key.to_owned());
            let text = std::mem::take(&mut text);
            found.push(Documented { table, key, text });
        } else if !line.starts_with("#[") {
            text.clear();
        }
    }
    found
}

fn table_of(name: &str) -> Option<&'static str> {
    Some(match name {
        "File" => return None,
        "General" => "general",
        "Listener" => "listener",
        "TargetGroup" => "target_group",
        "Target" => "target_group.target",
        "Database" => "database",
        "User" => "user",
        "Aws" => "aws",
        "Secret" => "secret",
        "Tokens" => "tokens",
        "IamKey" => "iam_key",
        "IamPolicy" => "iam_policy",
        "JwtIssuer" => "jwt_issuer",
        _ => panic!("raw.rs has a struct {name} that this test does not know"),
    })
}

/// A key of `reference.toml`: its table, its name, the comment above it.
fn entries(text: &str) -> Vec<Documented> {
    let (mut table, mut comment, mut found) = (String::new(), String::new(), Vec::new());
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("# ") {
            comment.push_str(words);
            comment.push(' ');
        } else if let Some((key, _)) = line.split_once(" = ") {
            let (table, key) = (table.clone(), key.to_owned());
            let text = std::mem::take(&mut comment);
            found.push(Documented { table, key, text });
        } else {
            if line.starts_with('[') {
                table = line.trim_matches(['[', ']']).to_owned();
            }
            comment.clear();
        }
    }
    found
}

fn names(keys: &[Documented]) -> BTreeSet<(&str, &str)> {
    keys.iter().map(|k| (&*k.table, &*k.key)).collect()
}

const RAW: &str = concat!(
    include_str!("../src/config/raw.rs"),
    include_str!("../src/config/raw_aws.rs"),
    include_str!("../src/config/raw_tokens.rs")
);

/// What is required, and so has no default.
const REQUIRED: [(&str, &str); 15] = [
    ("listener", "name"),
    ("listener", "address"),
    ("target_group", "name"),
    ("target_group", "target"),
    ("target_group.target", "address"),
    ("database", "name"),
    ("user", "name"),
    ("secret", "arn"),
    ("iam_key", "access_key_id"),
    ("iam_key", "account"),
    ("iam_key", "policies"),
    ("iam_policy", "name"),
    ("jwt_issuer", "name"),
    ("jwt_issuer", "issuer"),
    ("jwt_issuer", "audiences"),
];

/// A file of the required keys alone, with one more line in one table.
fn bare(table: &str, line: &str) -> String {
    let extra = |this| if this == table { line } else { "" };
    format!(
        "[general]\n{}\n[[listener]]\nname = \"l\"\naddress = \"127.0.0.1:1\"\n{}\n\
         [[target_group]]\nname = \"g\"\n{}\n[[target_group.target]]\naddress = \"h:1\"\n\
         [[database]]\nname = \"d\"\n{}\n[[user]]\nname = \"u\"\n{}\n\
         [aws]\n{}\n[[secret]]\narn = \"s\"\n{}\n\
         [tokens]\n{}\n[[iam_key]]\naccess_key_id = \"k\"\naccount = \"1\"\npolicies = []\n{}\n\
         [[iam_policy]]\nname = \"p\"\n{}\n\
         [[jwt_issuer]]\nname = \"i\"\nissuer = \"i\"\naudiences = []\n{}\n",
        extra("general"),
        extra("listener"),
        extra("target_group"),
        extra("database"),
        extra("user"),
        extra("aws"),
        extra("secret"),
        extra("tokens"),
        extra("iam_key"),
        extra("iam_policy"),
        extra("jwt_issuer"),
    )
}

/// Reads a text as a configuration and writes it again, so that values compare as they are meant.
fn normal(text: &str) -> Table {
    let file: raw::File = toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    Table::try_from(&file).unwrap()
}

/// The values of a key in all tables of a name.
fn values<'a>(file: &'a Table, table: &str, key: &str) -> Vec<&'a Value> {
    let mut tables = vec![file];
    for name in table.split('.') {
        tables = tables
            .into_iter()
            .filter_map(|t| t.get(name))
            .flat_map(|value| match value {
                Value::Array(items) => items.iter().filter_map(Value::as_table).collect(),
                other => other.as_table().into_iter().collect::<Vec<_>>(),
            })
            .collect();
    }
    tables.into_iter().filter_map(|t| t.get(key)).collect()
}

#[test]
fn the_reference_has_every_key() {
    let known = fields(RAW);
    assert!(known.len() > 90, "raw.rs was not understood: {known:?}");
    let mut known = names(&known);
    // It is written as a table.
    assert!(known.remove(&("target_group", "target")));
    let text = text_of("reference.toml");
    assert_eq!(names(&entries(&text)), known);
}

#[test]
fn the_reference_has_no_defaults() {
    let defaults = normal(&bare("", ""));
    let written: Table = text_of("reference.toml").parse().unwrap();
    let read = normal(&text_of("reference.toml"));
    for key in fields(RAW) {
        let place = (&*key.table, &*key.key);
        // There is one engine.
        if REQUIRED.contains(&place) || key.key == "engine" {
            continue;
        }
        let [given, ..] = &*values(&written, place.0, place.1) else {
            panic!("{place:?} is not given");
        };
        let at = values(&read, place.0, place.1);
        assert!(!at.is_empty(), "{place:?}: {given} is lost");
        for default in values(&defaults, place.0, place.1) {
            assert!(
                at.iter().any(|value| *value != default),
                "{place:?} is at its default, {default}"
            );
        }
    }
}

#[test]
fn the_reference_tells_each_default() {
    let defaults = normal(&bare("", ""));
    let text = text_of("reference.toml");
    let mut told = BTreeSet::new();
    for entry in entries(&text) {
        let place = (entry.table.clone(), entry.key.clone());
        if !told.insert(place.clone()) || entry.text.contains("Required; ") {
            assert!(!entry.text.contains("Default: "), "{place:?} is told twice");
            continue;
        }
        let Some((_, words)) = entry.text.split_once("Default: ") else {
            panic!("{place:?}: no default in {:?}", entry.text);
        };
        let word = words.split(". ").next().unwrap();
        let word = word.split(", ").next().unwrap();
        for default in values(&defaults, &place.0, &place.1) {
            let line = format!("{} = {word}", place.1);
            let said = normal(&bare(&place.0, &line));
            assert_eq!(values(&said, &place.0, &place.1), [default], "{place:?}");
        }
    }
}

#[test]
fn the_reference_and_the_source_agree_on_what_needs_a_restart() {
    let text = text_of("reference.toml");
    let entries = entries(&text);
    for field in fields(RAW) {
        let place = (&*field.table, &*field.key);
        let entry = entries.iter().find(|e| (&*e.table, &*e.key) == place);
        let Some(entry) = entry else {
            assert_eq!(place, ("target_group", "target"));
            continue;
        };
        for (says, text) in [("raw.rs", &field.text), ("reference.toml", &entry.text)] {
            let (dynamic, restart) = (text.contains("Dynamic"), text.contains("Restart"));
            assert!(dynamic != restart, "{says}: {place:?}: {text:?}");
        }
        let restart = |text: &str| text.contains("Restart");
        assert_eq!(restart(&field.text), restart(&entry.text), "{place:?}");
    }
}

#[test]
fn the_readers_of_this_test_see_what_is_wrong() {
    let source = "pub struct General {\n    /// A.\n    /// B.\n    #[serde(default)]\n    \
                  pub a: Option<u8>,\n    pub b: bool,\n}\nimpl X {\n    pub fn c(x: u8) {}\n}\n";
    let found = fields(source);
    assert_eq!(names(&found), [("general", "a"), ("general", "b")].into());
    assert_eq!(found[0].text, "A. B. ");
    assert_eq!(found[1].text, "");
    let text = "# Not about a.\n\n[[user]]\n# A.\na = 1\nb = 2\n";
    let found = entries(text);
    assert_eq!(names(&found), [("user", "a"), ("user", "b")].into());
    assert_eq!((&*found[0].text, &*found[1].text), ("A. ", ""));
}
