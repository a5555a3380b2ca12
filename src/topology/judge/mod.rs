//! Pure: what is made of looks at the servers of a group. Observations and time in, who is
//! primary and who may be used out.
//!
//! # Who is primary
//! A server that says so, if it is alone in that. One of an older timeline than the group has
//! seen is never believed: it was left behind by a promotion. Of several, discovery decides where
//! it names the writer, else the newest timeline, else the one whose history contains the
//! others'. A server that comes back from an absence does not unseat a primary; one that was
//! seen to be promoted beside a primary whose history it does not contain leaves the group
//! without any, and writes are refused until that is resolved.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::options::{HealthOptions, Seed, TopologyOptions};
use crate::model::{
    LookFailure, Member, Observation, Position, Role, Snapshot, StateReason, TargetName,
    TargetState,
};

/// Compares how far two servers have come: `Greater` if the first has all that the second has,
/// and more; `None` if each has something that the other has not, or it cannot be told.
pub type Compare = fn(&Position, &Position) -> Option<Ordering>;

/// What is known of a group.
#[derive(Debug)]
pub struct Judge {
    options: TopologyOptions,
    compare: Compare,
    servers: Vec<Server>,
    primary: Option<TargetName>,
    /// The newest timeline on which a server of the group was primary.
    newest: Option<u64>,
    /// What the first primary said its history is.
    lineage: Option<Arc<str>>,
    /// The writer that discovery names.
    writer: Option<TargetName>,
    /// When the primary was first seen to have come so far: oldest first.
    written: VecDeque<(Instant, u64)>,
    /// Several claim to be primary, and nothing decides between them.
    disputed: bool,
}

/// One server.
#[derive(Debug)]
struct Server {
    seed: Seed,
    failures: u32,
    successes: u32,
    /// May be used, as far as looks go.
    up: bool,
    looked: bool,
    failure: Option<LookFailure>,
    seen: Observation,
    /// Last seen as a replica before it claimed to be primary.
    promoted: bool,
    lag: Option<Duration>,
    lagging: bool,
}

impl Judge {
    /// A group none of whose servers has been looked at.
    pub fn new(options: TopologyOptions, compare: Compare) -> Self {
        let servers = options.seeds.iter().cloned().map(Server::new).collect();
        Self {
            options,
            compare,
            servers,
            primary: None,
            newest: None,
            lineage: None,
            writer: None,
            written: VecDeque::new(),
            disputed: false,
        }
    }

    /// Takes other members; what is known of those that stay is kept. `writer` is the primary as
    /// far as the source of the members can tell.
    pub fn set_members(&mut self, seeds: Vec<Seed>, writer: Option<TargetName>) {
        let mut known = std::mem::take(&mut self.servers);
        self.servers = seeds
            .into_iter()
            .map(|seed| {
                let place = known
                    .iter()
                    .position(|server| server.seed.name == seed.name);
                match place.map(|place| known.swap_remove(place)) {
                    Some(server) => Server { seed, ..server },
                    None => Server::new(seed),
                }
            })
            .collect();
        self.writer = writer;
    }

    /// Takes other limits.
    pub fn set_options(&mut self, options: TopologyOptions) {
        self.options = options;
    }

    /// Names of the members.
    pub fn members(&self) -> impl Iterator<Item = &TargetName> {
        self.servers.iter().map(|server| &server.seed.name)
    }

    /// Notes a look at a server; one that is no member is of no account.
    pub fn look(&mut self, name: &str, at: Instant, seen: Result<Observation, LookFailure>) {
        let is_primary = self.primary.as_deref() == Some(name);
        let health = self.options.health.clone();
        let Some(server) = self.servers.iter_mut().find(|s| *s.seed.name == *name) else {
            return;
        };
        match seen {
            Ok(seen) => server.succeeded(seen, &health),
            Err(failure) => server.failed(failure, &health),
        }
        if is_primary && let Some(progress) = server.seen.progress {
            self.note_progress(at, progress);
        }
    }

    /// True if the group is not as it should be: it is worth looking more often.
    pub fn is_uneasy(&self) -> bool {
        let primary = self.primary.as_ref();
        let primary = primary.and_then(|name| self.server(name));
        self.options.may_change() && primary.is_none_or(|server| server.failures > 0)
    }

    /// True if the last look at any server has failed.
    pub fn has_failures(&self) -> bool {
        self.servers.iter().any(|server| server.failures > 0)
    }

    /// True while several servers claim to be primary and nothing decides between them.
    pub const fn is_disputed(&self) -> bool {
        self.disputed
    }

    /// How the group stands now. The epoch is the caller's to set.
    pub fn verdict(&mut self, now: Instant) -> Snapshot {
        let chosen = self.choose();
        if chosen != self.primary {
            self.written.clear();
            self.primary = chosen;
        }
        let primary = self.primary.clone();
        if let Some(server) = primary.as_ref().and_then(|name| self.server(name)) {
            let (timeline, lineage) = (server.seen.timeline, server.seen.lineage.clone());
            let progress = server.seen.progress;
            self.newest = self.newest.max(timeline);
            self.lineage = lineage.or_else(|| self.lineage.take());
            if self.written.is_empty()
                && let Some(progress) = progress
            {
                self.written.push_back((now, progress));
            }
        }
        for index in 0..self.servers.len() {
            self.measure_lag(index, now);
        }
        Snapshot {
            epoch: 0,
            members: self.servers.iter().map(|s| self.member(s)).collect(),
            primary,
            paused: false,
        }
    }

