//! What the user sees: one line a second from Sluice's own metrics, and a verdict at the end.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::DemoOptions;
use super::error::DemoError;
use super::load::{LOGIN_LIMIT, Load};
use super::proxy::Proxy;
use super::scrape::Sample;
use super::servers::Servers;

/// How often metrics are read.
const PERIOD: Duration = Duration::from_secs(1);

/// The longest that the clients may take to finish.
const END_LIMIT: Duration = Duration::from_secs(30);

/// Standard output. On a terminal, live lines overwrite each other.
pub struct Screen {
    live: bool,
    pending: bool,
}

impl Default for Screen {
    fn default() -> Self {
        Self {
            live: io::stdout().is_terminal(),
            pending: false,
        }
    }
}

impl Screen {
    /// Prints a text that stays.
    pub fn say(&mut self, text: &str) -> Result<(), DemoError> {
        let open = std::mem::take(&mut self.pending);
        self.write(&format!("{}{text}\n", if open { "\n" } else { "" }))
    }

    /// Prints a line that the next one may overwrite.
    fn show(&mut self, line: &str) -> Result<(), DemoError> {
        if self.live {
            self.pending = true;
            // Carriage return, and "erase to the end of the line" (ECMA-48, EL).
            self.write(&format!("\r{line}\x1b[K"))
        } else {
            self.write(&format!("{line}\n"))
        }
    }

    fn write(&self, text: &str) -> Result<(), DemoError> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(DemoError::io("cannot print"))
    }
}

/// The most that was seen at once, and what was done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Peak {
    clients: f64,
    server_connections: f64,
    requests: f64,
    /// What replicas answered, by target group.
    by_replicas: Vec<(String, f64)>,
}

impl Peak {
    fn see(&mut self, sample: &Sample) {
        self.clients = self.clients.max(sample.clients);
        self.server_connections = self.server_connections.max(sample.server_connections);
        self.requests = self.requests.max(sample.requests);
        let by_replicas = sample.answered_by_replicas();
        self.by_replicas = by_replicas
            .map(|(group, answered)| (group.to_owned(), answered))
            .collect();
    }

    /// Says what was shown, or what should have been and was not.
    /// `clients`, `pools` and `groups` are what was to be seen: so many clients, at most so many connections, and so many
    /// target groups whose replicas had something to do.
    pub fn verdict(&self, clients: u32, pools: u32, groups: usize) -> Result<String, DemoError> {
        let Self {
            clients: seen,
            server_connections,
            requests,
            ref by_replicas,
        } = *self;
        let replicas: Vec<String> = by_replicas
            .iter()
            .map(|(group, answered)| format!("{answered} in {group}"))
            .collect();
        let replicas = replicas.join(", ");
        let told = format!(
            "{seen} clients at once shared {server_connections} server connections, \
             and {requests} requests were answered; reads that went to replicas: {replicas}."
        );
        let enough = seen >= f64::from(clients) && requests >= f64::from(clients);
        let few = server_connections >= 1.0 && server_connections <= f64::from(pools);
        let busy = by_replicas.iter().filter(|(_, answered)| *answered > 0.0);
        if enough && few && busy.count() >= groups {
            Ok(told)
        } else {
            Err(DemoError::Unexpected(format!(
                "{told} It should have been {clients} clients with a query each, \
                 over {pools} server connections at most, and reads at the replicas of {groups} groups."
            )))
        }
    }
}

