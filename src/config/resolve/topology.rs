//! The servers of one `[[target_group]]`, and how they are watched.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Table;
use super::aws::iam_endpoint;
use super::host::{host_and_port, usual_port};
use super::translate::{engine, role};
use crate::config::error::ConfigError;
use crate::config::raw;
use crate::config::units::Time;
use crate::model::{EngineFamily, Role, Roll, TargetName};
use crate::topology::options::{HealthOptions, Monitor, Seed, Source, TopologyOptions};

pub(super) fn resolve(
    table: &Table<'_>,
    raw: &raw::TargetGroup,
) -> Result<TopologyOptions, ConfigError> {
    let options = TopologyOptions {
        seeds: seeds(table, raw)?,
        health: health(table, raw)?,
        zone: table.source.raw.general.zone.as_deref().map(Into::into),
        source: source(table, raw)?,
    };
    check_roles(table, &options)?;
    Ok(options)
}

fn source(table: &Table<'_>, raw: &raw::TargetGroup) -> Result<Source, ConfigError> {
    let interval = raw.discovery_interval.0;
    if interval < SHORTEST_DISCOVERY {
        return Err(table.error("discovery_interval", "must be at least \"100ms\""));
    }
    Ok(match raw.discovery {
        raw::Discovery::Static => Source::Configured,
        raw::Discovery::Dns => Source::Dns { interval },
        raw::Discovery::Aurora => rolled(table, raw, Roll::Aurora, interval)?,
        raw::Discovery::Rds => rds(table, raw, interval)?,
        raw::Discovery::MultiAzCluster => rolled(table, raw, Roll::MultiAz, interval)?,
    })
}

/// The list that RDS has.
fn rds(
    table: &Table<'_>,
    raw: &raw::TargetGroup,
    interval: Duration,
) -> Result<Source, ConfigError> {
    let Some(identifier) = &raw.rds_identifier else {
        return Err(table.error("discovery", "needs rds_identifier"));
    };
    if raw.monitor_user.is_none() {
        return Err(table.error("discovery", "needs monitor_user"));
    }
    Ok(Source::Rds {
        identifier: (&**identifier).into(),
        port: usual_port(engine(raw.engine)),
        interval,
    })
}

/// A list that a server has.
fn rolled(
    table: &Table<'_>,
    raw: &raw::TargetGroup,
    roll: Roll,
    interval: Duration,
) -> Result<Source, ConfigError> {
    if raw.monitor_user.is_none() {
        return Err(table.error("discovery", "needs monitor_user, who asks the servers"));
    }
    Ok(Source::Roll { roll, interval })
}

/// Where servers are reached that are named otherwise.
pub(super) fn addresses(
    table: &Table<'_>,
    raw: &raw::TargetGroup,
) -> Result<BTreeMap<TargetName, (Arc<str>, u16)>, ConfigError> {
    let mut addresses = BTreeMap::new();
    for (named, address) in &raw.discovery_addresses {
        let read = |text| {
            host_and_port(text, engine(raw.engine)).ok_or_else(|| {
                let what = format!("expected \"host:port\", not {text:?}");
                table.error("discovery_addresses", &what)
            })
        };
        let (host, port) = read(named)?;
        let (at, at_port) = read(address)?;
        addresses.insert(name(host, port), (at.into(), at_port));
    }
    Ok(addresses)
}

fn seeds(table: &Table<'_>, raw: &raw::TargetGroup) -> Result<Vec<Seed>, ConfigError> {
    if raw.target.is_empty() && raw.discovery != raw::Discovery::Rds {
        let what = "at least one [[target_group.target]] is needed";
        return Err(table.error("target", what));
    }
    let mut seeds: Vec<Seed> = Vec::new();
    for (index, target) in raw.target.iter().enumerate() {
        let key = format!("target.{index}.address");
        let Some((host, port)) = host_and_port(&target.address, engine(raw.engine)) else {
            let what = format!("expected \"host:port\", not {:?}", target.address);
            return Err(table.error(&key, &what));
        };
        let name = name(host, port);
        if seeds.iter().any(|seed| seed.name == name) {
            return Err(table.error(&key, "another target has this address already"));
        }
        seeds.push(Seed {
            name,
            host: host.into(),
            port,
            verified_as: None,
            iam_endpoint: iam_endpoint(table, index, raw, target)?,
            role: role(target.role),
            zone: target.zone.as_deref().map(Into::into),
            other_region: target.other_region,
        });
    }
    Ok(seeds)
}

/// `host:port`, as targets are named everywhere.
fn name(host: &str, port: u16) -> Arc<str> {
    if host.contains(':') {
        return format!("[{host}]:{port}").into();
    }
    format!("{host}:{port}").into()
}

fn health(table: &Table<'_>, raw: &raw::TargetGroup) -> Result<HealthOptions, ConfigError> {
    for (key, time) in [
        ("health_check_interval", raw.health_check_interval),
        ("failover_check_interval", raw.failover_check_interval),
    ] {
        if time.0 < SHORTEST_INTERVAL {
            return Err(table.error(key, "must be at least \"10ms\""));
        }
    }
    table.not_zero("health_check_timeout", raw.health_check_timeout)?;
    table.at_least_one("health_check_failures", raw.health_check_failures)?;
    table.at_least_one("health_check_successes", raw.health_check_successes)?;
    let monitor = raw.monitor_user.as_deref().map(|user| Monitor {
        user: user.into(),
        database: raw
            .monitor_database
            .as_deref()
            .unwrap_or(usual_database(engine(raw.engine)))
            .into(),
    });
    if monitor.is_none() && raw.monitor_database.is_some() {
        return Err(table.error("monitor_database", "needs monitor_user"));
    }
    let Time(interval) = raw.health_check_interval;
    Ok(HealthOptions {
        monitor,
        interval,
        failover_interval: raw.failover_check_interval.0.min(interval),
        timeout: raw.health_check_timeout.0,
        failures: raw.health_check_failures,
        successes: raw.health_check_successes,
        max_lag: raw.max_replica_lag.0,
        max_lag_other_region: raw.max_replica_lag_other_region.0,
    })
}

/// Who is what is either asked or told; there is one primary at most by configuration.
fn check_roles(table: &Table<'_>, options: &TopologyOptions) -> Result<(), ConfigError> {
    let seeds = &options.seeds;
    let mut primaries = seeds.iter().enumerate();
    let mut primaries = primaries
        .by_ref()
        .filter(|(_, seed)| seed.role == Some(Role::Primary));
    if let (Some(_), Some((index, _))) = (primaries.next(), primaries.next()) {
        let key = format!("target.{index}.role");
        return Err(table.error(&key, "another target is the primary already"));
    }
    if options.health.monitor.is_some() || seeds.len() == 1 {
        return Ok(());
    }
    match seeds.iter().position(|seed| seed.role.is_none()) {
        None => Ok(()),
        Some(index) => {
            let what = "several targets need monitor_user, which finds out who is primary, \
                        or a `role` each";
            Err(table.error(&format!("target.{index}"), what))
        }
    }
}

/// Where anybody may log in.
const fn usual_database(engine: EngineFamily) -> &'static str {
    match engine {
        EngineFamily::Postgres => "postgres",
        EngineFamily::Mysql => "",
    }
}

const SHORTEST_DISCOVERY: Duration = Duration::from_millis(100);
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
