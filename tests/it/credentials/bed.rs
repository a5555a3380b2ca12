//! A server of any engine with users whose passwords change, and clients that never stop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
};

use crate::support::{
    mysql::{self, Kind},
    postgres,
    sluice::{Settings, Target as _},
    wire,
};

/// A database of a test.
pub enum Bed {
    Postgres(postgres::Database),
    MySql(mysql::Database),
}

/// A client of either.
pub enum Client {
    Postgres(wire::Wire),
    MySql(Box<mysql::wire::Wire>),
}

impl Bed {
    pub fn postgres() -> Self {
        Self::Postgres(postgres::Database::new())
    }

    pub fn mysql(kind: Kind) -> Self {
        Self::MySql(mysql::Database::new(kind))
    }

    /// Settings under which server connections live for a second, so that logins never cease.
    pub fn settings(&self) -> Settings {
        let settings = match self {
            Self::Postgres(database) => database.settings(),
            Self::MySql(database) => database.settings(),
        };
        settings
            .group("server_lifetime", "1s")
            .group("server_lifetime_jitter", "1s")
    }

    /// A name for a user of this test, which no other test has.
    pub fn user(&self, name: &str) -> String {
        format!("{name}_{}", std::process::id())
    }

    pub fn create_user(&self, user: &str, password: &str) {
        match self {
            Self::Postgres(_) => {
                self.admin(&format!("create role {user} login password '{password}'"))
            }
            Self::MySql(database) => {
                self.admin(&format!(
                    "create user {user}@'%' identified by '{password}'"
                ));
                self.admin(&format!("grant all on {}.* to {user}@'%'", database.name));
            }
        }
    }

    pub fn set_password(&self, user: &str, password: &str) {
        self.admin(&match self {
            Self::Postgres(_) => format!("alter role {user} password '{password}'"),
            Self::MySql(_) => format!("alter user {user}@'%' identified by '{password}'"),
        });
    }

    pub fn drop_user(&self, user: &str) {
        self.admin(&match self {
            Self::Postgres(_) => format!("drop role if exists {user}"),
            Self::MySql(_) => format!("drop user if exists {user}@'%'"),
        });
    }

    fn admin(&self, sql: &str) {
        match self {
            Self::Postgres(database) => {
                database.admin().succeed(sql);
            }
            Self::MySql(database) => {
                database.admin().succeed(sql);
            }
        }
    }

    /// Logs in at `port` over TLS.
    pub fn log_in(&self, port: u16, user: &str, password: &str) -> Result<Client, String> {
        match self {
            Self::Postgres(database) => {
                let tls = crate::support::certs::Certs::shared().client_config(None);
                let login = wire::Login::new(port, &database.name, (user, password)).tls(tls);
                let wire = wire::Wire::connect(&login);
                wire.map(Client::Postgres).map_err(|refused| match refused {
                    wire::Refused::Error(message) => text(&message),
                    wire::Refused::Io(error) => error.to_string(),
                })
            }
            Self::MySql(database) => {
                let login = mysql::login::Login::new(port, &database.name, (user, password));
                let wire = mysql::wire::Wire::connect(&login.with_tls());
                let wire = wire.map(|wire| Client::MySql(Box::new(wire)));
                wire.map_err(|refused| format!("{refused:?}"))
            }
        }
    }

    /// What asks the server as whom it knows its client.
    pub fn who(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "select session_user",
            Self::MySql(_) => "select substring_index(user(), '@', 1)",
        }
    }
}

impl Client {
    /// The one value that a query yields.
    pub fn ask(&mut self, sql: &str) -> Result<String, String> {
        match self {
            Self::Postgres(wire) => {
                let replies = wire.simple(sql);
                let row = replies.iter().find(|message| message.tag == b'D');
                let row = row.ok_or_else(|| replies.iter().map(text).collect::<String>())?;
                Ok(String::from_utf8_lossy(&row.body[6..]).into_owned())
            }
            Self::MySql(wire) => {
                let replies = wire.query(sql).map_err(|error| error.to_string())?;
                let value = replies
                    .first()
                    .and_then(|reply| reply.text_rows().into_iter().next());
                let value = value.and_then(|row| row.into_iter().next().flatten());
                value.ok_or_else(|| format!("{replies:?}"))
            }
        }
    }
}

fn text(message: &wire::backend::Message) -> String {
    String::from_utf8_lossy(&message.body).replace('\0', " ")
}

/// Clients at work until they are told to stop.
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU32>,
    clients: Vec<JoinHandle<Option<String>>>,
}

impl Load {
    pub fn new() -> Self {
        Self {
            stop: Arc::default(),
            done: Arc::default(),
            clients: Vec::new(),
        }
    }

    /// Another client, which does `work` over and over.
    pub fn add(&mut self, mut work: impl FnMut() -> Result<(), String> + Send + 'static) {
        let (stop, done) = (Arc::clone(&self.stop), Arc::clone(&self.done));
        self.clients.push(thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                if let Err(failure) = work() {
                    return Some(failure);
                }
                done.fetch_add(1, Ordering::SeqCst);
            }
            None
        }));
    }

    /// How often work was done so far.
    pub fn done(&self) -> u32 {
        self.done.load(Ordering::SeqCst)
    }

    /// Ends it; what failed.
    pub fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        let ended = self
            .clients
            .into_iter()
            .map(|client| client.join().unwrap());
        ended.flatten().collect()
    }
}
