//! Members by a list that somebody keeps: the database itself, or the cloud that it runs in.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::{Discovering, Discovery};
use crate::model::{Listed, TargetName};
use crate::topology::options::Seed;

/// A list under way; an error is for the log.
pub type Listing<'a> = Pin<Box<dyn Future<Output = Result<Vec<Listed>, String>> + Send + 'a>>;

/// Who has the list.
pub trait Lister: Send + Sync + 'static {
    /// Asks for it.
    fn list(&self) -> Listing<'_>;
}

/// Asks for the list again and again.
pub struct FromList {
    lister: Arc<dyn Lister>,
    writer: Option<TargetName>,
    interval: Duration,
    /// Stands for what the list leaves out: the port, and the domain of bare names.
    usual: Seed,
}

impl FromList {
    /// What the list leaves out is as in `usual`, the first server of the configuration.
    pub fn new(lister: Arc<dyn Lister>, usual: Seed, interval: Duration) -> Self {
        Self {
            lister,
            writer: None,
            interval,
            usual,
        }
    }
}

impl Discovery for FromList {
    fn discover(&mut self) -> Discovering<'_> {
        Box::pin(async {
            let listed = self.lister.list().await?;
            let name = |one: &Listed| seed(&self.usual, one);
            let writers: Vec<Seed> = listed.iter().filter(|one| one.writer).map(name).collect();
            let seeds = listed.iter().map(name).collect();
            // A list that names several names none.
            self.writer = match &*writers {
                [only] => Some(Arc::clone(&only.name)),
                _ => None,
            };
            Ok(seeds)
        })
    }

    fn writer(&self) -> Option<TargetName> {
        self.writer.clone()
    }

    fn keeps_seeds(&self) -> bool {
        false
    }

    fn interval(&self, uneasy: bool) -> Duration {
        if uneasy {
            self.interval.min(WHILE_UNEASY)
        } else {
            self.interval
        }
    }
}

fn seed(usual: &Seed, one: &Listed) -> Seed {
    let port = one.port.unwrap_or(usual.port);
    let host = &one.host;
    let host: Arc<str> = match domain(&usual.host) {
        Some(domain) if !host.contains('.') && !domain.is_empty() => {
            format!("{host}.{domain}").into()
        }
        _ => Arc::clone(host),
    };
    Seed {
        name: format!("{host}:{port}").into(),
        host,
        port,
        verified_as: None,
        iam_endpoint: None,
        role: None,
        zone: one.zone.clone(),
        other_region: one.other_region,
    }
}

/// Of an endpoint of Aurora, what stands behind the names of its instances: of
/// `app.cluster-xyz.eu-central-1.rds.amazonaws.com` that is `xyz.eu-central-1.rds.amazonaws.com`
/// (Aurora user guide, "Types of Aurora endpoints").
fn domain(endpoint: &str) -> Option<&str> {
    let (_, domain) = endpoint.split_once('.')?;
    let bare = ["cluster-ro-", "cluster-custom-", "cluster-"];
    let bare = bare.iter().find_map(|prefix| domain.strip_prefix(prefix));
    // The name of an instance has the rest behind it as it is.
    let domain = bare.unwrap_or(domain);
    (!domain.chars().all(|c| c.is_ascii_digit() || c == '.')).then_some(domain)
}

/// A writer that changes is followed at once.
const WHILE_UNEASY: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{FromList, Lister, Listing, domain};
    use crate::model::Listed;
    use crate::topology::discover::Discovery;
    use crate::topology::options::Seed;

    struct Fixed(Vec<Listed>);

    impl Lister for Fixed {
        fn list(&self) -> Listing<'_> {
            Box::pin(async { Ok(self.0.clone()) })
        }
    }

    fn listed(host: &str, writer: bool) -> Listed {
        Listed {
            host: host.into(),
            port: None,
            writer,
            zone: None,
            other_region: false,
        }
    }

    fn usual() -> Seed {
        Seed {
            name: "".into(),
            host: "app.cluster-xyz.eu-central-1.rds.amazonaws.com".into(),
            port: 5432,
            verified_as: None,
            iam_endpoint: None,
            role: None,
            zone: None,
            other_region: false,
        }
    }

    #[test]
    fn instances_have_the_domain_of_their_cluster() {
        let of = "xyz.eu-central-1.rds.amazonaws.com";
        for name in [
            "app.cluster-",
            "app.cluster-ro-",
            "app.cluster-custom-",
            "one.",
        ] {
            assert_eq!(domain(&format!("{name}{of}")), Some(of));
        }
        assert_eq!(domain("localhost"), None);
        assert_eq!(domain("127.0.0.1"), None);
    }

    #[tokio::test]
    async fn a_list_names_members_and_writer() {
        let list = vec![listed("one", true), listed("two.example.com", false)];
        let mut source = FromList::new(Arc::new(Fixed(list)), usual(), Duration::from_secs(1));
        let found = source.discover().await.unwrap();
        let names: Vec<&str> = found.iter().map(|seed| &*seed.name).collect();
        let first = "one.xyz.eu-central-1.rds.amazonaws.com:5432";
        assert_eq!(names, [first, "two.example.com:5432"]);
        assert_eq!(source.writer().as_deref(), Some(first));
        // Two writers are none.
        let list = vec![listed("one", true), listed("two", true)];
        let mut source = FromList::new(Arc::new(Fixed(list)), usual(), Duration::from_secs(1));
        source.discover().await.unwrap();
        assert_eq!(source.writer(), None);
    }
}
