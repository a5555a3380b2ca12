//! What a client of MySQL or MariaDB logs in with, and how it proves its password.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use tokio_rustls::rustls::ClientConfig;

use crate::support::{
    certs::Certs,
    mysql::{
        message::{Failure, Greeting, capability},
        wire,
    },
};

/// What a client logs in with.
#[derive(Clone, Debug)]
pub struct Login {
    pub port: u16,
    /// Empty: none.
    pub database: String,
    pub user: String,
    pub password: String,
    /// What it asks for; those that the greeting lacks are left out.
    pub capabilities: u32,
    pub mariadb_capabilities: u32,
    pub collation: u8,
    /// The plugin to begin with; the greeting's if None.
    pub plugin: Option<String>,
    pub attributes: Vec<(String, String)>,
    pub tls: Option<Arc<ClientConfig>>,
    /// Where the client connects from.
    pub source: IpAddr,
}

impl Login {
    /// Without TLS, with what drivers usually ask for, `utf8mb4`, from 127.0.0.1.
    pub fn new(port: u16, database: &str, (user, password): (&str, &str)) -> Self {
        Self {
            port,
            database: database.into(),
            user: user.into(),
            password: password.into(),
            capabilities: capability::USUAL,
            mariadb_capabilities: 0,
            // utf8mb4_general_ci
            collation: 45,
            plugin: None,
            attributes: vec![("program_name".into(), "sluice tests".into())],
            tls: None,
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }

    /// With TLS that trusts the tests' authority.
    pub fn with_tls(self) -> Self {
        let config = Certs::shared().client_config(None);
        self.tls(config)
    }

    /// With TLS.
    pub fn tls(mut self, config: Arc<ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Without TLS.
    pub fn plain(mut self) -> Self {
        self.tls = None;
        self
    }

    /// Asks for one more capability.
    pub fn with(mut self, capability: u32) -> Self {
        self.capabilities |= capability;
        self
    }

    /// Does not ask for a capability.
    pub fn without(mut self, capability: u32) -> Self {
        self.capabilities &= !capability;
        self
    }

    /// Begins with this plugin.
    pub fn plugin(mut self, name: &str) -> Self {
        self.plugin = Some(name.into());
        self
    }

    /// What it agrees on with a server.
    pub fn agreed(&self, greeting: &Greeting) -> u32 {
        let mut wanted = self.capabilities;
        if self.tls.is_some() {
            wanted |= capability::SSL;
        }
        if !self.database.is_empty() {
            wanted |= capability::CONNECT_WITH_DB;
        }
        // The lowest flag is MariaDB's way to say that it is not MySQL; clients set it regardless.
        wanted & (greeting.capabilities | capability::LONG_PASSWORD)
    }

    /// The part that stands in both `SSLRequest` and `HandshakeResponse41`.
    pub fn head(&self, capabilities: u32) -> Vec<u8> {
        let mut body = capabilities.to_le_bytes().to_vec();
        body.extend((1_u32 << 30).to_le_bytes());
        body.push(self.collation);
        body.extend([0; 19]);
        body.extend(self.mariadb_capabilities.to_le_bytes());
        body
    }

    /// `HandshakeResponse41`, with the answer of `plugin` to the greeting's challenge.
    pub fn response(&self, capabilities: u32, plugin: &str, answer: &[u8]) -> Vec<u8> {
        let mut body = self.head(capabilities);
        body.extend(self.user.as_bytes());
        body.push(0);
        if capabilities & capability::PLUGIN_AUTH_LENENC != 0 {
            wire::put_string(&mut body, answer);
        } else {
            body.push(u8::try_from(answer.len()).unwrap());
            body.extend(answer);
        }
        if capabilities & capability::CONNECT_WITH_DB != 0 {
            body.extend(self.database.as_bytes());
            body.push(0);
        }
        self.put_tail(&mut body, capabilities, plugin);
        body
    }

    /// `COM_CHANGE_USER`.
    pub fn change_user(&self, capabilities: u32, plugin: &str, answer: &[u8]) -> Vec<u8> {
        let mut body = vec![0x11];
        body.extend(self.user.as_bytes());
        body.push(0);
        body.push(u8::try_from(answer.len()).unwrap());
        body.extend(answer);
        body.extend(self.database.as_bytes());
        body.push(0);
        body.extend([self.collation, 0]);
        self.put_tail(&mut body, capabilities, plugin);
        body
    }

    fn put_tail(&self, body: &mut Vec<u8>, capabilities: u32, plugin: &str) {
        if capabilities & capability::PLUGIN_AUTH != 0 {
            body.extend(plugin.as_bytes());
            body.push(0);
        }
        if capabilities & capability::CONNECT_ATTRS != 0 {
            let mut attributes = Vec::new();
            for (name, value) in &self.attributes {
                wire::put_string(&mut attributes, name.as_bytes());
                wire::put_string(&mut attributes, value.as_bytes());
            }
            wire::put_string(body, &attributes);
        }
    }

    /// The first answer that `plugin` gives to a challenge.
    pub fn answer(&self, plugin: &str, scramble: &[u8]) -> Vec<u8> {
        let password = self.password.as_bytes();
        match plugin {
            _ if password.is_empty() => Vec::new(),
            "mysql_native_password" => {
                let hash = |parts: &[&[u8]]| hash(&SHA1_FOR_LEGACY_USE_ONLY, parts);
                let once = hash(&[password]);
                let mask = hash(&[scramble, &hash(&[&once])]);
                xor(&once, &mask)
            }
            "caching_sha2_password" => {
                let hash = |parts: &[&[u8]]| hash(&SHA256, parts);
                let once = hash(&[password]);
                let mask = hash(&[&hash(&[&once]), scramble]);
                xor(&once, &mask)
            }
            "sha256_password" | "mysql_clear_password" => self.clear(),
            other => panic!("this client does not know the plugin {other}"),
        }
    }

    /// The password itself, which only TLS makes safe to say.
    pub fn clear(&self) -> Vec<u8> {
        assert!(self.tls.is_some(), "a password in clear without TLS");
        [self.password.as_bytes(), &[0]].concat()
    }
}

fn hash(algorithm: &'static digest::Algorithm, parts: &[&[u8]]) -> Vec<u8> {
    let mut context = digest::Context::new(algorithm);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().to_vec()
}

fn xor(left: &[u8], right: &[u8]) -> Vec<u8> {
    left.iter().zip(right).map(|(a, b)| a ^ b).collect()
}

/// Why a login did not succeed.
#[derive(Debug)]
pub enum Refused {
    /// The server said so.
    Error(Failure),
    /// The connection failed.
    Io(std::io::Error),
}

impl Refused {
    /// The error number of the refusal.
    pub fn code(&self) -> u16 {
        match self {
            Self::Error(failure) => failure.code,
            Self::Io(error) => panic!("no refusal but {error}"),
        }
    }
}

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}
