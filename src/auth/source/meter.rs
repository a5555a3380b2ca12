//! What operators see of sources: counters, and the state of each for `/status`.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::SourceError;

/// The metric families of all sources.
#[derive(Debug)]
pub struct SourceMetrics {
    refreshes: IntCounterVec,
    failures: IntCounterVec,
    refusals: IntCounterVec,
    refreshed_at: IntGaugeVec,
    meters: Mutex<Vec<Weak<SourceMeter>>>,
}

/// One source's handles.
#[derive(Debug)]
pub struct SourceMeter {
    kind: &'static str,
    name: Arc<str>,
    refreshes: IntCounter,
    failures: IntCounter,
    refusals: IntCounter,
    refreshed_at: IntGauge,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    error: Option<Arc<str>>,
    version: Option<Arc<str>>,
    stage: Option<&'static str>,
}

/// The state of one source at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceStatus {
    /// "secrets_manager", "file" or "iam".
    pub kind: &'static str,
    /// ARN, path, or the server that tokens are for.
    pub name: Arc<str>,
    /// Readings or tokens so far.
    pub refreshes: u64,
    /// Failed ones.
    pub failures: u64,
    /// Credentials that a server refused.
    pub refusals: u64,
    /// Seconds since the last that succeeded; `None`: there was none.
    pub age_seconds: Option<u64>,
    /// Which one a server took last.
    pub version: Option<Arc<str>>,
    /// What it was to its store then.
    pub stage: Option<&'static str>,
    /// Why the last reading failed, if it did.
    pub error: Option<Arc<str>>,
}

const LABELS: [&str; 2] = ["kind", "source"];

impl SourceMetrics {
    /// Makes the families and registers them. Fails if a name is taken in `registry`.
    pub fn register(registry: &Registry) -> prometheus::Result<Arc<Self>> {
        let counter = |name: &str, help: &str| {
            let vec = IntCounterVec::new(Opts::new(name, help), &LABELS)?;
            registry.register(Box::new(vec.clone()))?;
            prometheus::Result::Ok(vec)
        };
        let refreshed_at = IntGaugeVec::new(
            Opts::new(
                "sluice_credential_refreshed_timestamp_seconds",
                "When the credentials were last read or the last token was made, in Unix time.",
            ),
            &LABELS,
        )?;
        registry.register(Box::new(refreshed_at.clone()))?;
        Ok(Arc::new(Self {
            refreshes: counter(
                "sluice_credential_refreshes_total",
                "Credentials for servers read from where they are kept, and tokens made (kind iam).",
            )?,
            failures: counter(
                "sluice_credential_refresh_failures_total",
                "Credentials for servers that could not be read or made.",
            )?,
            refusals: counter(
                "sluice_credential_refusals_total",
                "Credentials that a server refused.",
            )?,
            refreshed_at,
            meters: Mutex::default(),
        }))
    }

    /// A source's handles.
    pub fn meter(&self, kind: &'static str, name: &str) -> Arc<SourceMeter> {
        let labels = [kind, name];
        let meter = Arc::new(SourceMeter {
            kind,
            name: name.into(),
            refreshes: self.refreshes.with_label_values(&labels),
            failures: self.failures.with_label_values(&labels),
            refusals: self.refusals.with_label_values(&labels),
            refreshed_at: self.refreshed_at.with_label_values(&labels),
            last: Mutex::default(),
        });
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        meters.retain(|meter| meter.strong_count() > 0);
        meters.push(Arc::downgrade(&meter));
        meter
    }

    /// The state of every source that is in use.
    pub fn status(&self) -> Vec<SourceStatus> {
        let meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        let live = meters.iter().filter_map(Weak::upgrade);
        live.map(|meter| meter.status()).collect()
    }
}

impl SourceMeter {
    /// "secrets_manager", "file" or "iam".
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// ARN, path, or the server that tokens are for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// It was read, or a token made.
    pub fn refreshed(&self) {
        self.refreshes.inc();
        self.refreshed_at.set(now());
        self.last().error = None;
    }

    /// That failed.
    pub fn failed(&self, error: &SourceError) {
        self.failures.inc();
        self.last().error = Some(Arc::clone(&error.0));
    }

    /// A server refused what it offered.
    pub fn refused(&self) {
        self.refusals.inc();
    }

    /// A server took what it offered.
    pub fn in_use(&self, version: &Arc<str>, stage: &'static str) {
        let mut last = self.last();
        last.version = Some(Arc::clone(version));
        last.stage = Some(stage);
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> SourceStatus {
        let at = self.refreshed_at.get();
        let last = self.last();
        SourceStatus {
            kind: self.kind,
            name: Arc::clone(&self.name),
            refreshes: self.refreshes.get(),
            failures: self.failures.get(),
            refusals: self.refusals.get(),
            age_seconds: (at > 0).then(|| u64::try_from(now() - at).unwrap_or(0)),
            version: last.version.clone(),
            stage: last.stage,
            error: last.error.clone(),
        }
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}
