//! `sluice` as it is called: what it prints where, and its exit codes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn configuration(address: &str, listener: &str) -> String {
    format!(
        "[[listener]]\nname = \"app\"\naddress = \"{address}\"\n{listener}\n\
         [[target_group]]\nname = \"main\"\n[[target_group.target]]\naddress = \"127.0.0.1:1\"\n\
         [[user]]\nname = \"app\"\npassword = \"hunter2\"\n"
    )
}

fn folder(text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("sluice.toml"), text).unwrap();
    folder
}

fn sluice(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.current_dir(folder).args(arguments);
    command.env_remove("SLUICE_CONFIG").env_remove("RUST_LOG");
    command.output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn check_prints_the_whole_configuration() {
    let folder = folder(&configuration("127.0.0.1:6432", ""));
    let checked = sluice(folder.path(), &["check", "-c", "sluice.toml"]);
    assert_eq!(checked.status.code(), Some(0), "{}", err(&checked));
    let shown = out(&checked);
    assert!(shown.contains("default_pool_size = 20\n"), "{shown}");
    assert!(shown.contains("password = \"redacted\"\n"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(
        err(&checked),
        "warning: user \"app\": the password stands in the configuration file; \
         password_file, password_env or a SCRAM-SHA-256 verifier are safer\n"
    );
}

#[test]
fn the_configuration_may_be_named_by_the_environment() {
    let folder = folder(&configuration("127.0.0.1:6432", ""));
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    let checked = command
        .arg("check")
        .env("SLUICE_CONFIG", folder.path().join("sluice.toml"))
        .output()
        .unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", err(&checked));
}

#[test]
fn mistakes_are_told_one_a_line_with_exit_code_2() {
    let folder = folder(
        &configuration("127.0.0.1:6432", "backlog = 0")
            .replace("name = \"main\"", "name = \"main\"\ndefault_pool_size = 0"),
    );
    for command in ["check", "run"] {
        let refused = sluice(folder.path(), &[command, "-c", "sluice.toml"]);
        assert_eq!(refused.status.code(), Some(2), "{command}");
        assert_eq!(out(&refused), "");
        assert_eq!(
            err(&refused),
            "sluice: sluice.toml:4:11: listener \"app\", `backlog`: must be at least 1\n\
             sluice: sluice.toml:7:21: target_group \"main\", `default_pool_size`: must be at least 1\n",
            "{command}"
        );
    }
    let absent = sluice(folder.path(), &["run", "-c", "absent.toml"]);
    assert_eq!(absent.status.code(), Some(2));
}

#[test]
fn certificates_that_are_none_are_told_by_check_too() {
    let tls = "tls_cert_file = \"junk\"\ntls_key_file = \"junk\"";
    let folder = folder(&configuration("127.0.0.1:6432", tls));
    fs::write(folder.path().join("junk"), "junk").unwrap();
    let refused = sluice(folder.path(), &["check", "-c", "sluice.toml"]);
    assert_eq!(refused.status.code(), Some(2), "{}", err(&refused));
    assert_eq!(out(&refused), "");
    assert!(err(&refused).starts_with("sluice: listener \"app\": "));
}

#[test]
fn an_address_that_is_taken_is_a_failure_and_no_mistake() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = folder(&configuration(&address, ""));
    let failed = sluice(folder.path(), &["run", "-c", "sluice.toml"]);
    assert_eq!(failed.status.code(), Some(1), "{}", err(&failed));
    assert!(err(&failed).contains("in use"), "{}", err(&failed));
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let folder = folder("");
    for arguments in [
        &["fly"][..],
        &["run", "--fast"],
        &["demo", "--seconds", "x"],
        &[],
    ] {
        let refused = sluice(folder.path(), arguments);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
    }
    for arguments in [&["--version"][..], &["--help"], &["check", "--help"]] {
        let told = sluice(folder.path(), arguments);
        assert_eq!(told.status.code(), Some(0), "{arguments:?}");
    }
    let version = sluice(folder.path(), &["--version"]);
    let expected = format!("sluice {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(out(&version), expected);
}

/// As under `| head -n 1`.
#[test]
fn whoever_has_seen_enough_is_no_error() {
    let folder = folder(&configuration("127.0.0.1:6432", ""));
    for arguments in [
        &["check", "-c", "sluice.toml"][..],
        &["explain-route", "select 1"],
        &["explain-route", "--catalogue-query"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.current_dir(folder.path()).args(arguments);
        let told = command.stdout(writer).output().unwrap();
        assert_eq!(told.status.code(), Some(0), "{arguments:?}: {}", err(&told));
    }
}
