//! IAM tokens of Sluice's own: the same as botocore's, with credentials from wherever AWS tools find
//! them. `sts` is moto's.

use std::{fs, process::Command, time::Duration};

use super::bed::Bed;
use crate::support::{
    aws::{Moto, REGION},
    place,
    program::{Finished, python, run, succeed},
    sluice::{Sluice, program},
};

const LIMIT: Duration = Duration::from_secs(60);

/// A program that finds no credentials and no region but those that a test adds.
fn bare(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/nonexistent")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent");
    command
}

pub(super) fn token(host: &str) -> Command {
    let mut command = bare(program());
    command.args([
        "token",
        "--hostname",
        host,
        "--port",
        "5432",
        "--username",
        "app",
    ]);
    command
}

fn keyed(command: &mut Command) -> &mut Command {
    command.env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").env(
        "AWS_SECRET_ACCESS_KEY",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    )
}

pub(super) fn finished(mut command: Command) -> Finished {
    command.env_remove("RUST_LOG");
    run(command, LIMIT)
}

#[test]
fn tokens_are_byte_for_byte_those_of_botocore() {
    for session_token in ["", "FwoGZXIvYXdzE+/=", &"long/+".repeat(200)] {
        let mut command = bare(python());
        keyed(&mut command)
            .arg(place::drivers().join("token_checks.py"))
            .arg(program())
            .env("PYTHONDONTWRITEBYTECODE", "1");
        if !session_token.is_empty() {
            command.env("AWS_SESSION_TOKEN", session_token);
        }
        assert_eq!(succeed(command, LIMIT), "6\n");
    }
}

#[test]
fn the_region_comes_from_the_host_name_or_the_environment_and_is_never_guessed() {
    let scope = |host: &str, region: Option<&str>| {
        let mut command = token(host);
        keyed(&mut command);
        if let Some(region) = region {
            command.env("AWS_REGION", region);
        }
        finished(command)
    };
    let host = "app.abcdefghijkl.eu-west-3.rds.amazonaws.com";
    let told = scope(host, Some("us-east-2"));
    assert!(told.stdout.contains("%2Feu-west-3%2Frds-db%2F"), "{told:?}");
    let told = scope("db.internal", Some("us-east-2"));
    assert!(told.stdout.contains("%2Fus-east-2%2Frds-db%2F"), "{told:?}");
    let told = scope("db.internal", None);
    assert!(!told.success && told.stdout.is_empty(), "{told:?}");
    assert!(told.stderr.contains("no AWS region is known"), "{told:?}");
}

#[test]
fn without_credentials_the_error_says_where_they_were_looked_for() {
    let told = finished(token("app.abcdefghijkl.eu-west-3.rds.amazonaws.com"));
    assert!(!told.success && told.stdout.is_empty(), "{told:?}");
    assert!(told.stderr.contains("no AWS credentials"), "{told:?}");
}

#[test]
fn credentials_of_web_identity_assumed_roles_and_profiles_are_found() {
    let moto = Moto::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("web-identity");
    fs::write(&file, "a token of the cluster's").unwrap();
    let config = dir.path().join("config");
    let profiles = "[profile keys]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = x\n\
        [profile role]\nrole_arn = arn:aws:iam::123456789012:role/sluice\nsource_profile = keys\n\
        [profile process]\ncredential_process = echo '{\"Version\":1,\"AccessKeyId\":\"AKIDPROCESS\",\"SecretAccessKey\":\"x\"}'\n";
    fs::write(&config, profiles).unwrap();
    let sluice = || {
        let mut command = token("db.internal");
        command.envs(moto.surroundings());
        command
    };
    let mut command = sluice();
    command
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", &file)
        .env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/sluice")
        .env("AWS_ROLE_SESSION_NAME", "sluice");
    let by_web_identity = finished(command);
    assert!(
        by_web_identity.stdout.contains("Credential=ASIA"),
        "{by_web_identity:?}"
    );
    assert!(
        by_web_identity.stdout.contains("X-Amz-Security-Token="),
        "{by_web_identity:?}"
    );
    for (profile, key, temporary) in [
        ("keys", "AKIDPROFILE", false),
        ("process", "AKIDPROCESS", false),
        ("role", "ASIA", true),
    ] {
        let mut command = sluice();
        command
            .env("AWS_CONFIG_FILE", &config)
            .args(["--profile", profile]);
        let told = finished(command);
        assert!(
            told.stdout.contains(&format!("Credential={key}")),
            "{profile}: {told:?}"
        );
        assert_eq!(
            told.stdout.contains("X-Amz-Security-Token="),
            temporary,
            "{told:?}"
        );
        assert!(told.stdout.contains(&format!("%2F{REGION}%2F")), "{told:?}");
    }
}

/// A secret read with temporary credentials, as in a container of EKS; and one that is not there.
#[test]
fn secrets_are_read_with_temporary_credentials() {
    let moto = Moto::start();
    let bed = Bed::postgres();
    let user = bed.user("webbed");
    bed.create_user(&user, "secret one");
    let secret = moto.secret("web", &user, "secret one");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("web-identity");
    fs::write(&file, "a token of the cluster's").unwrap();
    let mut settings = bed
        .settings()
        .user("shop", "secret_arn", &*secret.arn)
        .user("lost", "password", "lost secret")
        .user("lost", "server_secret_arn", "nowhere")
        .environment("AWS_WEB_IDENTITY_TOKEN_FILE", file.to_str().unwrap())
        .environment("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/sluice");
    for (name, value) in moto.surroundings() {
        settings = settings.environment(name, value);
    }
    let proxy = Sluice::start(&settings);
    // The client proves that it knows the password in the secret.
    let mut client = bed.log_in(proxy.port, "shop", "secret one").unwrap();
    assert_eq!(client.ask(bed.who()).unwrap(), user);
    assert!(bed.log_in(proxy.port, "shop", "another").is_err());
    assert!(moto.log().contains("POST / "), "{}", moto.log());
    let refused = bed.log_in(proxy.port, "lost", "lost secret").err().unwrap();
    assert!(
        refused.contains("has no credentials for the database"),
        "{refused}"
    );
    assert!(
        proxy.log().contains("ResourceNotFoundException"),
        "{}",
        proxy.log()
    );
    assert!(!proxy.log().contains("secret one"));
    drop((client, proxy));
    bed.drop_user(&user);
}
