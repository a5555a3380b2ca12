//! Members by DNS: each address that a name stands for is one.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Discovering, Discovery};
use crate::model::TargetName;
use crate::topology::options::Seed;

/// Resolves the names of a configuration again and again.
#[derive(Debug)]
pub struct Dns {
    names: Vec<Seed>,
    interval: Duration,
}

impl Dns {
    /// Members are the addresses of these names.
    pub const fn new(names: Vec<Seed>, interval: Duration) -> Self {
        Self { names, interval }
    }
}

impl Discovery for Dns {
    fn discover(&mut self) -> Discovering<'_> {
        Box::pin(async {
            let mut found: Vec<Seed> = Vec::new();
            for name in &self.names {
                let addresses = tokio::net::lookup_host((&*name.host, name.port)).await;
                let addresses = addresses
                    .map_err(|error| format!("{} cannot be resolved: {error}", name.host))?;
                // Sorted, so that the order of the answer is of no account.
                let addresses: BTreeSet<IpAddr> = addresses.map(|address| address.ip()).collect();
                for seed in addresses.iter().map(|address| at(name, *address)) {
                    if !found.iter().any(|known| known.name == seed.name) {
                        found.push(seed);
                    }
                }
            }
            Ok(found)
        })
    }

    fn writer(&self) -> Option<TargetName> {
        None
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

/// A record that moves to another server is followed at once.
const WHILE_UNEASY: Duration = Duration::from_millis(500);

/// The server at one address of a name, by which its certificate is verified.
fn at(name: &Seed, address: IpAddr) -> Seed {
    let host: Arc<str> = address.to_string().into();
    let shown = match address {
        IpAddr::V4(_) => format!("{host}:{}", name.port),
        IpAddr::V6(_) => format!("[{host}]:{}", name.port),
    };
    Seed {
        name: shown.into(),
        host,
        verified_as: Some(Arc::clone(&name.host)),
        ..name.clone()
    }
}
