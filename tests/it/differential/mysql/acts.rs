//! Scripts: what clients say in which order, and how to make it less.

use super::{
    Act, Capabilities, MOST_CLIENTS, prepared,
    say::{Say, Value},
    settings, sql,
    talk::{QUERY_ATTRIBUTES, SLOTS},
};
use crate::{
    differential::{random::Random, script::Script},
    support::mysql::{Kind, message::capability},
};

/// Writes one script.
pub struct Author {
    random: Random,
    kind: Kind,
    clients: Vec<Client>,
    /// What all clients of the script ask for, since server connections are only shared by those
    /// who ask for the same.
    bound: Capabilities,
}

#[derive(Clone, Copy)]
struct Client {
    connected: bool,
    capabilities: Capabilities,
}

/// As after a login.
const NAMES: &str = "set names utf8mb4 collate utf8mb4_general_ci";

/// MariaDB's type information in column definitions.
const EXTENDED_METADATA: u32 = 1 << 3;

impl Author {
    pub fn new(seed: u64, kind: Kind) -> Self {
        let mut random = Random::new(seed);
        let count = 2 + random.below(MOST_CLIENTS - 1);
        let bound = bound(&mut random, kind);
        let client = |random: &mut Random| Client {
            connected: false,
            capabilities: capabilities(random, bound),
        };
        Self {
            clients: (0..count).map(|_| client(&mut random)).collect(),
            random,
            kind,
            bound,
        }
    }

    /// The script, and which clients keep their connection for the next one.
    pub fn script(mut self) -> (Script<Act>, Vec<bool>) {
        let mut acts = Vec::new();
        let count = self.clients.len();
        // As many server connections as clients, to begin with.
        for text in ["begin", "rollback"] {
            for client in 0..count {
                self.log_in(client, &mut acts);
                acts.push((client, Act::Say(vec![Say::Query(text.into())])));
            }
        }
        for _ in 0..count * (4 + self.random.below(20)) {
            let client = self.random.below(count);
            self.log_in(client, &mut acts);
            let all = self.act(client);
            acts.extend(all.into_iter().map(|act| (client, act)));
            if self.random.percent(4) {
                // With a change of the server connection in between.
                let warned = "select cast('12x' as signed), 1/0 from shared";
                for text in [warned, "show warnings"] {
                    acts.push((client, Act::Say(vec![Say::Query(text.into())])));
                }
            }
        }
        let mut kept = Vec::new();
        for client in 0..count {
            let keep = self.random.percent(70);
            kept.push(keep);
            if self.clients[client].connected {
                let words = last_words(keep, self.kind);
                acts.extend(words.into_iter().map(|act| (client, act)));
            }
        }
        let clients = count;
        (Script { clients, acts }, kept)
    }

    fn log_in(&mut self, number: usize, acts: &mut Vec<(usize, Act)>) {
        let client = &mut self.clients[number];
        if !client.connected {
            client.connected = true;
            client.capabilities = capabilities(&mut self.random, self.bound);
            acts.push((number, Act::GoOn(client.capabilities)));
        }
    }

    fn act(&mut self, number: usize) -> Vec<Act> {
        if self.random.percent(1) {
            self.clients[number].connected = false;
            let politely = self.random.percent(50);
            return vec![Act::Leave { politely }];
        }
        let mut all = vec![self.say(number)];
        // A driver may send without waiting.
        while self.random.percent(4) {
            all.push(self.say(number));
        }
        // Replies to these are asked for one by one.
        let waits = |say: &Say| match say {
            Say::Query(sql) => sql.contains("local infile") || sql.contains("release"),
            Say::ChangeUser => true,
            _ => false,
        };
        if all.iter().any(waits) {
            all.truncate(1);
        }
        // MySQL goes back to the server's own character sets, Sluice to those of the login.
        if all.contains(&Say::ResetConnection) {
            all = vec![Say::ResetConnection, Say::Query(NAMES.into())];
        }
        // What was counted last before goes on, which Sluice cannot ask for any more.
        if all == [Say::ChangeUser] {
            let counted = Act::Say(vec![Say::Query("select id from shared".into())]);
            return vec![Act::Say(all), counted];
        }
        vec![Act::Say(all)]
    }

    fn say(&mut self, client: usize) -> Say {
        let random = &mut self.random;
        match random.below(100) {
            0..=54 => Say::Query(self.text(client)),
            55..=66 => {
                let slot = random.below(SLOTS);
                let mut text = prepared::text(random, client, self.kind);
                // MySQL lacks the flags of OUT parameters, and of what follows them, in EOF packets.
                let eof = self.clients[client].capabilities.less & capability::DEPRECATE_EOF != 0;
                if eof && self.kind == Kind::MySql && text.contains("p_out(?)") {
                    text = "do 1".into();
                }
                Say::Prepare(slot, text)
            }
            67..=82 => {
                let slot = random.below(SLOTS);
                Say::Execute {
                    slot,
                    values: values(random),
                    cursor: random.percent(15),
                    again: random.percent(30),
                }
            }
            83..=85 => Say::Fetch(random.below(SLOTS), random.pick(&[1, 2, 100])),
            86 | 87 => Say::Reset(random.below(SLOTS)),
            88 | 89 => Say::Close(random.below(SLOTS)),
            90 | 91 => Say::InitDb(random.pick(&sql::SCHEMAS)),
            92 => Say::Ping,
            93 => Say::Statistics,
            94 => Say::FieldList(random.pick(&["shared", "nothing", "item_0"])),
            95 => Say::SetOption(random.percent(70)),
            96 => Say::ResetConnection,
            97 => Say::ChangeUser,
            98 => Say::Other(random.pick(&[&[0x77][..], &[0x0d]])),
            _ => Say::Query(settings::shown(self.kind)),
        }
    }

