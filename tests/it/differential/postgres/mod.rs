//! PostgreSQL's clients: two servers of the same content, one of them behind the proxy.

use std::{cell::RefCell, fmt, time::Duration};

use super::script::{Dialect, Pair, Reply, Side};
use crate::support::{
    postgres::{APP_MD5, Database, Postgres},
    sluice::{Settings, Sluice},
    wire::{Login, Wire},
};
use say::Say;
use talk::{Talk, plain};

mod acts;
mod known;
mod mask;
mod say;
mod settings;
mod sql;
mod talk;
mod tolerance;

pub use acts::Author;
pub use known::known;

/// What a client does.
#[derive(Clone, Debug)]
pub enum Act {
    /// Logs in with these startup parameters.
    LogIn(Vec<(&'static str, &'static str)>),
    /// Goes on with the connection of an earlier script, or logs in where there is none.
    GoOn,
    /// Says this.
    Say(Vec<Say>),
    /// Leaves, with a word or without.
    Leave { politely: bool },
}

impl fmt::Display for Act {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LogIn(parameters) => write!(out, "logs in with {parameters:?}"),
            Self::GoOn => write!(out, "goes on"),
            Self::Say(all) => {
                let words: Vec<_> = all.iter().map(Say::to_string).collect();
                write!(out, "{}", words.join(" "))
            }
            Self::Leave { politely: true } => write!(out, "leaves"),
            Self::Leave { politely: false } => write!(out, "vanishes"),
        }
    }
}

/// A client's place.
pub struct Seat {
    login: Login,
    talk: Option<Talk>,
    /// What the login said.
    greeting: Vec<Reply>,
}

/// Most clients of one script.
pub const MOST_CLIENTS: usize = 3;

/// Both servers and the proxy.
pub struct Postgresql {
    // The proxy goes first, then the servers.
    pub proxy: Sluice,
    direct: Login,
    proxied: Login,
    restorers: RefCell<Pair<Wire>>,
    patience: Duration,
    _databases: Pair<Database>,
    _servers: Pair<Postgres>,
}

/// How long replies may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The same, where many have been waited for in vain.
const IMPATIENCE: Duration = Duration::from_secs(2);

impl Postgresql {
    /// Server connections are as many as clients, and lent in turn, so that a client that is idle
    /// goes on with another one while it may.
    pub fn start() -> Self {
        let server = || Postgres::private(&[("max_connections", "60")]);
        let servers = Pair {
            direct: server(),
            proxied: server(),
        };
        let databases = Pair {
            direct: database(&servers.direct),
            proxied: database(&servers.proxied),
        };
        let size = i64::try_from(MOST_CLIENTS).unwrap();
        let proxy = Sluice::start(
            &Settings::for_server(servers.proxied.port)
                .without_tls()
                .general("log_level", "warn")
                .listener("auth_method", "trust")
                .group("server_tls_mode", "disable")
                .group("server_round_robin", true)
                .group("default_pool_size", size)
                .group("min_pool_size", size),
        );
        let restorers = Pair {
            direct: owner(&databases.direct),
            proxied: owner(&databases.proxied),
        };
        let login = |port| Login::new(port, &databases.direct.name, APP_MD5);
        Self {
            direct: login(servers.direct.port),
            proxied: login(proxy.port),
            restorers: RefCell::new(restorers),
            patience: PATIENCE,
            proxy,
            _databases: databases,
            _servers: servers,
        }
    }
}

fn owner(database: &Database) -> Wire {
    Wire::connect(&Login::new(database.server_port, &database.name, APP_MD5)).unwrap()
}

/// The same on each server.
fn database(server: &Postgres) -> Database {
    let database = server.named_database("twin", APP_MD5);
    let mut admin = database.admin();
    admin.succeed("grant other to app_md5");
    owner(&database).succeed(sql::ONCE);
    database
}

impl Dialect for Postgresql {
    type Act = Act;
    type Seat = Seat;

    fn seat(&self, side: Side) -> Seat {
        let login = match side {
            Side::Direct => &self.direct,
            Side::Proxied => &self.proxied,
        };
        Seat {
            login: login.clone(),
            talk: None,
            greeting: Vec::new(),
        }
    }

    fn stages(&self, act: &Act) -> usize {
        match act {
            Act::Say(all) => parts(all).count(),
            _ => 1,
        }
    }

    fn act(&self, seat: &mut Seat, act: &Act, stage: usize) {
        match act {
            Act::GoOn if seat.talk.as_ref().is_some_and(Talk::is_usable) => {}
            Act::GoOn => seat.log_in(&[]),
            Act::LogIn(parameters) => seat.log_in(parameters),
            Act::Say(all) => {
                if let Some(talk) = &mut seat.talk {
                    talk.say(parts(all).nth(stage).unwrap());
                }
            }
            Act::Leave { politely } => {
                if let Some(talk) = seat.talk.take() {
                    talk.end(*politely);
                }
            }
        }
    }

    fn hear(&self, seat: &mut Seat) -> Vec<Reply> {
        let mut heard = std::mem::take(&mut seat.greeting);
        if let Some(talk) = &mut seat.talk {
            heard.extend(talk.hear(self.patience));
        }
        heard
    }

    fn unasked(&self, direct: &mut Seat, proxied: &mut Seat) -> Pair<Vec<Reply>> {
        let mut heard = Pair {
            direct: Vec::new(),
            proxied: Vec::new(),
        };
        if let (Some(direct), Some(proxied)) = (&mut direct.talk, &mut proxied.talk) {
            let count = direct.notified.len();
            let more = proxied.hear_notifications(count, self.patience);
            heard.direct.append(&mut direct.notified);
            heard.proxied.append(&mut proxied.notified);
            heard.proxied.extend(more);
        }
        heard
    }

    fn same(&self, heard: &Pair<Vec<Reply>>) -> bool {
        tolerance::same(heard)
    }

    fn parted(&self, heard: &Pair<Vec<Reply>>) -> bool {
        tolerance::parted(heard)
    }

    fn restore(&self) {
        let Pair { direct, proxied } = &mut *self.restorers.borrow_mut();
        let sql = crate::support::wire::frontend::query(sql::EACH_TIME);
        direct.send(&sql).unwrap();
        proxied.send(&sql).unwrap();
        for wire in [direct, proxied] {
            let reply = wire.read_ready();
            let error = reply.iter().find(|message| message.tag == b'E');
            assert!(error.is_none(), "{}", error.unwrap().field(b'M'));
        }
    }

    fn smaller(&self, act: &Act) -> Vec<Act> {
        acts::smaller(act)
    }

    fn be_patient(&mut self, patient: bool) {
        self.patience = if patient { PATIENCE } else { IMPATIENCE };
    }
}

/// What is said between waits.
fn parts(all: &[Say]) -> impl Iterator<Item = &[Say]> {
    all.split(|say| *say == Say::Wait)
}

impl Seat {
    fn log_in(&mut self, parameters: &[(&str, &str)]) {
        if let Some(talk) = self.talk.take() {
            talk.end(true);
        }
        let login = parameters
            .iter()
            .fold(self.login.clone(), |login, (name, value)| {
                login.parameter(name, value)
            });
        (self.talk, self.greeting) = Talk::begin(&login);
        self.greeting.push(plain(if self.talk.is_some() {
            "logged in"
        } else {
            "refused"
        }));
    }

    /// Leaves, so that the next script begins with a login.
    pub fn leave(&mut self) {
        if let Some(talk) = self.talk.take() {
            talk.end(true);
        }
    }
}
