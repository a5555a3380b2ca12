//! Where the members of a group come from, if not from the configuration alone.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::options::{Seed, Source, TopologyOptions};
use crate::model::TargetName;

pub mod dns;
pub mod listed;

use listed::{FromList, Lister};

/// The source of members of a group, where there is one besides its configuration.
/// `lister` has the list, where there is one.
pub fn discovery(options: &TopologyOptions, lister: Arc<dyn Lister>) -> Option<Box<dyn Discovery>> {
    match &options.source {
        Source::Configured => None,
        Source::Dns { interval } => {
            let dns = dns::Dns::new(options.seeds.clone(), *interval);
            Some(Box::new(dns))
        }
        Source::Roll { interval, .. } => {
            let usual = options.seeds.first()?.clone();
            Some(Box::new(FromList::new(lister, usual, *interval)))
        }
        Source::Rds { interval, port, .. } => {
            let usual = Seed {
                name: "".into(),
                host: "".into(),
                port: *port,
                verified_as: None,
                iam_endpoint: None,
                role: None,
                zone: None,
                other_region: false,
            };
            Some(Box::new(FromList::new(lister, usual, *interval)))
        }
    }
}

/// An answer about the members of a group.
pub type Discovering<'a> = Pin<Box<dyn Future<Output = Result<Vec<Seed>, String>> + Send + 'a>>;

/// A source of members.
pub trait Discovery: Send + Sync + 'static {
    /// Asks for the members as they are now. An error is for the log: the members stay. Dropped
    /// half-way, it must begin afresh the next time.
    fn discover(&mut self) -> Discovering<'_>;

    /// The primary, as far as the last answer told.
    fn writer(&self) -> Option<TargetName>;

    /// True if the servers that the configuration names are members as well.
    fn keeps_seeds(&self) -> bool;

    /// The pause before the next question; shorter while the group is not as it should be.
    fn interval(&self, uneasy: bool) -> Duration;
}
