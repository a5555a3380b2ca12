//! `sluice demo --once`: throwaway servers of all three kinds with a replica each, a load through them, and nothing
//! left behind.

use std::{env, fs, os::unix::fs::PermissionsExt, process::Command, time::Duration};

use crate::support::{
    place,
    program::run,
    sluice::{is_direct, program},
};

const LIMIT: Duration = Duration::from_secs(240);

#[test]
fn the_tour_answers_everything_and_leaves_nothing_behind() {
    if is_direct() {
        return;
    }
    // The servers run as another user where this one is root.
    let scratch = tempfile::tempdir().unwrap();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // MySQL and MariaDB remove what is called so from their folder of temporary tables.
    let theirs = "#sql-of-another-server.MAI";
    fs::write(scratch.path().join(theirs), "").unwrap();
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":");
    path.push(place::test_env().join("bin"));
    let mut command = Command::new(program());
    command
        .args(["demo", "--once", "--seconds", "3"])
        .env("PATH", path)
        .env("TMPDIR", scratch.path())
        .env_remove("RUST_LOG");
    let told = run(command, LIMIT);
    assert!(told.success, "{}\n{}", told.stdout, told.stderr);
    for part in [
        "sslmode=verify-full",
        "requests were answered",
        "in demo-mysql",
        "in demo-mariadb",
    ] {
        assert!(told.stdout.contains(part), "{part}: {}", told.stdout);
    }
    let left = fs::read_dir(scratch.path()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [theirs]);
}
