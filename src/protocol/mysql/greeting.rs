//! The greeting (MySQL protocol, `Protocol::HandshakeV10`; MariaDB protocol, "Initial Handshake
//! Packet"), as Sluice reads it from servers and says it to clients.

use std::sync::Arc;

use super::capability::Capabilities;
use super::frame::put_packet;
use super::login::{Announcement, Flavor, SCRAMBLE_LEN};
use super::plugin;
use super::status::Status;
use super::wire::Reader;
use crate::protocol::bytes::{Sink, put_cstr};

/// The version of the protocol, in the first byte.
pub const PROTOCOL_VERSION: u8 = 10;
/// Bytes of the challenge that stand before the rest of the greeting.
const FIRST_PART: usize = 8;
/// What MariaDB 10 puts before its version, for replicas of MySQL 5.5.
const REPLICATION_PREFIX: &str = "5.5.5-";

/// A greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// What is the same for everybody.
    pub announcement: Announcement,
    /// The number of this connection.
    pub pid: u32,
    /// The challenge.
    pub scramble: [u8; SCRAMBLE_LEN],
    /// The plugin that the challenge is for.
    pub plugin: Box<str>,
}

impl Greeting {
    /// Reads a payload. `None` if it is malformed, or of another protocol.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        if reader.u8()? != PROTOCOL_VERSION {
            return None;
        }
        let version = std::str::from_utf8(reader.cstr()?).ok()?;
        let pid = reader.u32()?;
        let first = reader.array::<FIRST_PART>()?;
        let _filler = reader.u8()?;
        let low = reader.u16()?;
        let collation = reader.u8()?;
        let _status = reader.u16()?;
        let high = reader.u16()?;
        let scramble_len = reader.u8()?;
        let _reserved = reader.array::<6>()?;
        let extended = reader.u32()?;
        let mut capabilities = u64::from(low) | u64::from(high) << 16;
        // Only a server that does not claim to be MySQL has put anything there.
        if !Capabilities(capabilities).has(Capabilities::LONG_PASSWORD) {
            capabilities |= u64::from(extended) << 32;
        }
        let capabilities = Capabilities(capabilities);
        let rest = usize::from(scramble_len).saturating_sub(FIRST_PART).max(13);
        let mut second = Reader::new(reader.take(rest)?);
        let second = second.array::<{ SCRAMBLE_LEN - FIRST_PART }>()?;
        let mut scramble = [0; SCRAMBLE_LEN];
        let parts = first.iter().chain(&second);
        scramble
            .iter_mut()
            .zip(parts)
            .for_each(|(to, from)| *to = *from);
        let plugin = if capabilities.has(Capabilities::PLUGIN_AUTH) {
            // Some old servers forget the zero byte at the end.
            let name = reader.cstr().unwrap_or_else(|| reader.rest());
            std::str::from_utf8(name).ok()?
        } else {
            plugin::NATIVE
        };
        Some(Self {
            announcement: Announcement {
                flavor: flavor(version, capabilities),
                version: version.into(),
                capabilities,
                collation,
            },
            pid,
            scramble,
            plugin: plugin.into(),
        })
    }

    /// Writes the packet; returns the next sequence number.
    pub fn write<B: Sink>(&self, out: &mut B) -> u8 {
        let Announcement {
            version,
            capabilities,
            collation,
            ..
        } = &self.announcement;
        let [a, b, c, d] = capabilities.low().to_le_bytes();
        let (first, second) = self.scramble.split_at(FIRST_PART);
        put_packet(out, 0, |out| {
            out.put_u8(PROTOCOL_VERSION);
            put_cstr(out, version.as_bytes());
            out.put_u32_le(self.pid);
            out.put_slice(first);
            out.put_u8(0);
            out.put_slice(&[a, b]);
            out.put_u8(*collation);
            out.put_u16_le(Status::AUTOCOMMIT.0);
            out.put_slice(&[c, d]);
            // The challenge with the zero byte behind it.
            out.put_u8(21);
            out.put_slice(&[0; 6]);
            out.put_u32_le(capabilities.high());
            put_cstr(out, second);
            put_cstr(out, self.plugin.as_bytes());
        })
    }
}