    fn server(&self, name: &str) -> Option<&Server> {
        self.servers.iter().find(|s| *s.seed.name == *name)
    }

    fn choose(&mut self) -> Option<TargetName> {
        self.disputed = false;
        if !self.options.may_change() {
            return self.servers.first().map(|s| Arc::clone(&s.seed.name));
        }
        if self.options.health.monitor.is_none() {
            // Nobody but the configuration knows.
            let told = self.servers.iter();
            let mut told = told.filter(|s| s.seed.role == Some(Role::Primary));
            return told.next().map(|s| Arc::clone(&s.seed.name));
        }
        let claims: Vec<&Server> = self.servers.iter().filter(|s| self.may_lead(s)).collect();
        let fresh = claims.iter().filter(|s| s.failures == 0).count();
        // Who has not answered lately does not stand against who has.
        let claims: Vec<&Server> = claims
            .into_iter()
            .filter(|s| fresh == 0 || s.failures == 0)
            .collect();
        if let [only] = &*claims {
            return Some(Arc::clone(&only.seed.name));
        }
        let named = |name: &TargetName| claims.iter().find(|s| s.seed.name == *name);
        let decided = self
            .writer
            .as_ref()
            .and_then(named)
            .copied()
            .or_else(|| self.newest_of(&claims))
            .or_else(|| sole(claims.iter().copied().filter(|s| !s.seen.follows)))
            .or_else(|| self.fullest_of(&claims))
            .or_else(|| {
                let incumbent = self.primary.as_ref().and_then(named).copied()?;
                let mut others = claims.iter().filter(|s| s.seed.name != incumbent.seed.name);
                (!others.any(|s| s.promoted)).then_some(incumbent)
            });
        let decided = decided.map(|server| Arc::clone(&server.seed.name));
        self.disputed = decided.is_none() && !claims.is_empty();
        decided
    }

    /// True if a server claims to be primary and may be believed.
    fn may_lead(&self, server: &Server) -> bool {
        let left_behind = match (server.seen.timeline, self.newest) {
            (Some(own), Some(newest)) => own < newest,
            _ => false,
        };
        server.up
            && server.seen.role == Some(Role::Primary)
            && server.seed.role != Some(Role::Replica)
            && !left_behind
            && !self.is_foreign(server)
    }

    /// True for a server of another history than the group's.
    fn is_foreign(&self, server: &Server) -> bool {
        match (&server.seen.lineage, &self.lineage) {
            (Some(own), Some(groups)) => own != groups,
            _ => false,
        }
    }

