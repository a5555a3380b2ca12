//! One client's connection: what it has said, and so which replies are due.

use std::{collections::VecDeque, io, time::Duration};

use super::{
    mask::{Masks, reply},
    say::Say,
};
use crate::{
    differential::script::Reply,
    support::wire::{Login, Refused, Wire, backend::Message},
};

/// A logged-in client.
pub struct Talk {
    wire: Wire,
    /// What will end the reply to each message that has been sent.
    due: VecDeque<Due>,
    /// How many of these the server sends without being asked for more.
    flushed: usize,
    /// After an error, up to the next Sync.
    skipping: bool,
    /// The server reads COPY data, and the client has not ended it.
    copying: bool,
    /// COPYs that were ended before they began.
    ended_ahead: usize,
    /// A transaction is open, as far as the client knows.
    in_transaction: bool,
    /// Nothing is to be expected any more.
    over: bool,
    masks: Masks,
    /// Notifications that have come.
    pub notified: Vec<Reply>,
}

/// What the reply to a message ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Parse,
    Bind,
    Describe,
    Execute,
    Close,
    Sync,
    /// Query or FunctionCall.
    Query,
}

impl Talk {
    /// Logs in; also what was said on the way.
    pub fn begin(login: &Login) -> (Option<Self>, Vec<Reply>) {
        let mut masks = Masks::default();
        match Wire::connect(login) {
            Ok(wire) => {
                let parameters = wire.parameters.iter().map(|(name, value)| Message {
                    tag: b'S',
                    body: format!("{name}\0{value}\0").into_bytes(),
                });
                let heard = parameters
                    .map(|message| reply(&message, &mut masks))
                    .collect();
                let talk = Self {
                    wire,
                    due: VecDeque::new(),
                    flushed: 0,
                    skipping: false,
                    copying: false,
                    ended_ahead: 0,
                    in_transaction: false,
                    over: false,
                    masks,
                    notified: Vec::new(),
                };
                (Some(talk), heard)
            }
            Err(Refused::Error(message)) => (None, vec![reply(&message, &mut masks)]),
            Err(Refused::Io(error)) => (None, vec![plain(&format!("login: {}", error.kind()))]),
        }
    }

    /// Sends messages.
    pub fn say(&mut self, all: &[Say]) {
        if self.over {
            return;
        }
        let mut bytes = Vec::new();
        for say in all {
            bytes.extend(say.bytes());
            self.note(say);
        }
        // A peer that has closed is noticed by who listens.
        let _ = self.wire.send(&bytes);
    }

    fn note(&mut self, say: &Say) {
        let due = match say {
            Say::Query(_) | Say::Call(_) => Due::Query,
            Say::Parse { .. } => Due::Parse,
            Say::Bind { .. } => Due::Bind,
            Say::DescribeStatement(_) | Say::DescribePortal(_) => Due::Describe,
            Say::Execute(..) => Due::Execute,
            Say::CloseStatement(_) | Say::ClosePortal(_) => Due::Close,
            Say::Sync => {
                self.skipping = false;
                Due::Sync
            }
            Say::Flush => {
                self.flushed = self.due.len();
                return;
            }
            Say::CopyDone | Say::CopyFail => {
                if self.copying {
                    self.copying = false;
                } else {
                    self.ended_ahead += 1;
                }
                return;
            }
            Say::CopyData(_) | Say::Wait => return,
        };
        if self.skipping {
            return;
        }
        self.due.push_back(due);
        if matches!(due, Due::Sync | Due::Query) {
            self.flushed = self.due.len();
        }
    }

    /// Reads all that is due.
    pub fn hear(&mut self, patience: Duration) -> Vec<Reply> {
        let mut heard = Vec::new();
        self.wire.tcp().set_read_timeout(Some(patience)).unwrap();
        while self.flushed > 0 && !self.copying && !self.over {
            match self.wire.read() {
                Ok(message) if message.tag == b'A' => self.notified(&message, &mut heard),
                Ok(message) => {
                    heard.push(reply(&message, &mut self.masks));
                    self.settle(&message);
                }
                Err(error) => {
                    heard.push(self.lost(&error));
                }
            }
        }
        heard
    }

    /// Notifications only, until there are `count`; anything else is a reply that nobody asked
    /// for.
    pub fn hear_notifications(&mut self, count: usize, patience: Duration) -> Vec<Reply> {
        let mut heard = Vec::new();
        self.wire.tcp().set_read_timeout(Some(patience)).unwrap();
        while self.notified.len() < count && !self.over {
            match self.wire.read() {
                Ok(message) if message.tag == b'A' => self.notified(&message, &mut heard),
                Ok(message) => heard.push(reply(&message, &mut self.masks)),
                Err(error) => heard.push(self.lost(&error)),
            }
        }
        heard
    }

    fn notified(&mut self, message: &Message, heard: &mut Vec<Reply>) {
        let notification = reply(message, &mut self.masks);
        if self.in_transaction {
            heard.push(plain("a notification inside a transaction"));
        }
        self.notified.push(notification);
    }

    fn lost(&mut self, error: &io::Error) -> Reply {
        self.over = true;
        let silent = matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
        );
        plain(if silent { "silence" } else { "closed" })
    }

    /// Which replies are due no more.
    fn settle(&mut self, message: &Message) {
        let first = self.due.front().copied();
        match message.tag {
            b'E' => {
                self.copying = false;
                if !matches!(first, Some(Due::Sync | Due::Query)) {
                    while self.due.front().is_some_and(|due| *due != Due::Sync) {
                        self.pop();
                    }
                    self.skipping = self.due.is_empty();
                }
            }
            b'Z' => {
                self.in_transaction = message.body != b"I";
                self.ended_ahead = 0;
                self.pop();
            }
            b'1' | b'2' | b'3' | b's' => self.pop(),
            b'C' | b'I' if first == Some(Due::Execute) => self.pop(),
            b'T' | b'n' if first == Some(Due::Describe) => self.pop(),
            b'G' | b'W' => {
                if self.ended_ahead > 0 {
                    self.ended_ahead -= 1;
                } else {
                    self.copying = true;
                }
            }
            _ => {}
        }
    }

    fn pop(&mut self) {
        self.due.pop_front();
        self.flushed = self.flushed.saturating_sub(1);
    }

    /// Whether another script can go on with this client.
    pub fn is_usable(&self) -> bool {
        !self.over && self.due.is_empty() && !self.skipping && !self.in_transaction
    }

    /// Says goodbye, or closes without a word.
    pub fn end(mut self, politely: bool) {
        if politely {
            let _ = self.wire.send(&crate::support::wire::frontend::terminate());
        }
        self.wire.vanish();
    }
}

/// Something that is no message.
pub fn plain(text: &str) -> Reply {
    Reply {
        bytes: text.as_bytes().to_vec(),
        shown: format!("({text})"),
    }
}
