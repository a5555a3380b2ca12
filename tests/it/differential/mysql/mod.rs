//! Clients of MySQL and MariaDB: two servers of the same content, one of them behind the proxy.

use std::{
    cell::{Cell, RefCell},
    fmt,
    time::Duration,
};

use super::script::{Dialect, Pair, Reply, Side};
use crate::support::{
    mysql::{ADMIN, APP, Kind, MySql, login::Login, wire::Wire},
    sluice::{Settings, Sluice},
};
use say::Say;
use talk::Talk;

mod acts;
mod mask;
mod prepared;
mod say;
mod settings;
mod sql;
mod talk;

pub use acts::Author;

/// What a client does.
#[derive(Clone, Debug)]
pub enum Act {
    /// Goes on with the connection of an earlier script if that has these capabilities, or logs in.
    GoOn(Capabilities),
    /// Says this, in one write.
    Say(Vec<Say>),
    /// Leaves, with a word or without.
    Leave { politely: bool },
}

/// What a client logs in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Those in addition to the usual.
    pub more: u32,
    /// Those of the usual that it does not ask for.
    pub less: u32,
    pub mariadb: u32,
    pub schema: bool,
}

impl fmt::Display for Act {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GoOn(capabilities) => write!(
                out,
                "goes on with {:#x} more, {:#x} less, {:#x} of MariaDB's{}",
                capabilities.more,
                capabilities.less,
                capabilities.mariadb,
                if capabilities.schema {
                    ""
                } else {
                    ", no schema"
                }
            ),
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
    side: Side,
    login: Login,
    talk: Option<Talk>,
    /// What the login said.
    greeting: Vec<Reply>,
}

/// Most clients of one script.
pub const MOST_CLIENTS: usize = 3;

/// Both servers and the proxy.
pub struct Mysql {
    // The proxy goes first, then the servers.
    pub proxy: Sluice,
    direct: Login,
    proxied: Login,
    restorers: RefCell<Pair<Wire>>,
    restored: Cell<bool>,
    patience: Duration,
    servers: Pair<MySql>,
}

/// How long replies may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The same, where tables are emptied on a busy machine.
const LONG_PATIENCE: Duration = Duration::from_secs(60);
/// The same, where many have been waited for in vain.
const IMPATIENCE: Duration = Duration::from_secs(4);

impl Mysql {
    /// Server connections are as many as clients, and lent in turn, so that a client that is idle
    /// goes on with another one while it may.
    pub fn start(kind: Kind) -> Self {
        // A thread of MariaDB that has served another client goes on with its FOUND_ROWS().
        let settings = [
            ("log_bin_trust_function_creators", "1"),
            ("thread_cache_size", "0"),
            // Where MySQL tells which user variables a connection holds.
            ("performance_schema", "ON"),
            // Who waits for another client of the script waits in vain.
            ("lock_wait_timeout", "1"),
            ("innodb_lock_wait_timeout", "1"),
        ];
        let server = || MySql::private(kind, &settings);
        let servers = Pair {
            direct: server(),
            proxied: server(),
        };
        let size = i64::try_from(MOST_CLIENTS).unwrap();
        let proxy = Sluice::start(
            &Settings::for_mysql(servers.proxied.port)
                .without_tls()
                .general("log_level", "warn")
                .group("server_tls_mode", "disable")
                .group("server_round_robin", true)
                .group("default_pool_size", size),
        );
        let restorers = Pair {
            direct: owner(&servers.direct),
            proxied: owner(&servers.proxied),
        };
        let login = |port| Login::new(port, sql::SCHEMA, APP);
        Self {
            direct: login(servers.direct.port),
            proxied: login(proxy.port),
            restorers: RefCell::new(restorers),
            restored: Cell::new(false),
            patience: PATIENCE,
            proxy,
            servers,
        }
    }
}

impl Mysql {
    /// What both servers are doing.
    fn processes(&self) -> String {
        let Pair { direct, proxied } = &self.servers;
        let shown = |server: &MySql| {
            let mut admin = server.admin();
            // MariaDB does not tell the latter.
            let locks = "select processlist_id, object_schema, object_name, lock_type, lock_duration, lock_status
                from performance_schema.metadata_locks join performance_schema.threads on thread_id = owner_thread_id";
            let [processes, locks] =
                ["show full processlist", locks].map(|text| admin.ask(text).text_rows());
            format!("{processes:?}\n  locks: {locks:?}")
        };
        format!("direct: {}\nproxied: {}", shown(direct), shown(proxied))
    }
}

/// The same on each server.
fn owner(server: &MySql) -> Wire {
    let mut wire = server.admin();
    for text in sql::once(server.kind) {
        wire.succeed(&text);
    }
    if server.kind == Kind::MySql {
        let table = "performance_schema.user_variables_by_thread";
        wire.succeed(&format!("grant select on {table} to {}@'%'", APP.0));
    }
    // From now on the server knows the password, and asks for no TLS to hear it.
    let app = Login::new(server.port, sql::SCHEMA, APP).with_tls();
    drop(Wire::connect(&app).unwrap());
    let login = Login::new(server.port, sql::SCHEMA, ADMIN).with_tls();
    let mut wire = Wire::connect(&login).unwrap();
    wire.succeed("set innodb_lock_wait_timeout = 60");
    wire
}

