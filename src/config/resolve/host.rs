//! The address of a server: a host, and perhaps a port.

/// `host`, `host:port`, `[v6]`, `[v6]:port`.
pub(super) fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => match address.split_once(':') {
            Some((host, _)) => (host, address.get(host.len()..)?),
            None => (address, ""),
        },
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|port| *port > 0)?,
        None if port.is_empty() => DEFAULT_PORT,
        None => return None,
    };
    (!host.is_empty() && !host.contains(char::is_whitespace)).then_some((host, port))
}

/// PostgreSQL's registered port.
const DEFAULT_PORT: u16 = 5432;

#[cfg(test)]
mod tests {
    use super::host_and_port;

    #[test]
    fn addresses_have_a_host_and_perhaps_a_port() {
        assert_eq!(host_and_port("db"), Some(("db", 5432)));
        assert_eq!(host_and_port("db:1"), Some(("db", 1)));
        assert_eq!(host_and_port("[::1]:1"), Some(("::1", 1)));
        assert_eq!(host_and_port("[::1]"), Some(("::1", 5432)));
        for bad in [
            "", ":1", "db:", "db:x", "db:0", "db:70000", "::1", "[::1", "a b",
        ] {
            assert_eq!(host_and_port(bad), None, "{bad}");
        }
    }
}
