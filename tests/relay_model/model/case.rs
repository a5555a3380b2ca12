//! From a case to what each client sends and what a direct connection would answer.

use std::collections::BTreeMap;

use super::script::{ByName, Client, Forget, Name, Op, Text};
use super::server::Server;
use super::wire::{self, Message, strings};

/// What a client does next.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Vec<u8>),
    /// Waits until it has received this many messages, ParameterStatus not counted.
    Wait(usize),
    Leave,
}

/// One client's part.
#[derive(Clone, Debug)]
pub struct Part {
    pub steps: Vec<Step>,
    /// What a direct connection answers, without ParameterStatus.
    pub replies: Vec<Message>,
    /// Reported settings as a direct connection leaves them.
    pub reported: BTreeMap<String, String>,
    /// Syncs were sent before it was known how a COPY ends: if it fails, nobody can tell which of
    /// them counted.
    pub doubtful: bool,
}

/// Writes down what the client does, and has a server of its own answer it.
pub fn plan(client: &Client, session_mode: bool) -> Part {
    let startup = client.startup.settings();
    let resets = startup.iter().map(|(name, _)| match &**name {
        "search_path" => Text::ResetPath,
        "role" => Text::ResetRole,
        _ => Text::ResetApplication,
    });
    let mut plan = Plan {
        server: Server::new(&startup),
        resets: resets.collect(),
        session_mode,
        copies: false,
        part: Part {
            steps: Vec::new(),
            replies: Vec::new(),
            reported: BTreeMap::new(),
            doubtful: false,
        },
    };
    let application = startup.iter().find(|(name, _)| name == "application_name");
    let application = application.map_or("", |(_, value)| value);
    let reported = &mut plan.part.reported;
    reported.insert("application_name".into(), application.into());
    for op in &client.ops {
        if matches!(op, Op::Leave) {
            plan.part.steps.push(Step::Leave);
            return plan.part;
        }
        plan.act(op);
    }
    // All ends well, whatever has been left open.
    plan.send(b'c', b"");
    plan.send(b'S', b"");
    plan.send(b'Q', b"rollback\0");
    plan.send(b'Q', b"select end\0");
    plan.wait();
    plan.part
}

struct Plan {
    server: Server,
    /// What returns to a startup option, which takes effect before the next request that is not
    /// pipelined: servers do not know these options as such.
    resets: Vec<Text>,
    /// They do not even then: the session is the server's own business.
    session_mode: bool,
    /// A COPY has begun since the client last waited.
    copies: bool,
    part: Part,
}

impl Plan {
    fn act(&mut self, op: &Op) {
        // Anything else would end a connection, with or without Sluice.
        let fits = matches!(
            op,
            Op::CopyData(_) | Op::CopyDone | Op::CopyFail | Op::Sync | Op::Flush | Op::Wait
        );
        if self.server.is_copying() && !fits {
            return;
        }
        let late = |text: &Text| self.resets.contains(text);
        match op {
            Op::Wait => self.wait(),
            Op::Forget(Forget::DiscardAll) => self.alone("discard all"),
            Op::Forget(Forget::DeallocateAll) => self.alone("deallocate all"),
            Op::Query(text) if late(text) && !self.session_mode => self.apart(text.sql()),
            Op::Query(text) if late(text) => {}
            Op::Parse(_, text) if late(text) => {}
            Op::Queries(one, two) if late(one) || late(two) => {}
            Op::ByName(what, name) => {
                if *name != Name::Unnamed {
                    let name = name.text();
                    let sql = match what {
                        ByName::Prepare => format!("prepare {name} as select 8"),
                        ByName::Execute => format!("execute {name}"),
                        ByName::Deallocate => format!("deallocate {name}"),
                    };
                    self.send(b'Q', &strings(&[&sql]));
                }
            }
            _ => {
                let message = message(op);
                self.send(message.kind, &message.body);
            }
        }
    }

    /// A query that nothing is pipelined with, outside transactions. What it undoes comes back
    /// before the next request, where it is clear which that is.
    fn alone(&mut self, sql: &str) {
        self.send(b'S', b"");
        if self.server.is_quiet() && !self.part.doubtful {
            self.wait();
            self.send(b'Q', &strings(&[sql]));
            self.wait();
        }
    }

    /// A query that nothing is pipelined with, though perhaps in a transaction.
    fn apart(&mut self, sql: &str) {
        self.send(b'S', b"");
        self.wait();
        self.send(b'Q', &strings(&[sql]));
        self.wait();
    }

    fn send(&mut self, kind: u8, body: &[u8]) {
        let wire = Message::new(kind, body).wire();
        self.part.doubtful |= kind == b'S' && self.copies;
        self.server.feed(&wire);
        self.copies |= self.server.is_copying();
        self.part.steps.push(Step::Send(wire));
        for message in wire::take(&mut self.server.out) {
            if message.kind == b'S' {
                let [name, value] = message.strings(0);
                self.part.reported.insert(name, value);
            } else {
                self.part.replies.push(message);
            }
        }
    }

    fn wait(&mut self) {
        self.part.steps.push(Step::Wait(self.part.replies.len()));
        self.copies = self.server.is_copying();
    }
}

fn message(op: &Op) -> Message {
    match op {
        Op::Parse(name, text) => {
            let mut body = strings(&[name.text(), text.sql()]);
            body.extend_from_slice(&[0, 0]);
            Message::new(b'P', body)
        }
        Op::Bind(portal, name, fails) => {
            let mut body = strings(&[portal.text(), name.text()]);
            body.extend_from_slice(b"\0\0\0\x01\0\0\0\x04");
            body.extend_from_slice(if *fails { b"fail" } else { b"well" });
            body.extend_from_slice(b"\0\0");
            Message::new(b'B', body)
        }
        Op::DescribeStatement(name) => about(b'D', "S", name.text()),
        Op::DescribePortal(portal) => about(b'D', "P", portal.text()),
        Op::CloseStatement(name) => about(b'C', "S", name.text()),
        Op::ClosePortal(portal) => about(b'C', "P", portal.text()),
        Op::Execute(portal, limited) => {
            let mut body = strings(&[portal.text()]);
            body.extend_from_slice(&[0, 0, 0, u8::from(*limited)]);
            Message::new(b'E', body)
        }
        Op::Query(text) => Message::new(b'Q', strings(&[text.sql()])),
        Op::Queries(one, two) => {
            let sql = format!("{}; {}", one.sql(), two.sql());
            Message::new(b'Q', strings(&[&sql]))
        }
        Op::Flush => Message::new(b'H', ""),
        Op::Sync => Message::new(b'S', ""),
        Op::Call => Message::new(b'F', "\0\0\0\x01\0\0\0\0\0\0"),
        Op::CopyData(bad) => Message::new(b'd', if *bad { "bad\n" } else { "good\n" }),
        Op::CopyDone => Message::new(b'c', ""),
        Op::CopyFail => Message::new(b'f', "no\0"),
        Op::ByName(..) | Op::Forget(_) | Op::Wait | Op::Leave => {
            unreachable!("not one message")
        }
    }
}

fn about(kind: u8, what: &str, name: &str) -> Message {
    Message::new(kind, strings(&[&format!("{what}{name}")]))
}