    /// A text; sometimes of several statements.
    fn text(&mut self, client: usize) -> String {
        let mut text = self.statement(client);
        while self.random.percent(8) {
            text = format!("{text}; {}", self.statement(client));
        }
        // Sluice answers this where it stands alone.
        if text.contains("; ") {
            text = text
                .replace("connection_id()", "1")
                .replace("CONNECTION_ID()", "2")
                // This stands alone for Sluice.
                .replace("kill ", "do ")
                .replace("query ", "")
                .replace("{id}", "7");
        }
        text
    }

    fn statement(&mut self, client: usize) -> String {
        match self.random.below(10) {
            0 | 1 => settings::change(&mut self.random, self.kind),
            _ => sql::statement(&mut self.random, client, self.kind),
        }
    }
}

fn bound(random: &mut Random, kind: Kind) -> Capabilities {
    let mut bound = Capabilities {
        more: 0,
        less: 0,
        mariadb: 0,
        schema: true,
    };
    if random.percent(15) {
        bound.more |= capability::FOUND_ROWS;
    }
    if random.percent(10) {
        bound.less |= capability::MULTI_STATEMENTS;
    }
    match kind {
        Kind::MySql if random.percent(15) => bound.more |= QUERY_ATTRIBUTES,
        Kind::MariaDb if random.percent(15) => {
            // Only who is no client of MySQL's says what else it can do.
            bound.less |= capability::LONG_PASSWORD;
            bound.mariadb |= EXTENDED_METADATA;
        }
        _ => {}
    }
    if random.percent(10) {
        bound.schema = false;
    }
    bound
}

fn capabilities(random: &mut Random, bound: Capabilities) -> Capabilities {
    let mut capabilities = bound;
    if random.percent(35) {
        capabilities.less |= capability::DEPRECATE_EOF;
    }
    if random.percent(35) {
        capabilities.less |= capability::SESSION_TRACK;
    }
    capabilities
}

fn values(random: &mut Random) -> Vec<Value> {
    let count = random.weighted(&[(3, 0), (6, 1), (3, 2)]);
    let value = |random: &mut Random| match random.below(10) {
        0 | 1 => Value::Null,
        2..=5 => Value::Int(random.pick(&[1, 2, 3, -7, 70_000])),
        6..=8 => Value::Text(random.pick(&["3", "x", "it's", "é", ""]).to_owned()),
        _ => Value::Long(random.pick(&["long data", "7"]).to_owned()),
    };
    (0..count).map(|_| value(random)).collect()
}

/// Ends whatever is open, shows the state of the session, and returns to that after login.
fn last_words(keep: bool, kind: Kind) -> Vec<Act> {
    let say = |say| Act::Say(vec![say]);
    let mut all = vec![
        say(Say::Query("rollback".into())),
        say(Say::Query(settings::shown(kind))),
    ];
    if keep {
        all.push(say(Say::ResetConnection));
        all.push(say(Say::Query(NAMES.into())));
        all.push(say(Say::InitDb(sql::SCHEMA)));
    }
    all
}

/// What may do instead of an act: one command less, or one statement less in a text.
pub fn smaller(act: &Act) -> Vec<Act> {
    let Act::Say(all) = act else {
        return match act {
            Act::GoOn(capabilities) => fewer(*capabilities).into_iter().map(Act::GoOn).collect(),
            _ => Vec::new(),
        };
    };
    let mut less: Vec<Act> = Vec::new();
    if all.len() > 1 {
        less.extend(without_each(all).map(Act::Say));
    }
    for (at, say) in all.iter().enumerate() {
        let (Say::Query(sql) | Say::Prepare(_, sql)) = say else {
            continue;
        };
        let statements: Vec<&str> = sql.split("; ").collect();
        if statements.len() > 1 && matches!(say, Say::Query(_)) {
            for statements in without_each(&statements) {
                let mut all = all.clone();
                all[at] = Say::Query(statements.join("; "));
                less.push(Act::Say(all));
            }
        }
    }
    less
}

fn fewer(capabilities: Capabilities) -> Vec<Capabilities> {
    let plain = Capabilities {
        more: 0,
        less: 0,
        mariadb: 0,
        schema: true,
    };
    let mut fewer = Vec::new();
    if capabilities != plain {
        fewer.push(plain);
        for bit in [capability::DEPRECATE_EOF, capability::SESSION_TRACK] {
            if capabilities.less & bit != 0 {
                fewer.push(Capabilities {
                    less: capabilities.less & !bit,
                    ..capabilities
                });
            }
        }
    }
    fewer
}

fn without_each<T: Clone>(all: &[T]) -> impl Iterator<Item = Vec<T>> {
    (0..all.len()).map(|at| {
        let mut less = all.to_vec();
        less.remove(at);
        less
    })
}