impl Dialect for Mysql {
    type Act = Act;
    type Seat = Seat;

    fn seat(&self, side: Side) -> Seat {
        // What a difference has left behind is not to make others.
        self.restored.set(false);
        let login = match side {
            Side::Direct => &self.direct,
            Side::Proxied => &self.proxied,
        };
        Seat {
            side,
            login: login.clone(),
            talk: None,
            greeting: Vec::new(),
        }
    }

    fn stages(&self, _: &Act) -> usize {
        1
    }

    fn act(&self, seat: &mut Seat, act: &Act, _: usize) {
        match act {
            Act::GoOn(capabilities) => seat.go_on(*capabilities),
            Act::Say(all) => {
                if let Some(talk) = &mut seat.talk {
                    talk.say(all);
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
            if heard.last().is_some_and(talk::is_silence) {
                println!("{}\n{:#}", self.processes(), self.proxy.status());
            }
            // Sluice cancels what nobody waits for any more; a server carries it out later.
            if let (Side::Direct, Some(id)) = (seat.side, talk.given_up()) {
                let _ = self
                    .restorers
                    .borrow_mut()
                    .direct
                    .query(&format!("kill {id}"));
            }
        }
        heard
    }

    fn unasked(&self, _: &mut Seat, _: &mut Seat) -> Pair<Vec<Reply>> {
        Pair {
            direct: Vec::new(),
            proxied: Vec::new(),
        }
    }

    /// What a client has locked is not waited for.
    fn contents(&self) -> Pair<Vec<Reply>> {
        let text = sql::contents();
        let mut wires = self.restorers.borrow_mut();
        let held = |wire: &mut Wire| -> Vec<Reply> {
            let replies = wire.query(&text).unwrap();
            let rows = replies.iter().flat_map(|reply| reply.text_rows());
            rows.map(|row| talk::plain(&format!("{row:?}"))).collect()
        };
        let direct = held(&mut wires.direct);
        let proxied = held(&mut wires.proxied);
        if direct.is_empty() || proxied.is_empty() {
            return Pair {
                direct: Vec::new(),
                proxied: Vec::new(),
            };
        }
        Pair { direct, proxied }
    }

    fn same(&self, heard: &Pair<Vec<Reply>>) -> bool {
        let bytes = |replies: &[Reply]| -> Vec<Vec<u8>> {
            replies.iter().map(|reply| reply.bytes.clone()).collect()
        };
        bytes(&heard.direct) == bytes(&heard.proxied)
    }

    /// Sluice says that it cannot tell any more, and keeps the connection from there on; or MariaDB wants a statement to
    /// be said again on a table that was emptied before the script.
    fn parted(&self, heard: &Pair<Vec<Reply>>) -> bool {
        let says =
            |replies: &[Reply], what: &str| replies.iter().any(|reply| reply.shown.contains(what));
        says(&heard.proxied, "has gone to others; from now on")
            || [&heard.direct, &heard.proxied]
                .into_iter()
                .any(|replies| says(replies, "ERR 1412 "))
    }

    fn restore(&self) {
        let text = sql::each_time(!self.restored.replace(true));
        let Pair { direct, proxied } = &mut *self.restorers.borrow_mut();
        let query = [&[3], text.as_bytes()].concat();
        direct.command(&query).unwrap();
        proxied.command(&query).unwrap();
        for wire in [direct, proxied] {
            let _ = wire.tcp().set_read_timeout(Some(LONG_PATIENCE));
            let replies = wire.read_replies().unwrap_or_else(|error| {
                let busy = self.processes();
                panic!("{error}: {text}\n{busy}")
            });
            let failure = replies.iter().find_map(|reply| reply.failure());
            assert!(failure.is_none(), "{failure:?}\n{}", self.processes());
        }
    }

    fn smaller(&self, act: &Act) -> Vec<Act> {
        acts::smaller(act)
    }

    fn be_patient(&mut self, patient: bool) {
        self.patience = if patient { PATIENCE } else { IMPATIENCE };
    }
}

impl Seat {
    fn go_on(&mut self, capabilities: Capabilities) {
        let mut login = self.login.clone();
        login.capabilities |= capabilities.more;
        login.capabilities &= !capabilities.less;
        login.mariadb_capabilities = capabilities.mariadb;
        if !capabilities.schema {
            login.database.clear();
        }
        let usable = |talk: &Talk| talk.is_usable() && talk.is_like(&login);
        if self.talk.as_ref().is_some_and(usable) {
            return;
        }
        self.leave();
        let (talk, heard) = Talk::begin(&login);
        self.talk = talk;
        self.greeting = heard;
    }

    /// Closes whatever is open.
    pub fn leave(&mut self) {
        if let Some(talk) = self.talk.take() {
            talk.end(true);
        }
    }
}
