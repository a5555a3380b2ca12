//! How many clients there may be: in all, per listener, per source address. Counts are exact, and
//! the numbers may change while clients are connected.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;

/// Greatest numbers of clients; zero means no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Over all listeners.
    pub total: u32,
    /// From one IP address, over all listeners.
    pub per_address: u32,
    /// By name of the listener; no entry, no limit.
    pub per_listener: HashMap<Arc<str>, u32>,
}

/// Why a client is not admitted: which limit is reached, and its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitReached {
    /// Over all listeners.
    #[error("the limit of {0} clients is reached")]
    Total(u32),
    /// Of this listener.
    #[error("the listener's limit of {0} clients is reached")]
    Listener(u32),
    /// From the client's address.
    #[error("the limit of {0} clients from one address is reached")]
    Address(u32),
}

/// Counts clients against [`Quotas`].
#[derive(Debug, Default)]
pub struct Limits(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    quotas: Quotas,
    total: u32,
    listeners: HashMap<Arc<str>, u32>,
    addresses: HashMap<IpAddr, u32>,
}

impl Limits {
    /// Starts with no clients.
    pub fn new(quotas: Quotas) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Counts {
            quotas,
            ..Counts::default()
        })))
    }

    /// Puts other numbers in place. Clients beyond them stay; new ones wait until there is room.
    pub fn set_quotas(&self, quotas: Quotas) {
        self.counts().quotas = quotas;
    }

    /// Counts a client in, until the returned guard is dropped.
    ///
    /// # Errors
    /// The limit that is reached; nothing is counted then.
    pub fn admit(
        self: &Arc<Self>,
        listener: &Arc<str>,
        address: IpAddr,
    ) -> Result<Admission, LimitReached> {
        let mut counts = self.counts();
        counts.check(listener, address)?;
        counts.total += 1;
        *counts.listeners.entry(Arc::clone(listener)).or_default() += 1;
        *counts.addresses.entry(address).or_default() += 1;
        drop(counts);
        Ok(Admission {
            limits: Arc::clone(self),
            listener: Arc::clone(listener),
            address,
        })
    }

    /// Clients now, over all listeners.
    pub fn total(&self) -> u32 {
        self.counts().total
    }

    /// Clients of one listener now.
    pub fn of_listener(&self, listener: &str) -> u32 {
        let counts = self.counts();
        counts.listeners.get(listener).copied().unwrap_or_default()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn check(&self, listener: &Arc<str>, address: IpAddr) -> Result<(), LimitReached> {
        let reached = |count: u32, quota: u32| quota != 0 && count >= quota;
        let quotas = &self.quotas;
        if reached(self.total, quotas.total) {
            return Err(LimitReached::Total(quotas.total));
        }
        let quota = quotas.per_listener.get(listener).copied().unwrap_or(0);
        if reached(self.listeners.get(listener).copied().unwrap_or(0), quota) {
            return Err(LimitReached::Listener(quota));
        }
        let count = self.addresses.get(&address).copied().unwrap_or(0);
        if reached(count, quotas.per_address) {
            return Err(LimitReached::Address(quotas.per_address));
        }
        Ok(())
    }
}

/// A client's place; dropping it frees the place.
#[derive(Debug)]
pub struct Admission {
    limits: Arc<Limits>,
    listener: Arc<str>,
    address: IpAddr,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut counts = self.limits.counts();
        counts.total = counts.total.saturating_sub(1);
        if let Some(count) = counts.listeners.get_mut(&self.listener) {
            *count = count.saturating_sub(1);
        }
        // Addresses are many and chosen by others: none is remembered that has no client.
        if let Some(count) = counts.addresses.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.addresses.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use super::{LimitReached, Limits, Quotas};

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const TWO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn quotas(total: u32, app: u32, per_address: u32) -> Quotas {
        Quotas {
            total,
            per_address,
            per_listener: [(Arc::from("app"), app)].into_iter().collect(),
        }
    }

    #[test]
    fn each_limit_is_named_when_it_is_reached() {
        let (app, other): (Arc<str>, Arc<str>) = ("app".into(), "other".into());
        let limits = Limits::new(quotas(3, 2, 2));
        let _first = limits.admit(&app, ONE).unwrap();
        let _second = limits.admit(&app, ONE).unwrap();
        let refusal = |listener, address| limits.admit(listener, address).unwrap_err();
        assert_eq!(refusal(&app, TWO), LimitReached::Listener(2));
        assert_eq!(refusal(&other, ONE), LimitReached::Address(2));
        let _third = limits.admit(&other, TWO).unwrap();
        assert_eq!(refusal(&other, TWO), LimitReached::Total(3));
        assert_eq!((limits.total(), limits.of_listener("app")), (3, 2));
    }

    #[test]
    fn a_dropped_admission_frees_its_place_and_forgets_the_address() {
        let app: Arc<str> = "app".into();
        let limits = Limits::new(quotas(1, 1, 1));
        let admission = limits.admit(&app, ONE).unwrap();
        assert!(limits.admit(&app, ONE).is_err());
        drop(admission);
        assert_eq!((limits.total(), limits.of_listener("app")), (0, 0));
        assert!(limits.counts().addresses.is_empty());
        limits.admit(&app, ONE).unwrap();
    }

    #[test]
    fn lowered_limits_keep_who_is_in_and_zero_lifts_them() {
        let app: Arc<str> = "app".into();
        let limits = Limits::new(Quotas::default());
        let held: Vec<_> = (0..5).map(|_| limits.admit(&app, ONE).unwrap()).collect();
        limits.set_quotas(quotas(2, 0, 0));
        assert_eq!(limits.admit(&app, TWO).unwrap_err(), LimitReached::Total(2));
        assert_eq!(limits.total(), 5);
        drop(held);
        limits.admit(&app, TWO).unwrap();
        limits.set_quotas(Quotas::default());
        assert_eq!(limits.total(), 0);
    }
}
