//! Reading Sluice's own metrics back, over HTTP and from the text format.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The body of an answer with status 200; anything else is an error. Cancel safe.
pub async fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let answer = tokio::time::timeout(PATIENCE, exchange(address, path));
    let answer = answer.await.map_err(|_| io::ErrorKind::TimedOut)??;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(io::Error::other(format!("{path}: {head}"))),
    }
}

const PATIENCE: Duration = Duration::from_secs(5);

async fn exchange(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// What the demo looks at, summed over all labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Clients connected.
    pub clients: f64,
    /// Server connections open.
    pub server_connections: f64,
    /// Requests so far.
    pub requests: f64,
    /// Of those that went to primaries or replicas by what they ask for: all, and those that replicas got, by target
    /// group.
    routed: BTreeMap<String, (f64, f64)>,
    /// Requests answered so far, by upper bound of their latency in seconds, cumulated.
    latencies: Vec<(f64, f64)>,
}

impl Sample {
    /// Reads the text format.
    pub fn read(text: &str) -> Self {
        let mut sample = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let Ok(value) = value.parse::<f64>() else {
                continue;
            };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            match name {
                "sluice_client_connections" => sample.clients += value,
                "sluice_database_connections" => sample.server_connections += value,
                "sluice_query_requests_total" => sample.requests += value,
                "sluice_routed_requests_total" => sample.route(labels, value),
                "sluice_query_response_latency_seconds_bucket" => sample.bucket(labels, value),
                _ => {}
            }
        }
        sample
    }

    fn route(&mut self, labels: &str, value: f64) {
        let label = |name: &str| {
            let (_, rest) = labels.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value)
        };
        let group = label("target_group").unwrap_or_default();
        let (all, to_replicas) = self.routed.entry(group.to_owned()).or_default();
        *all += value;
        if label("role") == Some("replica") {
            *to_replicas += value;
        }
    }

    /// What replicas answered, by target group.
    pub fn answered_by_replicas(&self) -> impl Iterator<Item = (&str, f64)> {
        let groups = self.routed.iter();
        groups.map(|(group, (_, to_replicas))| (&**group, *to_replicas))
    }

    /// The share of the requests since `before` that replicas got; `None` if there were none.
    pub fn share_of_replicas_since(&self, before: &Self) -> Option<f64> {
        let sums = |sample: &Self| {
            let routed = sample.routed.values();
            routed.fold((0.0, 0.0), |(all, some), one| (all + one.0, some + one.1))
        };
        let ((all, some), (all_before, some_before)) = (sums(self), sums(before));
        let all = all - all_before;
        (all > 0.0).then(|| (some - some_before) / all)
    }

    fn bucket(&mut self, labels: &str, value: f64) {
        let bound = labels.split_once("le=\"").and_then(|(_, rest)| {
            let (bound, _) = rest.split_once('"')?;
            bound.parse().ok() // `+Inf` is understood
        });
        let Some(bound) = bound else { return };
        match self.latencies.iter_mut().find(|(known, _)| *known == bound) {
            Some((_, count)) => *count += value,
            None => self.latencies.push((bound, value)),
        }
    }

    /// The latency in seconds that a share `q` of the requests answered since `before` did not
    /// exceed, interpolated within its bucket; `None` if none was answered.
    pub fn quantile_since(&self, before: &Self, q: f64) -> Option<f64> {
        let since = |(bound, count): &(f64, f64)| {
            let known = before.latencies.iter().find(|(known, _)| known == bound);
            (*bound, count - known.map_or(0.0, |(_, count)| *count))
        };
        let counts: Vec<_> = self.latencies.iter().map(since).collect();
        let rank = counts.last().map(|(_, all)| all * q)?;
        if rank <= 0.0 {
            return None;
        }
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in counts {
            if count >= rank {
                if bound.is_infinite() {
                    return Some(low);
                }
                return Some(low + (bound - low) * (rank - below) / (count - below));
            }
            (low, below) = (bound, count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Sample;

    const TEXT: &str = "\
# HELP sluice_client_connections Clients connected now.
# TYPE sluice_client_connections gauge
sluice_client_connections{listener=\"a\",tls=\"false\"} 2
sluice_client_connections{listener=\"a\",tls=\"true\"} 3
sluice_client_connections_closed_total{listener=\"a\"} 70
sluice_database_connections 4
sluice_query_requests_total{listener=\"a\",tls=\"true\"} 1e3
sluice_query_response_latency_seconds_bucket{listener=\"a\",le=\"0.001\"} 10
sluice_query_response_latency_seconds_bucket{listener=\"a\",le=\"0.002\"} 20
sluice_query_response_latency_seconds_bucket{listener=\"a\",le=\"+Inf\"} 20
sluice_query_response_latency_seconds_bucket{listener=\"b\",le=\"0.001\"} 0
sluice_query_response_latency_seconds_bucket{listener=\"b\",le=\"0.002\"} 0
sluice_query_response_latency_seconds_bucket{listener=\"b\",le=\"+Inf\"} 1
";

    #[test]
    fn labels_are_summed_and_other_names_left_out() {
        let sample = Sample::read(TEXT);
        let seen = (sample.clients, sample.server_connections, sample.requests);
        assert_eq!(seen, (5.0, 4.0, 1000.0));
    }

    #[test]
    fn quantiles_are_of_what_came_since() {
        let (none, sample) = (Sample::default(), Sample::read(TEXT));
        let micros = |q| {
            let seconds = sample.quantile_since(&none, q);
            seconds.map(|seconds| (seconds * 1e6).round())
        };
        assert_eq!(micros(0.25), Some(525.0));
        assert_eq!(micros(15.0 / 21.0), Some(1500.0));
        assert_eq!(micros(1.0), Some(2000.0), "beyond the last bound: that");
        assert_eq!(sample.quantile_since(&sample, 0.5), None);
        assert_eq!(none.quantile_since(&none, 0.5), None);
    }
}
