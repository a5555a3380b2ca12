//! Throwaway database servers: one of each kind that all tests share, and private ones to break.
//!
//! The first test that needs the shared server starts it; a reaper ends it once no test has held
//! the `users` lock for some seconds, which needs no help from the test runner. A private server is
//! ended when its value is dropped.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{place, wait};

/// What makes a kind of server.
#[derive(Debug)]
pub struct Recipe {
    /// Names its locks and folders.
    pub name: &'static str,
    /// Makes, or finds, the folder that each server's own is a copy of; called with the kind's lock.
    pub template: fn() -> PathBuf,
    /// Puts settings after the usual ones, in a server's folder.
    pub configure: fn(&Path, &[(&str, &str)]),
    /// What runs a server with that folder at that port, and names the folder in its arguments.
    pub command: fn(&Path, u16) -> Command,
    /// Whether an administrator can log in at that port.
    pub accepts: fn(u16) -> bool,
    /// User and group that folders have to belong to. None: whoever runs the tests.
    pub owner: fn() -> Option<(u32, u32)>,
    /// What a killed server leaves in its folder that keeps the next one from starting.
    pub leftovers: &'static [&'static str],
    /// Ends a server as an administrator would in a hurry.
    pub stop: Signal,
    /// Ends a server that nobody will ever need again.
    pub end: Signal,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    pub port: u16,
    recipe: &'static Recipe,
    folder: PathBuf,
    /// A private server's process; a shared one belongs to no test.
    child: Option<Child>,
    _home: Option<tempfile::TempDir>,
}

impl Server {
    /// The server all tests share, started if need be.
    pub fn shared(recipe: &'static Recipe) -> Self {
        use_shared(recipe);
        let _guard = place::lock(&format!("{}.lock", recipe.name));
        let state = place::shared().join(format!("{}-state", recipe.name));
        let folder = place::shared().join(recipe.name);
        let server = |port| Self {
            port,
            recipe,
            folder: folder.clone(),
            child: None,
            _home: None,
        };
        if place::is_ours(&state)
            && let Some((pid, port)) = parse_state(&state)
            && place::is_alive(pid)
            && fs::read_to_string(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.contains(folder.to_str().unwrap()))
        {
            return server(port);
        }
        let _ = fs::remove_dir_all(&folder);
        copy(&(recipe.template)(), &folder);
        let mut server = server(place::free_port());
        // Out of the group that a test runner ends with the test.
        let child = server.spawn(true);
        let pid = child.id();
        fs::write(&state, format!("{pid} {}", server.port)).unwrap();
        server.child = Some(child);
        server.wait_ready();
        server.child = None;
        reap(recipe, pid);
        server
    }

    /// A server of the caller's own, with settings after the usual ones.
    pub fn private(recipe: &'static Recipe, settings: &[(&str, &str)]) -> Self {
        let template = {
            let _guard = place::lock(&format!("{}.lock", recipe.name));
            (recipe.template)()
        };
        let home = tempfile::Builder::new()
            .prefix("private-")
            .tempdir_in(place::shared())
            .unwrap();
        if let Some((user, group)) = (recipe.owner)() {
            std::os::unix::fs::chown(home.path(), Some(user), Some(group)).unwrap();
        }
        let folder = home.path().join("data");
        copy(&template, &folder);
        (recipe.configure)(&folder, settings);
        let mut server = Self {
            port: place::free_port(),
            recipe,
            folder,
            child: None,
            _home: Some(home),
        };
        server.start();
        server
    }

    /// A server of the caller's own in a folder that `fill` makes; it is given the path, where nothing
    /// is yet.
    pub fn filled(recipe: &'static Recipe, fill: impl FnOnce(&Path)) -> Self {
        let home = tempfile::Builder::new()
            .prefix("private-")
            .tempdir_in(place::shared())
            .unwrap();
        if let Some((user, group)) = (recipe.owner)() {
            std::os::unix::fs::chown(home.path(), Some(user), Some(group)).unwrap();
        }
        let folder = home.path().join("data");
        fill(&folder);
        let mut server = Self {
            port: place::free_port(),
            recipe,
            folder,
            child: None,
            _home: Some(home),
        };
        server.start();
        server
    }

