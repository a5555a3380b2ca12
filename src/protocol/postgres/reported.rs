//! The settings a server reports by ParameterStatus (`GUC_REPORT`), as one party knows them.

use std::hash::BuildHasher;
use std::sync::{Arc, LazyLock};

use foldhash::fast::RandomState;

use super::message;
use crate::protocol::interner::Interner;

/// Reported names and values in the order in which the server first sent them. Immutable and
/// shared: a client and a server connection usually point at equal content.
#[derive(Debug, PartialEq, Eq)]
pub struct Reported {
    values: Vec<(Box<str>, Box<[u8]>)>,
    /// The messages that tell them.
    told: Box<[u8]>,
    hash: u64,
}

impl Reported {
    /// From the messages of a login.
    pub fn new(values: Vec<(Box<str>, Box<[u8]>)>) -> Arc<Self> {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::default);
        static KNOWN: LazyLock<Interner<Reported>> = LazyLock::new(Interner::default);
        let mut bytes = Vec::with_capacity(512);
        for (name, value) in &values {
            for part in [name.as_bytes(), value] {
                bytes.extend_from_slice(&part.len().to_ne_bytes());
                bytes.extend_from_slice(part);
            }
        }
        // One allocation for all that agree: they are compared for each request.
        KNOWN.get(&bytes, |_| Self {
            hash: HASHER.hash_one(&values),
            told: told(&values),
            values,
        })
    }

    /// The same with one value changed; the same allocation where nothing changes.
    pub fn with(self: &Arc<Self>, name: &str, value: &[u8]) -> Arc<Self> {
        let place = self.values.iter().position(|(n, _)| **n == *name);
        let mut values = match place.and_then(|i| self.values.get(i)) {
            Some((_, old)) if **old == *value => return Arc::clone(self),
            _ => self.values.clone(),
        };
        match place.and_then(|i| values.get_mut(i)) {
            Some(slot) => slot.1 = value.into(),
            None => values.push((name.into(), value.into())),
        }
        Self::new(values)
    }

    /// None.
    pub fn none() -> Arc<Self> {
        static NONE: LazyLock<Arc<Reported>> = LazyLock::new(|| Reported::new(Vec::new()));
        Arc::clone(&NONE)
    }

    /// The ParameterStatus messages that tell all of them to a client that knows none.
    pub fn told(&self) -> &[u8] {
        &self.told
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.values.iter().map(|(n, v)| (&**n, &**v))
    }

    /// The value of `name`, if the server reports it.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// True if both hold the same values.
    pub fn same(a: &Arc<Self>, b: &Arc<Self>) -> bool {
        Arc::ptr_eq(a, b) || (a.hash == b.hash && a.values == b.values)
    }

    /// What a party that knows `known` must be told to know `self`.
    pub fn news_to<'a>(&'a self, known: &'a Self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.iter()
            .filter(|(name, value)| known.value(name) != Some(*value))
    }
}

fn told(values: &[(Box<str>, Box<[u8]>)]) -> Box<[u8]> {
    let mut messages = Vec::new();
    for (name, value) in values {
        message::parameter_status(&mut messages, name, value);
    }
    messages.into()
}

#[cfg(test)]
mod tests {
    use super::Reported;

    #[test]
    fn news_are_the_changed_values() {
        let a = Reported::new(vec![
            ("TimeZone".into(), b"UTC"[..].into()),
            ("DateStyle".into(), b"ISO"[..].into()),
        ]);
        let b = a.with("TimeZone", b"Asia/Tokyo");
        let news: Vec<_> = b.news_to(&a).collect();
        assert_eq!(news, [("TimeZone", &b"Asia/Tokyo"[..])]);
        assert!(Reported::same(&b.with("TimeZone", b"UTC"), &a));
    }
}