    fn newest_of<'a>(&self, claims: &[&'a Server]) -> Option<&'a Server> {
        let newest = claims.iter().filter_map(|s| s.seen.timeline).max()?;
        // One that does not say cannot be compared.
        if claims.iter().any(|s| s.seen.timeline.is_none()) {
            return None;
        }
        sole(
            claims
                .iter()
                .copied()
                .filter(|s| s.seen.timeline == Some(newest)),
        )
    }

    /// The one whose history contains all the others'.
    fn fullest_of<'a>(&self, claims: &[&'a Server]) -> Option<&'a Server> {
        // Positions on one timeline say nothing about who is right.
        if claims.iter().any(|s| s.seen.timeline.is_some()) {
            return None;
        }
        let contains = |a: &Server, b: &Server| match (&a.seen.position, &b.seen.position) {
            (Some(a), Some(b)) => (self.compare)(a, b) == Some(Ordering::Greater),
            _ => false,
        };
        let full = claims.iter().copied().filter(|one| {
            let mut others = claims.iter().filter(|s| s.seed.name != one.seed.name);
            others.all(|other| contains(one, other))
        });
        sole(full)
    }

    /// Notes how far the primary has come.
    fn note_progress(&mut self, at: Instant, progress: u64) {
        if self
            .written
            .back()
            .is_some_and(|(_, last)| *last >= progress)
        {
            return;
        }
        if self.written.len() >= MOST_WRITTEN {
            self.written.pop_front();
        }
        self.written.push_back((at, progress));
    }

    /// How far a replica is behind: as it says itself, or as the primary's progress shows.
    fn measure_lag(&mut self, index: usize, now: Instant) {
        let written = &self.written;
        let health = &self.options.health;
        let Some(server) = self.servers.get_mut(index) else {
            return;
        };
        if server.seen.role != Some(Role::Replica) {
            (server.lag, server.lagging) = (None, false);
            return;
        }
        let shown = server.seen.progress.and_then(|own| {
            let missing = written.iter().find(|(_, progress)| *progress > own);
            let known = written.back()?;
            Some(missing.map_or(Duration::ZERO, |(since, _)| {
                now.saturating_duration_since(*since).max(if known.1 > own {
                    Duration::from_millis(1)
                } else {
                    Duration::ZERO
                })
            }))
        });
        server.lag = match (shown, server.seen.lag) {
            // Nothing is missing, whatever the clocks say.
            (Some(Duration::ZERO), _) => Some(Duration::ZERO),
            (Some(shown), Some(said)) => Some(shown.max(said)),
            (shown, said) => shown.or(said),
        };
        let most = if server.seed.other_region {
            health.max_lag_other_region
        } else {
            health.max_lag
        };
        // It is back when it has come well below the limit, so that it does not come and go.
        let limit = if server.lagging { most * 4 / 5 } else { most };
        server.lagging = server.lag.is_some_and(|lag| lag > limit);
    }

    fn member(&self, server: &Server) -> Member {
        let seed = &server.seed;
        let is_primary = self.primary.as_ref() == Some(&seed.name);
        let role = server.seen.role.or(seed.role);
        let role = role.or(is_primary.then_some(Role::Primary));
        let (state, reason) = self.state(server, role, is_primary);
        Member {
            name: Arc::clone(&seed.name),
            role,
            state,
            reason,
            lag: server.lag,
            position: server.seen.position.clone(),
            near: self.options.zone.is_some() && seed.zone == self.options.zone,
            zone: seed.zone.clone(),
            other_region: seed.other_region,
            weight: server.seen.capacity.unwrap_or(1).max(1),
        }
    }

    fn state(
        &self,
        server: &Server,
        role: Option<Role>,
        is_primary: bool,
    ) -> (TargetState, Option<StateReason>) {
        use TargetState::{Available, Registering, Unavailable};
        if !server.looked {
            return (Registering, Some(StateReason::PendingProxyCapacity));
        }
        if !server.up {
            let reason = match server.failure {
                Some(LookFailure::Unreachable) => StateReason::Unreachable,
                Some(LookFailure::Refused) => StateReason::AuthFailure,
                Some(LookFailure::Unusable) => StateReason::ConnectionFailed,
                None => return (Registering, Some(StateReason::PendingProxyCapacity)),
            };
            return (Unavailable, Some(reason));
        }
        if is_primary {
            return (Available, None);
        }
        match role {
            Some(Role::Primary) => (Unavailable, Some(StateReason::Promoted)),
            Some(Role::Replica) if server.seed.role == Some(Role::Primary) => {
                (Unavailable, Some(StateReason::InvalidReplicationState))
            }
            Some(Role::Replica) if self.cannot_follow(server) => {
                (Unavailable, Some(StateReason::InvalidReplicationState))
            }
            Some(Role::Replica) => (Available, None),
            None => (Registering, Some(StateReason::PendingProxyCapacity)),
        }
    }

    /// True for a replica whose data is too old, or of another history.
    fn cannot_follow(&self, server: &Server) -> bool {
        let seen = &server.seen;
        let left_behind = match (seen.timeline, self.newest) {
            (Some(own), Some(newest)) => own < newest,
            _ => false,
        };
        let measured = seen.progress.is_some() && !self.written.is_empty();
        let adrift = seen.role == Some(Role::Replica)
            && !seen.shares_storage
            && seen.streaming == Some(false)
            && (!seen.follows || (!measured && self.primary.is_some()));
        server.lagging || left_behind || adrift || self.is_foreign(server)
    }
}

impl Server {
    fn new(seed: Seed) -> Self {
        Self {
            seed,
            failures: 0,
            successes: 0,
            up: false,
            looked: false,
            failure: None,
            seen: Observation::default(),
            promoted: false,
            lag: None,
            lagging: false,
        }
    }

    fn succeeded(&mut self, seen: Observation, health: &HealthOptions) {
        self.promoted = match (self.seen.role, seen.role) {
            (Some(Role::Replica), Some(Role::Primary)) => true,
            (_, Some(Role::Primary)) => self.promoted && self.up,
            _ => false,
        };
        self.seen = seen;
        self.failures = 0;
        self.successes = self.successes.saturating_add(1);
        // The first look at all is as good as any.
        self.up |= !self.looked || self.successes >= health.successes;
        self.looked = true;
        if self.up {
            self.failure = None;
        }
    }

    fn failed(&mut self, failure: LookFailure, health: &HealthOptions) {
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
        self.looked = true;
        self.failure = Some(failure);
        // Who refuses the monitor's login is there all the same.
        let there = failure == LookFailure::Refused && self.seen.role.is_some();
        if self.failures >= health.failures && !there {
            self.up = false;
        }
    }
}

/// The only one, if there is exactly one.
fn sole<'a>(mut servers: impl Iterator<Item = &'a Server>) -> Option<&'a Server> {
    let first = servers.next()?;
    servers.next().is_none().then_some(first)
}

/// Ten minutes of a primary that writes all the time, at one look a second.
const MOST_WRITTEN: usize = 600;

#[cfg(test)]
mod tests;