    /// Ends a private server at once, as a crash would: its clients are cut without a word.
    pub fn kill(&mut self) {
        let child = self.child.as_mut().expect("a private server that runs");
        // A postmaster's children notice its death by themselves, which takes a moment.
        let pids: Vec<u32> = children(child.id())
            .into_iter()
            .chain([child.id()])
            .collect();
        for pid in &pids {
            signal(*pid, Signal::KILL);
        }
        child.wait().unwrap();
        wait::until_true("the end of the killed server", || {
            pids.iter().all(|pid| !place::is_alive(*pid))
        });
    }

    /// Ends a private server as an administrator would in a hurry: its clients are told.
    pub fn stop(&mut self) {
        let child = self.child.as_mut().expect("a private server that runs");
        signal(child.id(), self.recipe.stop);
        wait::until("the end of the stopped server", || {
            child.try_wait().unwrap()
        });
    }

    /// Starts a private server again on its port, after [`Self::kill`] or [`Self::stop`].
    pub fn start(&mut self) {
        for leftover in self.recipe.leftovers {
            let _ = fs::remove_file(self.folder.join(leftover));
        }
        self.child = Some(self.spawn(false));
        self.wait_ready();
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }

    fn spawn(&self, outlives_us: bool) -> Child {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("server.log"))
            .unwrap();
        let mut command = (self.recipe.command)(&self.folder, self.port);
        if outlives_us {
            command.process_group(0);
        }
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error} (run tests/setup.sh)"))
    }

    fn wait_ready(&mut self) {
        let (accepts, port) = (self.recipe.accepts, self.port);
        wait::until("a server to accept logins", || {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok()?);
            if let Some(status) = ended {
                panic!("{} ended with {status}\n{}", self.recipe.name, self.log());
            }
            accepts(port).then_some(())
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
            eprintln!("--- log of the private {} server\n{log}", self.recipe.name);
        }
        if child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        signal(child.id(), self.recipe.end);
        wait::until("the end of a private server", || {
            child.try_wait().ok().flatten()
        });
    }
}

/// Counts this process among the users of the shared server, for as long as it lives.
fn use_shared(recipe: &Recipe) {
    static USED: Mutex<Vec<(&'static str, File)>> = Mutex::new(Vec::new());
    let mut used = USED
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if used.iter().all(|(name, _)| *name != recipe.name) {
        let lock = place::lock_shared(&format!("{}-users.lock", recipe.name));
        used.push((recipe.name, lock));
    }
}

fn parse_state(path: &Path) -> Option<(u32, u16)> {
    let text = fs::read_to_string(path).ok()?;
    let (pid, port) = text.split_once(' ')?;
    Some((pid.parse().ok()?, port.parse().ok()?))
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(done.unwrap().success());
}

/// Leaves behind a process that ends the shared server once no test has used it for a while.
#[expect(clippy::zombie_processes, reason = "it outlives this process")]
fn reap(recipe: &Recipe, pid: u32) {
    let (name, signal) = (recipe.name, recipe.end.as_raw());
    let script = format!(
        "while sleep 15 && kill -0 {pid}; do
            flock --nonblock {name}-users.lock sh -c 'kill -{signal} {pid}; while kill -0 {pid}; do sleep .1; done'
        done"
    );
    Command::new("sh")
        .args(["-c", &script])
        .current_dir(place::shared())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
}

fn children(pid: u32) -> Vec<u32> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    listed
        .split_whitespace()
        .map(|child| child.parse().unwrap())
        .collect()
}

/// Signals one process, by its id; one that has ended is no error.
pub fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = kill_process(pid, signal);
}