/// Whose server it is. MariaDB leaves MySQL's first capability out, and its version may have been
/// changed by whoever runs it.
fn flavor(version: &str, capabilities: Capabilities) -> Flavor {
    let maria = !capabilities.has(Capabilities::LONG_PASSWORD)
        || version.starts_with(REPLICATION_PREFIX)
        || version.contains("MariaDB");
    if maria {
        Flavor::MariaDb
    } else {
        Flavor::MySql
    }
}

/// A challenge of random bytes: none of them zero, which ends strings, nor `$`, as MySQL makes
/// them (MySQL source, `generate_user_salt`).
pub fn scramble(entropy: [u8; SCRAMBLE_LEN]) -> [u8; SCRAMBLE_LEN] {
    entropy.map(|byte| match byte & 0x7F {
        bad @ (0 | b'$') => bad + 1,
        good => good,
    })
}

/// What Sluice announces when it has not heard its server yet.
pub fn unheard() -> Announcement {
    Announcement {
        version: Arc::from("8.4.0-sluice"),
        flavor: Flavor::MySql,
        capabilities: Capabilities::USUAL,
        // utf8mb4_0900_ai_ci, the default since MySQL 8.0.
        collation: 255,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::super::capability::Capabilities;
    use super::super::frame::HEADER_LEN;
    use super::super::login::{Announcement, Flavor};
    use super::{Greeting, scramble, unheard};

    fn greeting(announcement: Announcement) -> Greeting {
        Greeting {
            announcement,
            pid: 77,
            scramble: *b"01234567890123456789",
            plugin: "caching_sha2_password".into(),
        }
    }

    fn reread(greeting: &Greeting) -> Option<Greeting> {
        let mut out = Vec::new();
        assert_eq!(greeting.write(&mut out), 1);
        Greeting::read(&out[HEADER_LEN..])
    }

    #[test]
    fn what_is_written_is_read() {
        let announcement = Announcement {
            capabilities: Capabilities::USUAL
                | Capabilities::OWN
                | Capabilities::LONG_PASSWORD
                | Capabilities::SSL,
            ..unheard()
        };
        let mysql = greeting(announcement.clone());
        assert_eq!(reread(&mysql), Some(mysql));
        let maria = greeting(Announcement {
            version: "11.8.2-MariaDB".into(),
            flavor: Flavor::MariaDb,
            capabilities: announcement
                .capabilities
                .without(Capabilities::LONG_PASSWORD)
                | Capabilities::MARIADB_STMT_BULK,
            ..announcement
        });
        assert_eq!(reread(&maria), Some(maria));
    }

    #[test]
    fn mariadb_is_known_by_its_version_too() {
        for version in ["5.5.5-10.11.9-log", "10.6.1-MariaDB-enterprise"] {
            let announcement = Announcement {
                version: version.into(),
                capabilities: Capabilities::LONG_PASSWORD | Capabilities::PLUGIN_AUTH,
                ..unheard()
            };
            let read = reread(&greeting(announcement)).unwrap();
            assert_eq!(read.announcement.flavor, Flavor::MariaDb, "{version}");
        }
    }

    proptest! {
        #[test]
        fn a_challenge_has_no_bytes_that_end_it(entropy in any::<[u8; 20]>()) {
            let made = scramble(entropy);
            assert!(made.iter().all(|byte| (1..0x80).contains(byte) && *byte != b'$'));
        }

        #[test]
        fn any_payload_is_survived(mut bytes: Vec<u8>, tenth: bool) {
            if let (Some(first), true) = (bytes.first_mut(), tenth) {
                *first = 10;
            }
            let _ = Greeting::read(&bytes);
        }
    }
}
