//! Metrics of one name, told apart by labels.
//!
//! A family hands out its members once, when a listener or a target comes into being; whoever
//! holds a member updates it without lock or look-up. Only handing out and scraping take the lock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto;

use super::counters::{ShardedCounter, ShardedGauge};
use super::histogram::{BOUNDS_NANOS, LatencyHistogram};

/// What can be a member of a [`Family`].
pub trait Member: Default + Send + Sync + 'static {
    /// The type that Prometheus is told.
    const TYPE: proto::MetricType;

    /// Writes the present value.
    fn report(&self, metric: &mut proto::Metric);
}

/// Metrics of one name. Clones are the same family.
#[derive(Debug)]
pub struct Family<M>(Arc<Inner<M>>);

#[derive(Debug)]
struct Inner<M> {
    desc: Desc,
    members: Mutex<Vec<Labelled<M>>>,
}

#[derive(Debug)]
struct Labelled<M> {
    labels: Vec<proto::LabelPair>,
    member: Arc<M>,
}

impl<M> Clone for Family<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Member> Family<M> {
    /// A family without members. Fails if `name` or a label's name is no Prometheus identifier.
    pub fn new(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self> {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let desc = Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())?;
        Ok(Self(Arc::new(Inner {
            desc,
            members: Mutex::default(),
        })))
    }

    /// The member with these label values, one for each label name in the order of
    /// [`Family::new`]; made if it does not exist. Members stay for the life of the process.
    pub fn member(&self, values: &[&str]) -> Arc<M> {
        debug_assert_eq!(values.len(), self.0.desc.variable_labels.len());
        let mut members = self.lock();
        let known = members.iter().find(|known| {
            let known = known.labels.iter().map(proto::LabelPair::value);
            known.eq(values.iter().copied())
        });
        if let Some(known) = known {
            return Arc::clone(&known.member);
        }
        let names = self.0.desc.variable_labels.iter();
        let labels = names.zip(values).map(|(name, value)| {
            let mut pair = proto::LabelPair::default();
            pair.set_name(name.clone());
            pair.set_value((*value).to_owned());
            pair
        });
        let labelled = Labelled {
            labels: labels.collect(),
            member: Arc::default(),
        };
        let member = Arc::clone(&labelled.member);
        members.push(labelled);
        member
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Labelled<M>>> {
        // A panic elsewhere cannot leave the list half changed.
        let members = self.0.members.lock();
        members.unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: Member> Collector for Family<M> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let members = self.lock();
        if members.is_empty() {
            // The text format has no families without samples.
            return Vec::new();
        }
        let metrics = members.iter().map(|labelled| {
            let mut metric = proto::Metric::from_label(labelled.labels.clone());
            labelled.member.report(&mut metric);
            metric
        });
        let mut family = proto::MetricFamily::default();
        family.set_name(self.0.desc.fq_name.clone());
        family.set_help(self.0.desc.help.clone());
        family.set_field_type(M::TYPE);
        family.set_metric(metrics.collect());
        vec![family]
    }
}

impl Member for ShardedCounter {
    const TYPE: proto::MetricType = proto::MetricType::COUNTER;

    fn report(&self, metric: &mut proto::Metric) {
        let mut counter = proto::Counter::default();
        counter.set_value(self.sum() as f64);
        metric.set_counter(counter);
    }
}

impl Member for ShardedGauge {
    const TYPE: proto::MetricType = proto::MetricType::GAUGE;

    fn report(&self, metric: &mut proto::Metric) {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(self.sum() as f64);
        metric.set_gauge(gauge);
    }
}

impl Member for LatencyHistogram {
    const TYPE: proto::MetricType = proto::MetricType::HISTOGRAM;

    fn report(&self, metric: &mut proto::Metric) {
        let recorded = self.sum();
        let mut cumulative = 0;
        let buckets = BOUNDS_NANOS.iter().zip(recorded.buckets).map(|(nanos, n)| {
            cumulative += n;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(seconds(*nanos));
            bucket.set_cumulative_count(cumulative);
            bucket
        });
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(cumulative + recorded.longer);
        histogram.set_sample_sum(seconds(recorded.sum_nanos));
        metric.set_histogram(histogram);
    }
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use prometheus::{Registry, TextEncoder};

    use super::{Family, Member};
    use crate::telemetry::counters::{ShardedCounter, ShardedGauge};
    use crate::telemetry::histogram::LatencyHistogram;

    fn text<M: Member>(family: &Family<M>) -> String {
        let registry = Registry::new();
        registry.register(Box::new(family.clone())).unwrap();
        let families = registry.gather();
        TextEncoder::new().encode_to_string(&families).unwrap()
    }

    #[test]
    fn equal_labels_are_one_member() {
        let family = Family::<ShardedCounter>::new("n_total", "Help.", &["a", "b"]).unwrap();
        let one = family.member(&["1", "2"]);
        assert!(Arc::ptr_eq(&one, &family.member(&["1", "2"])));
        assert!(!Arc::ptr_eq(&one, &family.member(&["2", "1"])));
    }

    #[test]
    fn counters_and_gauges_appear_with_their_labels() {
        let family = Family::<ShardedCounter>::new("n_total", "Help.", &["a"]).unwrap();
        family.member(&["x"]).add(3);
        assert_eq!(
            text(&family),
            "# HELP n_total Help.\n# TYPE n_total counter\nn_total{a=\"x\"} 3\n"
        );
        let family = Family::<ShardedGauge>::new("now", "Help.", &[]).unwrap();
        family.member(&[]).dec();
        assert_eq!(
            text(&family),
            "# HELP now Help.\n# TYPE now gauge\nnow -1\n"
        );
    }

    #[test]
    fn a_histogram_appears_cumulated_and_in_seconds() {
        let family = Family::<LatencyHistogram>::new("t_seconds", "Help.", &["a"]).unwrap();
        let histogram = family.member(&["x"]);
        for took in [Duration::from_micros(60), Duration::from_millis(9)] {
            histogram.record(took);
        }
        histogram.record(Duration::from_secs(100));
        let text = text(&family);
        for line in [
            "t_seconds_bucket{a=\"x\",le=\"0.00005\"} 0",
            "t_seconds_bucket{a=\"x\",le=\"0.000075\"} 1",
            "t_seconds_bucket{a=\"x\",le=\"0.0075\"} 1",
            "t_seconds_bucket{a=\"x\",le=\"0.01\"} 2",
            "t_seconds_bucket{a=\"x\",le=\"60\"} 2",
            "t_seconds_bucket{a=\"x\",le=\"+Inf\"} 3",
            "t_seconds_sum{a=\"x\"} 100.00906",
            "t_seconds_count{a=\"x\"} 3",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} not in\n{text}");
        }
    }

    #[test]
    fn a_family_without_members_is_left_out() {
        let family = Family::<ShardedCounter>::new("n_total", "Help.", &["a"]).unwrap();
        assert_eq!(text(&family), "");
    }

    #[test]
    fn a_bad_name_is_refused() {
        assert!(Family::<ShardedCounter>::new("no spaces", "Help.", &[]).is_err());
    }
}