/// Shows a line a second: until all clients are there, then for the seconds that were asked for,
/// then until the load is over. Cancel safe.
pub async fn watch(
    screen: &mut Screen,
    load: &mut Load,
    proxy: &mut Proxy,
    servers: &mut Servers,
    options: &DemoOptions,
) -> Result<Peak, DemoError> {
    let asked = Duration::from_secs(options.seconds.into());
    let begun = Instant::now();
    let mut complete = None;
    let wanted = options.clients + servers.more_clients();
    let mut ticks = ticks();
    let mut before = (Instant::now(), proxy.sample().await?);
    let mut peak = Peak::default();
    while !load.over()? {
        ticks.tick().await;
        servers.alive()?;
        let now = (Instant::now(), proxy.sample().await?);
        peak.see(&now.1);
        screen.show(&line(begun.elapsed(), &before, &now))?;
        before = now;
        if complete.is_none() && peak.clients >= f64::from(wanted) {
            complete = Some(Instant::now());
        }
        let since = complete.map_or(Duration::ZERO, |then| then.elapsed());
        if since >= asked {
            load.end();
        }
        if begun.elapsed() - since > LOGIN_LIMIT || since > asked + END_LIMIT {
            return Err(DemoError::Unexpected(format!(
                "the load should have been over; {} of {} clients were there at once",
                peak.clients, wanted
            )));
        }
    }
    peak.see(&proxy.sample().await?);
    Ok(peak)
}

/// Goes on until something breaks, and shows a line a second while there are clients. Cancel safe.
pub async fn attend(
    screen: &mut Screen,
    proxy: &mut Proxy,
    servers: &mut Servers,
) -> Result<(), DemoError> {
    let begun = Instant::now();
    let mut ticks = ticks();
    let mut before = (Instant::now(), proxy.sample().await?);
    loop {
        ticks.tick().await;
        servers.alive()?;
        let now = (Instant::now(), proxy.sample().await?);
        if now.1.clients > 0.0 || before.1.clients > 0.0 {
            screen.show(&line(begun.elapsed(), &before, &now))?;
        }
        before = now;
    }
}

fn ticks() -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

fn line(elapsed: Duration, before: &(Instant, Sample), now: &(Instant, Sample)) -> String {
    let ((then, old), (now, new)) = (before, now);
    let took = now
        .duration_since(*then)
        .as_secs_f64()
        .max(f64::MIN_POSITIVE);
    let rate = (new.requests - old.requests) / took;
    let ratio = if new.server_connections > 0.0 {
        format!("{:.0}:1", new.clients / new.server_connections)
    } else {
        "-".to_owned()
    };
    let p99 = new.quantile_since(old, 0.99);
    let p99 = p99.map_or("-".to_owned(), |p99| format!("{:.2} ms", p99 * 1e3));
    let share = new.share_of_replicas_since(old);
    let share = share.map_or("-".to_owned(), |share| format!("{:.0} %", share * 100.0));
    format!(
        "{:>4} s  {:>5} clients  {:>3} server connections  {ratio:>6}  {rate:>7.0} queries/s  {share:>5} at replicas  p99 {p99}",
        elapsed.as_secs(),
        new.clients,
        new.server_connections,
    )
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Peak, line};
    use crate::demo::scrape::Sample;

    fn peak(clients: f64, server_connections: f64, requests: f64) -> Peak {
        Peak {
            clients,
            server_connections,
            requests,
            by_replicas: vec![("demo".into(), 5.0)],
        }
    }

    #[test]
    fn only_all_clients_over_few_connections_pass() {
        peak(50.0, 10.0, 900.0).verdict(50, 10, 1).unwrap();
        for bad in [
            peak(49.0, 10.0, 900.0),
            peak(50.0, 11.0, 900.0),
            peak(50.0, 0.0, 900.0),
            peak(50.0, 10.0, 0.0),
            Peak::default(),
        ] {
            bad.verdict(50, 10, 1).unwrap_err();
        }
    }

    #[test]
    fn a_line_tells_the_last_period() {
        let then = Instant::now();
        let now = then + Duration::from_secs(2);
        let sample = Sample::read(
            "sluice_client_connections 500\n\
             sluice_database_connections 10\n\
             sluice_query_requests_total 1000\n\
             sluice_routed_requests_total{target_group=\"a\",role=\"replica\",reason=\"read\"} 3\n\
             sluice_routed_requests_total{target_group=\"a\",role=\"primary\",reason=\"write\"} 1\n",
        );
        let line = line(
            Duration::from_secs(7),
            &(then, Sample::default()),
            &(now, sample),
        );
        assert_eq!(
            line,
            "   7 s    500 clients   10 server connections    50:1      500 queries/s   75 % at replicas  p99 -"
        );
    }
}
