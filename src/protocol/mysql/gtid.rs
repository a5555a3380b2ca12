//! Sets of global transaction identifiers: MySQL's intervals by source (MySQL manual, "GTID
//! Format and Storage"; tags since 8.3), and MariaDB's one number for each domain (MariaDB
//! knowledge base, "Global Transaction ID").

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Which transactions a server has carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gtids {
    /// By source and tag, or domain: intervals, ends included, ascending and apart.
    of: BTreeMap<Box<str>, Vec<(u64, u64)>>,
}

impl Gtids {
    /// Reads `gtid_executed` of MySQL or `gtid_current_pos` of MariaDB; `None` if it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let mut gtids = Self::default();
        for element in text.split(',') {
            let element = element.trim();
            if element.is_empty() {
                continue;
            }
            match element.split_once(':') {
                Some((source, rest)) => gtids.add_source(source, rest)?,
                None => gtids.add_domain(element)?,
            }
        }
        for intervals in gtids.of.values_mut() {
            join(intervals);
        }
        Some(gtids)
    }

    /// `uuid:1-5:7:tag:1-3`.
    fn add_source(&mut self, source: &str, rest: &str) -> Option<()> {
        let mut name: Box<str> = source.to_ascii_lowercase().into();
        for part in rest.split(':') {
            let part = part.trim();
            if !part.starts_with(|first: char| first.is_ascii_digit()) {
                name = format!("{}:{part}", source.to_ascii_lowercase()).into();
                continue;
            }
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to) = (from.parse().ok()?, to.parse().ok()?);
            if from > to {
                return None;
            }
            self.of.entry(name.clone()).or_default().push((from, to));
        }
        Some(())
    }

    /// `domain-server-number`: all of the domain up to the number.
    fn add_domain(&mut self, element: &str) -> Option<()> {
        let mut parts = element.split('-');
        let (domain, server, number) = (parts.next()?, parts.next()?, parts.next()?);
        let _: (u32, u32) = (domain.parse().ok()?, server.parse().ok()?);
        let number: u64 = number.parse().ok()?;
        if parts.next().is_some() {
            return None;
        }
        let intervals = self.of.entry(domain.into()).or_default();
        intervals.push((1, number.max(1)));
        Some(())
    }

    /// How many transactions there are.
    pub fn count(&self) -> u64 {
        let all = self.of.values().flatten();
        all.fold(0, |sum: u64, (from, to)| {
            sum.saturating_add((to - from).saturating_add(1))
        })
    }

    /// True if all of `other` is in it.
    pub fn contains(&self, other: &Self) -> bool {
        other.of.iter().all(|(source, wanted)| {
            let have = self.of.get(source).map_or(&[][..], Vec::as_slice);
            wanted
                .iter()
                .all(|(from, to)| have.iter().any(|(first, last)| first <= from && to <= last))
        })
    }
}

/// Which of two is the larger; `None` if each has what the other lacks, or one is none at all.
pub fn compare(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (Gtids::parse(a)?, Gtids::parse(b)?);
    match (a.contains(&b), b.contains(&a)) {
        (true, true) => Some(Ordering::Equal),
        (true, false) => Some(Ordering::Greater),
        (false, true) => Some(Ordering::Less),
        (false, false) => None,
    }
}

/// Sorts intervals and joins those that touch.
fn join(intervals: &mut Vec<(u64, u64)>) {
    intervals.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::with_capacity(intervals.len());
    for (from, to) in intervals.drain(..) {
        match joined.last_mut() {
            Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    *intervals = joined;
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::{Gtids, compare};

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn sets_are_read_and_counted() {
        let count = |text: &str| Gtids::parse(text).map(|gtids| gtids.count());
        assert_eq!(count(""), Some(0));
        assert_eq!(count(&format!("{A}:1-5:7,\n{B}:1")), Some(7));
        assert_eq!(count(&format!("{A}:1-5:3-9")), Some(9));
        assert_eq!(count(&format!("{A}:1-5:blue:1-2")), Some(7));
        assert_eq!(count("0-1-100,1-2-7"), Some(107));
        for bad in [
            "x",
            "0-1",
            "0-1-2-3",
            &format!("{A}:5-1"),
            &format!("{A}:1-x"),
        ] {
            assert_eq!(count(bad), None, "{bad}");
        }
    }

    #[test]
    fn one_set_contains_another_or_not() {
        let order = |a: String, b: String| compare(&a, &b);
        let a = |to| format!("{A}:1-{to}");
        assert_eq!(order(a(5), a(4)), Some(Ordering::Greater));
        assert_eq!(order(a(4), a(5)), Some(Ordering::Less));
        assert_eq!(order(a(4), a(4).to_uppercase()), Some(Ordering::Equal));
        assert_eq!(order(format!("{A}:1-4,{B}:1"), a(5)), None);
        assert_eq!(
            order(format!("{A}:1-5,{B}:1"), a(5)),
            Some(Ordering::Greater)
        );
        assert_eq!(order("0-1-9".into(), "0-2-10".into()), Some(Ordering::Less));
        assert_eq!(order("0-1-9,1-1-1".into(), "0-2-10".into()), None);
        assert_eq!(order(String::new(), a(1)), Some(Ordering::Less));
        assert_eq!(order("nonsense".into(), a(1)), None);
    }
}
