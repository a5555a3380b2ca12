//! A password in a file: read again when the file changes, and when a server refuses it.
//!
//! The former content stays known, so that it does not matter whether the file or the server is
//! changed first.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::rotating::{Depth, Pace, Reading, Store};
use super::{Asked, Offer, SourceError};
use crate::model::{Credential, Secret};

/// One file.
#[derive(Debug)]
pub struct FileStore {
    path: Arc<Path>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    stamp: Option<Stamp>,
    offer: Option<Offer>,
    /// Different contents so far.
    contents: u64,
}

/// What tells a changed file from an unchanged one: a new file under the name is another inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl FileStore {
    /// A look at a file costs little, and nothing else tells of a change.
    pub const PACE: Pace = Pace {
        max_age: Duration::from_secs(1),
        min_gap: Duration::from_millis(200),
        at_login: true,
    };

    /// The password in this file; one line break at its end does not count.
    pub fn new(path: Arc<Path>) -> Self {
        Self {
            path,
            known: Mutex::default(),
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look(&self, depth: Depth) -> Result<Offer, SourceError> {
        let unreadable = |error: io::Error| {
            SourceError::new(format_args!("cannot read {}: {error}", self.path.display()))
        };
        let meta = tokio::fs::metadata(&self.path).await.map_err(unreadable)?;
        let stamp = Stamp {
            inode: meta.ino(),
            size: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
        };
        {
            let known = self.known();
            if let (Depth::Current, Some(offer), true) =
                (depth, &known.offer, known.stamp == Some(stamp))
            {
                return Ok(offer.clone());
            }
        }
        if stamp.size > LONGEST {
            let what = format_args!("{} is too large for a password", self.path.display());
            return Err(SourceError::new(what));
        }
        let bytes = Secret::new(tokio::fs::read(&self.path).await.map_err(unreadable)?);
        let password = without_line_break(&bytes);
        if password.expose().is_empty() {
            // Somebody is writing it.
            return Err(SourceError::new(format_args!(
                "{} is empty",
                self.path.display()
            )));
        }
        Ok(self.known().take(stamp, password))
    }
}

impl Known {
    fn take(&mut self, stamp: Stamp, password: Secret) -> Offer {
        self.stamp = Some(stamp);
        if let Some(offer) = &self.offer
            && matches!(&offer.credential, Credential::Password(known) if *known == password)
        {
            return offer.clone();
        }
        self.contents += 1;
        let offer = Offer {
            user: None,
            credential: Credential::Password(password),
            version: self.contents.to_string().into(),
            verified_only: false,
        };
        self.offer = Some(offer.clone());
        offer
    }
}

impl Store for FileStore {
    fn read(&self, depth: Depth) -> Asked<'_, Reading> {
        Box::pin(async move { self.look(depth).await.map(Reading::Current) })
    }
}

/// One line break at the end belongs to the file, not to the secret.
pub fn without_line_break(content: &Secret) -> Secret {
    let bytes = content.expose();
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    Secret::new(bytes)
}

/// Longer than any token, shorter than what would be a mistake.
const LONGEST: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use super::FileStore;
    use crate::auth::source::{
        Ask, CredentialSource, Offer, PasswordKeeper, Rotating, SourceMetrics,
    };
    use crate::model::Credential;

    type FileSource = Rotating<FileStore>;

    fn source(path: &Path) -> Arc<FileSource> {
        let metrics = SourceMetrics::register(&prometheus::Registry::new()).unwrap();
        let meter = metrics.meter("file", "password");
        Arc::new(Rotating::new(
            FileStore::new(path.into()),
            FileStore::PACE,
            meter,
        ))
    }

    fn text(offer: &Offer) -> String {
        match &offer.credential {
            Credential::Password(password) => {
                String::from_utf8(password.expose().to_vec()).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    async fn ask(source: &FileSource, refused: &[Offer]) -> Option<Offer> {
        let user = "app".into();
        let ask = Ask {
            endpoint: ("db", 5432),
            user: &user,
            only: None,
            refused,
        };
        source.offer(ask).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_file_is_read_and_the_former_content_stays_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "old\n").unwrap();
        let source = source(&path);
        let old = ask(&source, &[]).await.unwrap();
        assert_eq!(text(&old), "old");
        source.accepted(&old);
        std::fs::write(&path, "new\r\n").unwrap();
        // The server has changed, too: the file is read at once.
        let new = ask(&source, std::slice::from_ref(&old)).await.unwrap();
        assert_eq!(text(&new), "new");
        // Or it has not yet.
        let former = ask(&source, std::slice::from_ref(&new)).await;
        assert!(former.is_none(), "it was refused a moment ago");
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let former = ask(&source, std::slice::from_ref(&new)).await.unwrap();
        assert_eq!(text(&former), "old");
        assert!(ask(&source, &[new, former]).await.is_none());
        assert_eq!(source.password("any").await.unwrap().expose(), b"new");
    }

    #[tokio::test(start_paused = true)]
    async fn an_unreadable_file_is_an_error_and_then_what_is_known_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let source = source(&path);
        let user = "app".into();
        let asked = Ask {
            endpoint: ("db", 5432),
            user: &user,
            only: None,
            refused: &[],
        };
        let error = source.offer(asked).await.unwrap_err().to_string();
        assert!(error.starts_with("cannot read "), "{error}");
        std::fs::write(&path, "").unwrap();
        let error = source.offer(asked).await.unwrap_err().to_string();
        assert!(error.ends_with(" is empty"), "{error}");
        std::fs::write(&path, "here").unwrap();
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert_eq!(text(&ask(&source, &[]).await.unwrap()), "here");
        std::fs::remove_file(&path).unwrap();
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(text(&ask(&source, &[]).await.unwrap()), "here");
    }
}
