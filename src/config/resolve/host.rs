//! The address of a server: a host, and perhaps a port.

use crate::model::EngineFamily;

/// `host`, `host:port`, `[v6]`, `[v6]:port`. Without a port, that of the engine.
pub(super) fn host_and_port(address: &str, engine: EngineFamily) -> Option<(&str, u16)> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => match address.split_once(':') {
            Some((host, _)) => (host, address.get(host.len()..)?),
            None => (address, ""),
        },
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|port| *port > 0)?,
        None if port.is_empty() => usual_port(engine),
        None => return None,
    };
    (!host.is_empty() && !host.contains(char::is_whitespace)).then_some((host, port))
}

/// Registered with IANA.
pub(super) const fn usual_port(engine: EngineFamily) -> u16 {
    match engine {
        EngineFamily::Postgres => 5432,
        EngineFamily::Mysql => 3306,
    }
}

#[cfg(test)]
mod tests {
    use super::host_and_port;
    use crate::model::EngineFamily;

    #[test]
    fn addresses_have_a_host_and_perhaps_a_port() {
        for (engine, port) in [(EngineFamily::Postgres, 5432), (EngineFamily::Mysql, 3306)] {
            let read = |address| host_and_port(address, engine);
            assert_eq!(read("db"), Some(("db", port)));
            assert_eq!(read("db:1"), Some(("db", 1)));
            assert_eq!(read("[::1]:1"), Some(("::1", 1)));
            assert_eq!(read("[::1]"), Some(("::1", port)));
            for bad in [
                "", ":1", "db:", "db:x", "db:0", "db:70000", "::1", "[::1", "a b",
            ] {
                assert_eq!(read(bad), None, "{bad}");
            }
        }
    }
}
