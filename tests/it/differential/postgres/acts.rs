//! Scripts: what clients say in which order, and how to make it less.

use super::{
    Act, MOST_CLIENTS,
    say::Say,
    settings,
    sql::{self, Allowed, Writer},
};
use crate::differential::{random::Random, script::Script};

/// Names of statements and portals that clients share, so that they would meet.
const STATEMENTS: [&str; 6] = ["", "s1", "q1", "S_1", "a1", "sluice_1"];
const PORTALS: [&str; 4] = ["", "", "p", "C_1"];

/// Writes one script.
pub struct Author {
    random: Random,
    clients: Vec<Client>,
    allowed: Allowed,
}

struct Client {
    writer: Writer,
    /// A transaction is open, as far as the author knows.
    open: bool,
    connected: bool,
}

impl Author {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let count = 1 + random.below(MOST_CLIENTS);
        let number = usize::try_from(seed % 1_000_000).unwrap();
        let asked = std::env::var("SLUICE_DIFF_ALLOW").unwrap_or_default();
        let has = |kind| asked.split(',').any(|one| one == kind);
        let client = |client| Client {
            writer: Writer {
                client,
                key: (number * MOST_CLIENTS + client) * 8,
            },
            open: false,
            connected: false,
        };
        Self {
            random,
            clients: (0..count).map(client).collect(),
            allowed: Allowed {
                sequences: true,
                names_by_sql: has("names_by_sql"),
                names_taken: has("names_taken"),
                shapes: has("shapes"),
                resets: has("resets"),
                unseen: has("unseen"),
            },
        }
    }

    /// The script, and which clients keep their connection for the next one.
    pub fn script(mut self) -> (Script<Act>, Vec<bool>) {
        let mut acts = Vec::new();
        let count = self.clients.len();
        for _ in 0..count * (4 + self.random.below(20)) {
            let client = self.random.below(count);
            let act = self.act(client);
            acts.push((client, act));
        }
        let mut kept = Vec::new();
        for client in 0..count {
            let keep = self.random.percent(70);
            kept.push(keep);
            if self.clients[client].connected {
                acts.push((client, Act::Say(last_words(keep))));
            }
        }
        let clients = count;
        (Script { clients, acts }, kept)
    }

    fn act(&mut self, number: usize) -> Act {
        let client = &mut self.clients[number];
        if !client.connected {
            client.connected = true;
            return if self.random.percent(60) {
                Act::GoOn
            } else {
                Act::LogIn(settings::startup(&mut self.random))
            };
        }
        if self.random.percent(1) {
            client.connected = false;
            client.open = false;
            client.writer.key += 1;
            let politely = self.random.percent(50);
            return Act::Leave { politely };
        }
        let all = match self.random.below(20) {
            0..=9 => vec![Say::Query(self.text(number))],
            10 => self.copy(number, false),
            11 => self.copy(number, true),
            12 => self.flushed(number),
            13 => vec![Say::Call("-7")],
            _ => self.batch(number),
        };
        Act::Say(all)
    }

    /// A text for a simple query; sometimes of several statements.
    fn text(&mut self, client: usize) -> String {
        let mut text = self.statement(client);
        while self.random.percent(12) {
            text = format!("{text}; {}", self.statement(client));
        }
        text
    }

    fn statement(&mut self, number: usize) -> String {
        let client = &mut self.clients[number];
        match self.random.below(10) {
            0 | 1 => settings::change(&mut self.random, self.allowed.resets || !client.open),
            2 | 3 => {
                let (sql, open) = sql::transaction(&mut self.random, client.open);
                client.open = open;
                sql
            }
            _ => sql::statement(&mut self.random, client.writer, self.allowed),
        }
    }

    /// Messages of the extended protocol up to a Sync, or several of them.
    fn batch(&mut self, client: usize) -> Vec<Say> {
        let mut all = Vec::new();
        loop {
            self.exchange(client, &mut all);
            while self.random.percent(25) {
                self.exchange(client, &mut all);
            }
            all.push(Say::Sync);
            if !self.random.percent(15) {
                return all;
            }
            if self.random.percent(20) {
                all.push(Say::Query(self.text(client)));
            }
            if self.random.percent(30) {
                all.push(Say::Wait);
            }
        }
    }

    /// The same with a pause after a Flush.
    fn flushed(&mut self, client: usize) -> Vec<Say> {
        let mut all = Vec::new();
        self.exchange(client, &mut all);
        all.extend([Say::Flush, Say::Wait]);
        self.exchange(client, &mut all);
        all.push(Say::Sync);
        all
    }

    fn exchange(&mut self, client: usize, all: &mut Vec<Say>) {
        let statement = self.random.weighted(&[
            (10, STATEMENTS[0]),
            (5, STATEMENTS[1]),
            (3, STATEMENTS[2]),
            (2, STATEMENTS[3]),
            (2, STATEMENTS[4]),
            (1, STATEMENTS[5]),
        ]);
        let portal = self.random.pick(&PORTALS);
        match self.random.below(10) {
            0..=4 => self.prepare_and_run(client, statement, portal, all),
            5 | 6 => {
                let values = self.values();
                self.run(statement, portal, values, all);
            }
            7 => all.push(Say::DescribeStatement(statement)),
            8 => all.push(if self.random.percent(70) {
                Say::CloseStatement(statement)
            } else {
                Say::ClosePortal(portal)
            }),
            // Not the unnamed one: where a simple query has failed inside a transaction, PostgreSQL
            // leaves its portal behind, and crashes when that is executed.
            _ => all.push(Say::Execute(self.random.pick(&PORTALS[2..]), self.rows())),
        }
    }

    fn prepare_and_run(
        &mut self,
        client: usize,
        name: &'static str,
        portal: &'static str,
        all: &mut Vec<Say>,
    ) {
        let (sql, values) = loop {
            let (sql, values) = if self.random.percent(50) {
                sql::with_parameters(&mut self.random, self.clients[client].writer)
            } else {
                (self.statement(client), Vec::new())
            };
            if self.fits(name, &sql, all) {
                break (sql, values);
            }
        };
        // One text under two names is prepared once: an error that tells the name may tell either.
        let sql = if name.is_empty() {
            sql
        } else {
            format!("{sql} /* {name} */")
        };
        if !name.is_empty() && (self.random.percent(50) || !self.allowed.names_taken) {
            all.push(Say::CloseStatement(name));
        }
        let types = if self.random.percent(10) && !values.is_empty() {
            vec![TEXT; values.len()]
        } else {
            Vec::new()
        };
        all.push(Say::Parse { name, sql, types });
        if self.random.percent(30) {
            all.push(Say::DescribeStatement(name));
        }
        if self.random.percent(85) {
            let values = if self.random.percent(4) {
                self.values()
            } else {
                values
            };
            self.run(name, portal, values, all);
        }
    }

    /// Whether the statement may stand behind these messages, under this name.
    fn fits(&self, name: &str, sql: &str, before: &[Say]) -> bool {
        // Before a transaction's modes are set there must not be a query: to prepare a statement
        // anew, which a message before may need, is one.
        let sets_modes = ["isolation level", "read only", "set transaction"]
            .iter()
            .any(|mode| sql.contains(mode));
        let shape = ["select *", "table item", "from thing"]
            .iter()
            .any(|shape| sql.contains(shape));
        (before.is_empty() || !sets_modes) && (name.is_empty() || !shape || self.allowed.shapes)
    }

    fn run(
        &mut self,
        statement: &'static str,
        portal: &'static str,
        values: Vec<Option<String>>,
        all: &mut Vec<Say>,
    ) {
        let binary = self.random.percent(10);
        all.push(Say::Bind {
            portal,
            statement,
            values,
            binary,
        });
        if self.random.percent(50) {
            all.push(Say::DescribePortal(portal));
        }
        all.push(Say::Execute(portal, self.rows()));
        if self.random.percent(10) {
            all.push(Say::Execute(portal, self.rows()));
        }
        if self.random.percent(10) {
            all.push(Say::ClosePortal(portal));
        }
    }

    fn rows(&mut self) -> u32 {
        self.random.pick(&[0, 0, 0, 1, 3])
    }

    fn values(&mut self) -> Vec<Option<String>> {
        let count = self.random.weighted(&[(4, 0), (5, 1), (2, 2)]);
        let value = |random: &mut Random| random.pick(&[Some("3"), Some("7"), Some("x"), None]);
        (0..count)
            .map(|_| value(&mut self.random).map(str::to_owned))
            .collect()
    }

    fn copy(&mut self, client: usize, extended: bool) -> Vec<Say> {
        let random = &mut self.random;
        let n = random.below(30);
        let out = random.percent(40);
        let sql = if out {
            random
                .pick(&[
                    "copy (select id, word, at from shared order by id limit 3) to stdout",
                    "copy shared to stdout (format csv, header)",
                    "copy nowhere to stdout",
                ])
                .to_owned()
        } else {
            format!("copy item_{client} (id, word) from stdin")
        };
        let mut all = if extended {
            vec![
                Say::Parse {
                    name: "",
                    sql,
                    types: Vec::new(),
                },
                Say::Bind {
                    portal: "",
                    statement: "",
                    values: Vec::new(),
                    binary: false,
                },
                Say::Execute("", 0),
            ]
        } else {
            vec![Say::Query(sql)]
        };
        if !out {
            if !extended && random.percent(50) {
                all.push(Say::Wait);
            }
            let data = random.pick(&["\tword\n", "\t\\N\n", "x\tbad\n", "\n"]);
            all.push(Say::CopyData(format!("{n}{data}")));
            all.push(if random.percent(80) {
                Say::CopyDone
            } else {
                Say::CopyFail
            });
        }
        if extended {
            all.push(Say::Sync);
        }
        all
    }
}

