//! What Sluice tells its operators: log lines and metrics. How they are made, not what they say;
//! metrics are declared beside the code that they measure.

pub mod counters;
pub mod family;
pub mod histogram;
pub mod log;
pub mod options;
pub mod registry;

pub use counters::{GaugeGuard, ShardedCounter, ShardedGauge};
pub use family::Family;
pub use histogram::LatencyHistogram;
pub use log::LogHandle;
pub use options::{LogFormat, LogOptions};
pub use registry::MetricRegistry;
