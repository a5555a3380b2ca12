//! Ports of loopback that nobody listens on.

use std::net::{Ipv4Addr, TcpListener};

use super::error::DemoError;

/// PgBouncer's port, which poolers are expected on.
const USUAL: u16 = 6432;

/// The wanted port, or an error if it is taken; without a wish, the usual one or a free one.
pub fn choose(wanted: Option<u16>) -> Result<u16, DemoError> {
    match wanted {
        Some(port) => bind(port),
        None => bind(USUAL).or_else(|_| free()),
    }
}

/// Any free port. Somebody else may take it before it is used; then the demo fails and says so.
pub fn free() -> Result<u16, DemoError> {
    bind(0)
}

fn bind(port: u16) -> Result<u16, DemoError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(DemoError::io("cannot listen on the port"))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::{choose, free};

    #[test]
    fn a_wanted_port_that_is_taken_is_an_error() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(choose(Some(port)).is_err());
        assert_ne!(free().unwrap(), 0);
    }
}