/// `text` in `pg_type.dat`.
const TEXT: u32 = 25;

/// Ends whatever is open, shows the state of the session, and returns to that after login.
fn last_words(keep: bool) -> Vec<Say> {
    let mut all = vec![
        Say::Sync,
        Say::Wait,
        Say::Query("rollback".into()),
        Say::Wait,
        Say::Query(settings::shown()),
        Say::Query("select 'the end'".into()),
    ];
    if keep {
        all.extend([Say::Wait, Say::Query("discard all".into())]);
    }
    all
}

/// What may do instead of an act: one message less, or one statement less in a text.
pub fn smaller(act: &Act) -> Vec<Act> {
    let Act::Say(all) = act else {
        return match act {
            Act::LogIn(parameters) => without_each(parameters).map(Act::LogIn).collect(),
            _ => Vec::new(),
        };
    };
    let mut less: Vec<Act> = Vec::new();
    if all.len() > 1 {
        less.extend(without_each(all).filter(|all| is_sound(all)).map(Act::Say));
    }
    for (at, say) in all.iter().enumerate() {
        let Say::Query(sql) = say else { continue };
        let statements: Vec<&str> = sql.split("; ").collect();
        if statements.len() > 1 {
            for statements in without_each(&statements) {
                let mut all = all.clone();
                all[at] = Say::Query(statements.join("; "));
                less.push(Act::Say(all));
            }
        }
    }
    less
}

fn without_each<T: Clone>(all: &[T]) -> impl Iterator<Item = Vec<T>> {
    (0..all.len()).map(|at| {
        let mut less = all.to_vec();
        less.remove(at);
        less
    })
}

/// Whether nobody waits for what will not come: a Sync or Flush ends what needs one.
fn is_sound(all: &[Say]) -> bool {
    let copies = |say: &Say| matches!(say, Say::CopyData(_) | Say::CopyDone | Say::CopyFail);
    let ends = |say: &&Say| matches!(say, Say::CopyDone | Say::CopyFail);
    let begins = |say: &&Say| match say {
        Say::Query(sql) | Say::Parse { sql, .. } => sql.contains("from stdin"),
        _ => false,
    };
    let extended = |say: &Say| !matches!(say, Say::Query(_) | Say::Call(_)) && !copies(say);
    let open = all
        .iter()
        .rposition(|say| matches!(say, Say::Sync | Say::Flush | Say::Wait))
        .map_or(0, |at| at + 1);
    all.iter().filter(ends).count() == all.iter().filter(begins).count()
        && !all[open..].iter().any(extended)
}
