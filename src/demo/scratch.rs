//! The demo's folder, which is gone when the demo is, and the account that PostgreSQL runs as.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::DemoError;

/// A folder of our own in the system's temporary one, removed when dropped.
pub struct Scratch {
    path: PathBuf,
    account: Option<Account>,
    password: String,
}

/// Numbers of a user without privileges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Scratch {
    /// Makes the folder. Only we can write to it, but others may pass through: PostgreSQL runs as
    /// somebody else if we are root, and the user's clients read the authority's certificate.
    pub fn new() -> Result<Self, DemoError> {
        let account = if rustix::process::geteuid().is_root() {
            let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
            let found = ["postgres", "nobody"]
                .iter()
                .find_map(|n| account(&passwd, n));
            Some(found.ok_or(DemoError::NoAccount)?)
        } else {
            None
        };
        let path = std::env::temp_dir().join(format!("sluice-demo-{}", random_hex::<8>()?));
        // Fails if it exists, be it as somebody's symbolic link.
        let made = DirBuilder::new().mode(0o755).create(&path);
        made.map_err(DemoError::io("cannot make a temporary folder"))?;
        Ok(Self {
            path,
            account,
            password: random_hex::<12>()?,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The password of every role, made for this demo.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Makes a folder that only PostgreSQL's account can enter.
    pub fn data_folder(&self, name: &str) -> Result<PathBuf, DemoError> {
        let path = self.path.join(name);
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(DemoError::io("cannot make the data folder"))?;
        self.give(&path)?;
        Ok(path)
    }

    /// Writes a file for everybody to read.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, DemoError> {
        self.write_mode(name, text, 0o644)
    }

    /// Writes a file for everybody to read, in place of one that was there before.
    pub fn write_again(&self, name: &str, text: &str) -> Result<PathBuf, DemoError> {
        let path = self.path.join(name);
        let written = fs::write(&path, text);
        written.map_err(DemoError::io("cannot write to the temporary folder"))?;
        Ok(path)
    }

    /// Writes a file that only we can read.
    pub fn write_private(&self, name: &str, text: &str) -> Result<PathBuf, DemoError> {
        self.write_mode(name, text, 0o600)
    }

    /// Writes a file that only PostgreSQL's account can read.
    pub fn write_for_postgres(&self, name: &str, text: &str) -> Result<PathBuf, DemoError> {
        let path = self.write_mode(name, text, 0o600)?;
        self.give(&path)?;
        Ok(path)
    }

    /// A command as PostgreSQL's account, without our own PostgreSQL settings.
    pub fn as_postgres(&self, program: &Path) -> Command {
        let mut command = self.command(program);
        if let Some(Account { uid, gid }) = self.account {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// A command as ourselves, with the demo's password and without other PostgreSQL settings.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"PG") {
                command.env_remove(name);
            }
        }
        command.env("PGPASSWORD", &self.password).env("LC_ALL", "C");
        command.current_dir(&self.path);
        command
    }

    fn write_mode(&self, name: &str, text: &str, mode: u32) -> Result<PathBuf, DemoError> {
        let path = self.path.join(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(DemoError::io("cannot write to the temporary folder"))?;
        Ok(path)
    }

    fn give(&self, path: &Path) -> Result<(), DemoError> {
        let Some(Account { uid, gid }) = self.account else {
            return Ok(());
        };
        chown(path, Some(uid), Some(gid)).map_err(DemoError::io("cannot give a file away"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("sluice demo: {} stays: {error}", self.path.display());
        }
    }
}

/// Finds a user in the text of `/etc/passwd` (passwd(5): name, password, uid, gid, …).
fn account(passwd: &str, name: &str) -> Option<Account> {
    let mut fields = passwd
        .lines()
        .map(|line| line.split(':'))
        .find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Account { uid, gid })
}

pub fn random_hex<const N: usize>() -> Result<String, DemoError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| DemoError::Unexpected("no randomness to be had".to_owned()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{Account, Scratch, account};

    #[test]
    fn the_folder_goes_with_its_owner() {
        let scratch = Scratch::new().unwrap();
        let file = scratch.write_private("secret", "x").unwrap();
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(scratch.write("secret", "y").is_err(), "overwritten");
        scratch.data_folder("data").unwrap();
        let path = scratch.path().to_owned();
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn accounts_are_found_by_whole_name() {
        let passwd = "postgresql:x:1:2::/:\npostgres:x:101:104:A,b:/var/lib:/bin/sh\n";
        let found = Some(Account { uid: 101, gid: 104 });
        assert_eq!(account(passwd, "postgres"), found);
        assert_eq!(account(passwd, "nobody"), None);
        assert_eq!(account("nobody:x:many:few:", "nobody"), None);
    }
}
