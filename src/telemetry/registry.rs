//! The one registry that all metrics of the process live in.
//!
//! Names follow RDS Proxy's CloudWatch metrics, in Prometheus's manner and with the prefix
//! `sluice_`; those about the process itself keep the names that Prometheus gives them.

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{IntGauge, Opts, Registry, TextEncoder};

use super::family::{Family, Member};

/// The content type of [`MetricRegistry::text`].
pub const TEXT_CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// A registry with the metrics about the process and the build in it. Clones are the same
/// registry.
#[derive(Clone, Debug)]
pub struct MetricRegistry(Registry);

impl MetricRegistry {
    /// A registry with `process_*` and `sluice_build_info` in it.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let opts = Opts::new(
            "sluice_build_info",
            "Always 1; the labels say which build runs.",
        )
        .const_label("version", env!("CARGO_PKG_VERSION"))
        .const_label("architecture", std::env::consts::ARCH);
        let build = IntGauge::with_opts(opts)?;
        build.set(1);
        registry.register(Box::new(build))?;
        Ok(Self(registry))
    }

    /// Makes a family and puts it in. Fails if the name is taken or no Prometheus identifier.
    pub fn family<M: Member>(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<Family<M>> {
        let family = Family::new(name, help, labels)?;
        self.0.register(Box::new(family.clone()))?;
        Ok(family)
    }

    /// Puts in any other collector. Fails if one of its names is taken.
    pub fn register(&self, collector: impl Collector + 'static) -> prometheus::Result<()> {
        self.0.register(Box::new(collector))
    }

    /// The registry itself, for code that speaks Prometheus's own interface.
    pub fn prometheus(&self) -> &Registry {
        &self.0
    }

    /// All metrics in the text format.
    pub fn text(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.0.gather())
    }
}

#[cfg(test)]
mod tests {
    use super::MetricRegistry;
    use crate::telemetry::counters::ShardedCounter;

    #[test]
    fn process_and_build_are_there_from_the_start() {
        let text = MetricRegistry::new().unwrap().text().unwrap();
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
        let version = env!("CARGO_PKG_VERSION");
        let build = text.lines().find(|l| l.starts_with("sluice_build_info{"));
        let build = build.unwrap();
        assert!(build.contains(&format!("version=\"{version}\"")) && build.ends_with(" 1"));
    }

    #[test]
    fn a_name_can_be_taken_once() {
        let registry = MetricRegistry::new().unwrap();
        let family = |help| registry.family::<ShardedCounter>("sluice_x_total", help, &[]);
        family("First.").unwrap().member(&[]).inc();
        assert!(family("Second.").is_err());
        assert!(registry.text().unwrap().contains("\nsluice_x_total 1\n"));
    }
}
