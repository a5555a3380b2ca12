//! Where things are on this machine: folders, ports, PostgreSQL's programs, the user who runs servers.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    net::TcpListener,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The folder of the tests' own installations (see `tests/setup.sh`).
pub fn test_env() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .join("test-env")
}

/// The folder of the driver programs.
pub fn drivers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers")
}

/// The folder all test processes of this checkout share, open to the user who runs servers.
/// Not below `target`: a checkout may lie where that user cannot go.
pub fn shared() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    (
        env!("CARGO_MANIFEST_DIR"),
        rustix::process::getuid().as_raw(),
    )
        .hash(&mut hasher);
    let place = std::env::temp_dir().join(format!("sluice-tests-{:016x}", hasher.finish()));
    fs::create_dir_all(&place).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
    place
}

/// Takes the lock file `name` of the shared folder until the file is dropped.
pub fn lock(name: &str) -> File {
    let file = open_lock(name);
    file.lock().unwrap();
    file
}

/// Takes the lock file `name` together with others who share it.
pub fn lock_shared(name: &str) -> File {
    let file = open_lock(name);
    file.lock_shared().unwrap();
    file
}

fn open_lock(name: &str) -> File {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(shared().join(name))
        .unwrap()
}

/// A port of 127.0.0.1 nobody listens on, below the range from which the kernel serves clients.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (process::id() * 32 + step) % 20_000;
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// PostgreSQL's program `name` of the newest installed version.
pub fn postgres_program(name: &str) -> PathBuf {
    let version = fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is not installed: run tests/setup.sh")
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok())
        .max()
        .expect("PostgreSQL is not installed: run tests/setup.sh");
    PathBuf::from(format!("/usr/lib/postgresql/{version}/bin/{name}"))
}

/// The user and group that run servers: PostgreSQL refuses root. None: whoever runs the tests.
pub fn server_owner() -> Option<(u32, u32)> {
    if !rustix::process::getuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let fields: Vec<&str> = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields[0] == "postgres")
        .expect("the postgres user, which the distribution's package creates");
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}

/// Gives a folder or file to the user who runs servers.
pub fn give_to_server(path: &Path) {
    if let Some((user, group)) = server_owner() {
        std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
    }
}

/// Makes the command run as the user who runs servers.
pub fn as_server_owner(command: &mut Command) {
    if let Some((user, group)) = server_owner() {
        std::os::unix::process::CommandExt::uid(command, user);
        std::os::unix::process::CommandExt::gid(command, group);
    }
    command.current_dir(shared());
}

/// The memory of a process that is in use now, bytes.
pub fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}

/// Whether the process still exists and is no zombie.
pub fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap()
            .trim_start()
            .starts_with('Z')
    })
}

/// Whether `path` belongs to whoever runs the tests, so that what it says may be believed.
pub fn is_ours(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.uid() == rustix::process::getuid().as_raw())
}

/// Lets this process and its children have as many open files as they may, which has to be more
/// than `needed`.
pub fn raise_open_files(needed: u64) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    assert!(
        limit.maximum.is_none_or(|most| most > needed),
        "too few open files: {limit:?}"
    );
}
