//! A client that says exactly what the test tells it to, and shows exactly what it was told.
//!
//! It knows how to log in; after that it keeps no state, repairs nothing and hides nothing.

pub mod backend;
pub mod frontend;
mod scram;

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr},
    ops::{Deref, DerefMut},
    sync::Arc,
};

use tokio_rustls::rustls::ClientConfig;

use crate::support::{
    link::{Link, is_close},
    wire::{
        backend::{Message, column},
        frontend::{SSL_REQUEST, VERSION_3_0},
    },
};

/// What a client logs in with.
#[derive(Clone, Debug)]
pub struct Login {
    pub port: u16,
    pub database: String,
    pub user: String,
    pub password: String,
    /// Startup parameters besides user and database.
    pub parameters: Vec<(String, String)>,
    /// The protocol version to ask for.
    pub version: u32,
    pub tls: Option<Arc<ClientConfig>>,
    /// Where the client connects from.
    pub source: IpAddr,
}

impl Login {
    /// Without TLS, protocol 3.0, from 127.0.0.1.
    pub fn new(port: u16, database: &str, (user, password): (&str, &str)) -> Self {
        Self {
            port,
            database: database.into(),
            user: user.into(),
            password: password.into(),
            parameters: Vec::new(),
            version: VERSION_3_0,
            tls: None,
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }

    /// With one more startup parameter.
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// With TLS.
    pub fn tls(mut self, config: Arc<ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }
}

/// Why a login did not succeed.
#[derive(Debug)]
pub enum Refused {
    /// The server said so.
    Error(Message),
    /// The connection failed.
    Io(io::Error),
}

impl Refused {
    /// The SQLSTATE of the refusal.
    pub fn sqlstate(&self) -> String {
        match self {
            Self::Error(message) => message.sqlstate(),
            Self::Io(error) => panic!("no refusal but {error}"),
        }
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A raw connection.
pub struct Wire {
    link: Link,
    /// Session parameters the server has reported.
    pub parameters: BTreeMap<String, String>,
    /// What a cancel request needs: process id and secret.
    pub key: (u32, Vec<u8>),
}

impl Deref for Wire {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.link
    }
}

impl DerefMut for Wire {
    fn deref_mut(&mut self) -> &mut Link {
        &mut self.link
    }
}

impl Wire {
    /// A TCP connection on which nothing has been said. Reads give up after the tests' patience.
    pub fn open(port: u16, source: IpAddr) -> io::Result<Self> {
        Ok(Self {
            link: Link::open(port, source)?,
            parameters: BTreeMap::new(),
            key: (0, Vec::new()),
        })
    }

    /// Logs in, up to the first ReadyForQuery.
    pub fn connect(login: &Login) -> Result<Self, Refused> {
        let mut wire = Self::open(login.port, login.source)?;
        if let Some(config) = &login.tls {
            wire.send(&frontend::untagged(SSL_REQUEST, &[]))?;
            let mut answer = [0];
            wire.read_exact(&mut answer)?;
            assert_eq!(&answer, b"S", "the server takes no TLS");
            wire.upgrade(config.clone())?;
        }
        let mut parameters = vec![
            ("user", login.user.as_str()),
            ("database", login.database.as_str()),
        ];
        parameters.extend(
            login
                .parameters
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        wire.send(&frontend::startup(login.version, &parameters))?;
        wire.finish_login(login)?;
        Ok(wire)
    }

    /// Answers the server's questions after a startup packet, up to the first ReadyForQuery.
    pub fn finish_login(&mut self, login: &Login) -> Result<(), Refused> {
        let mut scram = scram::Exchange::default();
        loop {
            let message = self.read()?;
            match message.tag {
                b'E' => return Err(Refused::Error(message)),
                b'R' => {
                    if let Some(answer) = scram.answer(&message.body, &login.user, &login.password)
                    {
                        self.send(&frontend::message(b'p', &answer))?;
                    }
                }
                b'K' => {
                    let (pid, secret) = message.body.split_at(4);
                    self.key = (u32::from_be_bytes(pid.try_into().unwrap()), secret.to_vec());
                }
                b'Z' => return Ok(()),
                _ => {}
            }
        }
    }

    /// The next message.
    pub fn read(&mut self) -> io::Result<Message> {
        let mut head = [0; 5];
        self.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        assert!(
            (4..1 << 30).contains(&length),
            "a message {:?} of length {length}",
            char::from(head[0])
        );
        let mut body = vec![0; length - 4];
        self.read_exact(&mut body)?;
        let message = Message { tag: head[0], body };
        if message.tag == b'S' {
            let mut texts = message
                .body
                .split(|byte| *byte == 0)
                .map(|text| String::from_utf8_lossy(text).into_owned());
            self.parameters
                .insert(texts.next().unwrap(), texts.next().unwrap());
        }
        Ok(message)
    }

    /// Everything up to and with the next message of kind `tag`.
    pub fn read_until(&mut self, tag: u8) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            match self.read() {
                Ok(message) => messages.push(message),
                Err(error) => {
                    panic!(
                        "{error} while waiting for {:?} after {:?}",
                        char::from(tag),
                        backend::words(&messages)
                    )
                }
            }
            if messages.last().unwrap().tag == tag {
                return messages;
            }
        }
    }

    /// Everything up to and with the next ReadyForQuery.
    pub fn read_ready(&mut self) -> Vec<Message> {
        self.read_until(b'Z')
    }

    /// Sends and reads up to ReadyForQuery.
    pub fn ask(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.send(bytes).unwrap();
        self.read_ready()
    }

    /// A simple query and its whole reply.
    pub fn simple(&mut self, sql: &str) -> Vec<Message> {
        self.ask(&frontend::query(sql))
    }

    /// A simple query that must not fail; the first column of its rows.
    pub fn succeed(&mut self, sql: &str) -> Vec<String> {
        let reply = self.simple(sql);
        if let Some(error) = reply.iter().find(|message| message.tag == b'E') {
            panic!("{sql}: {} {}", error.sqlstate(), error.field(b'M'));
        }
        column(&reply)
    }

    /// A simple query that must not fail; its one value.
    pub fn value(&mut self, sql: &str) -> String {
        let mut rows = self.succeed(sql);
        assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
        rows.swap_remove(0)
    }

    /// What is left until the peer closes; a reset counts as a close.
    pub fn read_to_close(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            match self.read() {
                Ok(message) => messages.push(message),
                Err(error) => {
                    assert!(
                        is_close(&error),
                        "{error} instead of the end after {:?}",
                        backend::words(&messages)
                    );
                    return messages;
                }
            }
        }
    }

    /// Everything up to and with the next ReadyForQuery, or until the peer closes.
    pub fn read_ready_or_close(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while messages
            .last()
            .is_none_or(|last: &Message| last.tag != b'Z')
        {
            let Ok(message) = self.read() else { break };
            messages.push(message);
        }
        messages
    }
}

/// Asks whoever listens at `port` to cancel what the session of `key` is doing; returns once the
/// request has been read, which is when the listener closes.
pub fn cancel(port: u16, key: &(u32, Vec<u8>)) {
    let mut wire = Wire::open(port, IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
    wire.send(&frontend::cancel_request(key.0, &key.1)).unwrap();
    assert_eq!(
        wire.read_to_close(),
        [],
        "a cancel request is never answered"
    );
}
