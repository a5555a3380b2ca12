//! A model of a PostgreSQL server process: `PostgresMain` in the server's `tcop/postgres.c`, less
//! the work.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::settings::Settings;
use super::sql::{self, Sql};
use super::wire::{self, Message};

/// One server process, logged in to.
#[derive(Clone, Debug)]
pub struct Server {
    input: Vec<u8>,
    pub out: Vec<u8>,
    named: BTreeMap<String, Prepared>,
    unnamed: Option<Prepared>,
    portals: BTreeMap<String, Open>,
    settings: Settings,
    /// The application name as last reported.
    reported: String,
    block: Block,
    /// After an error, up to Sync.
    skipping: bool,
    copy: Option<Copy>,
    /// It has ended the connection.
    dead: bool,
}

type Prepared = Sql;

#[derive(Clone, Debug)]
struct Open {
    sql: Sql,
    done: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    None,
    Open,
    Failed,
}

/// COPY FROM STDIN is under way.
#[derive(Clone, Debug)]
enum Copy {
    Extended,
    /// What follows in the query.
    Simple(Vec<Sql>),
}

struct Failure(&'static str, String);

type Done = Result<(), Failure>;

fn fail<T>(code: &'static str, text: impl Into<String>) -> Result<T, Failure> {
    Err(Failure(code, text.into()))
}

impl Server {
    pub fn new(startup: &[(String, String)]) -> Self {
        let settings = Settings::new(startup);
        Self {
            input: Vec::new(),
            out: Vec::new(),
            named: BTreeMap::new(),
            unnamed: None,
            portals: BTreeMap::new(),
            reported: settings.value("application_name").to_owned(),
            settings,
            block: Block::None,
            skipping: false,
            copy: None,
            dead: false,
        }
    }

    /// True if it waits for a request, outside any transaction.
    pub fn is_quiet(&self) -> bool {
        self.portals.is_empty()
            && self.block == Block::None
            && !self.skipping
            && self.copy.is_none()
    }

    /// The beginning of a message.
    pub fn unread(&self) -> &[u8] {
        &self.input
    }

    pub fn is_copying(&self) -> bool {
        self.copy.is_some()
    }

    /// Named statements.
    pub fn prepared(&self) -> usize {
        self.named.len()
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        for message in wire::take(&mut self.input) {
            if !self.dead {
                self.message(&message);
            }
        }
    }

    fn message(&mut self, message: &Message) {
        if self.copy.is_some() {
            return self.copying(message);
        }
        match message.kind {
            b'S' => {
                self.skipping = false;
                self.end_implicit();
                self.ready();
            }
            _ if self.skipping => {}
            b'Q' => self.query(message),
            b'F' => {
                let result = self.call();
                if let Err(failure) = result {
                    self.error(&failure);
                }
                self.end_implicit();
                self.ready();
            }
            b'd' | b'c' | b'f' | b'H' => {}
            _ => {
                let result = match message.kind {
                    b'P' => self.parse(message),
                    b'B' => self.bind(message),
                    b'D' => self.describe(message),
                    b'C' => self.close(message),
                    b'E' => self.execute(message),
                    kind => panic!("the relay sent {}", char::from(kind)),
                };
                if let Err(failure) = result {
                    self.error(&failure);
                    self.skipping = true;
                }
            }
        }
    }

    fn parse(&mut self, message: &Message) -> Done {
        let [name, text] = message.strings(0);
        if name.is_empty() {
            self.unnamed = None;
        }
        let Ok(statements) = sql::read(&text) else {
            return fail("42601", "syntax error");
        };
        let [sql] = statements.as_slice() else {
            return fail("42601", "cannot insert multiple commands");
        };
        if *sql != Sql::Empty {
            self.refuse_failed(sql)?;
        }
        if name.is_empty() {
            self.unnamed = Some(sql.clone());
        } else {
            match self.named.entry(name) {
                Entry::Occupied(taken) => {
                    let text = format!("prepared statement \"{}\" already exists", taken.key());
                    return fail("42P05", text);
                }
                Entry::Vacant(free) => {
                    free.insert(sql.clone());
                }
            }
        }
        self.reply(b'1', "");
        Ok(())
    }

    fn bind(&mut self, message: &Message) -> Done {
        let [portal, name] = message.strings(0);
        let sql = self.statement(&name)?;
        self.refuse_failed(&sql)?;
        if message.body.windows(4).any(|bytes| bytes == b"fail") {
            return fail("22P02", "invalid input syntax");
        }
        if !portal.is_empty() && self.portals.contains_key(&portal) {
            return fail("42P03", "the cursor exists");
        }
        self.portals.insert(portal, Open { sql, done: 0 });
        self.reply(b'2', "");
        Ok(())
    }

    fn statement(&self, name: &str) -> Result<Sql, Failure> {
        let statement = if name.is_empty() {
            self.unnamed.clone()
        } else {
            self.named.get(name).cloned()
        };
        let text = || format!("prepared statement \"{name}\" does not exist");
        statement.map_or_else(|| fail("26000", text()), Ok)
    }

    fn portal(&self, name: &str) -> Result<Open, Failure> {
        let text = || format!("portal \"{name}\" does not exist");
        let portal = self.portals.get(name).cloned();
        portal.map_or_else(|| fail("34000", text()), Ok)
    }

    fn describe(&mut self, message: &Message) -> Done {
        let [name] = message.strings(1);
        let is_statement = message.body.first() == Some(&b'S');
        let sql = if is_statement {
            self.statement(&name)?
        } else {
            self.portal(&name)?.sql
        };
        let sql = match &sql {
            Sql::Execute(name) => self.statement(name).unwrap_or(sql),
            _ => sql,
        };
        if sql.has_rows() {
            self.refuse_failed(&sql)?;
        }
        if is_statement {
            self.reply(b't', "\0\0");
        }
        self.describe_rows(&sql);
        Ok(())
    }

    fn describe_rows(&mut self, sql: &Sql) {
        if *sql == Sql::Select("wide".into()) {
            self.reply(b'T', [b'x'; 70_000]);
        } else if sql.has_rows() {
            self.reply(b'T', "\0\x01value\0");
        } else {
            self.reply(b'n', "");
        }
    }

    fn close(&mut self, message: &Message) -> Done {
        let [name] = message.strings(1);
        match (message.body.first(), name.is_empty()) {
            (Some(b'P'), _) => drop(self.portals.remove(&name)),
            (_, true) => self.unnamed = None,
            (_, false) => drop(self.named.remove(&name)),
        }
        self.reply(b'3', "");
        Ok(())
    }

    fn execute(&mut self, message: &Message) -> Done {
        let [name] = message.strings(0);
        let limited = message.body.ends_with(&[1]);
        let portal = self.portal(&name)?;
        self.refuse_failed(&portal.sql)?;
        match &portal.sql {
            Sql::Rows => {
                let until = if limited { portal.done + 1 } else { 3 };
                for row in portal.done..until.min(3) {
                    self.row(&row.to_string());
                }
                if limited && portal.done < 3 {
                    self.reply(b's', "");
                } else {
                    self.complete("SELECT");
                }
                if let Some(open) = self.portals.get_mut(&name) {
                    open.done = until.min(3);
                }
            }
            Sql::CopyIn if portal.done == 0 => {
                if let Some(open) = self.portals.get_mut(&name) {
                    open.done = 1;
                }
                self.copy = Some(Copy::Extended);
                self.reply(b'G', "\0\0\0");
            }
            _ if portal.done > 0 => return fail("55000", "the portal cannot be run"),
            sql => {
                if let Some(open) = self.portals.get_mut(&name) {
                    open.done = 1;
                }
                self.run(sql)?;
            }
        }
        Ok(())
    }

    fn query(&mut self, message: &Message) {
        self.unnamed = None;
        let [text] = message.strings(0);
        match sql::read(&text) {
            Ok(statements) => self.queries(statements),
            Err(sql::Nonsense) => self.query_failed(&Failure("42601", "syntax error".into())),
        }
    }

    /// Runs statements of a simple query until one needs data of the client.
    fn queries(&mut self, statements: Vec<Sql>) {
        let mut rest = statements.into_iter();
        while let Some(sql) = rest.next() {
            if let Err(failure) = self.simple(&sql) {
                return self.query_failed(&failure);
            }
            if sql == Sql::CopyIn {
                self.copy = Some(Copy::Simple(rest.collect()));
                return self.reply(b'G', "\0\0\0");
            }
        }
        self.end_implicit();
        self.ready();
    }

    fn simple(&mut self, sql: &Sql) -> Done {
        if *sql != Sql::Empty {
            self.refuse_failed(sql)?;
        }
        match sql {
            Sql::CopyIn => Ok(()),
            Sql::Rows => {
                self.describe_rows(sql);
                for row in 0..3 {
                    self.row(&row.to_string());
                }
                self.complete("SELECT");
                Ok(())
            }
            Sql::Execute(name) => {
                let sql = self.statement(name)?;
                // The real one refuses to execute these by name.
                if matches!(sql, Sql::Set { .. } | Sql::Divide) || sql.has_rows() {
                    return self.simple(&sql);
                }
                fail("42601", "cannot be executed by name")
            }
            _ => {
                if sql.has_rows() {
                    self.describe_rows(sql);
                }
                self.run(sql)
            }
        }
    }

    fn query_failed(&mut self, failure: &Failure) {
        self.error(failure);
        self.ready();
    }

    /// Everything that is the same in both protocols.
    fn run(&mut self, sql: &Sql) -> Done {
        match sql {
            Sql::Empty => {
                self.reply(b'I', "");
                return Ok(());
            }
            Sql::Select(value) => {
                self.row(value);
                self.complete("SELECT");
            }
            Sql::Divide => return fail("22012", "division by zero"),
            Sql::Begin => {
                self.block = Block::Open;
                self.complete("BEGIN");
            }
            Sql::Commit | Sql::Rollback => self.end_block(*sql == Sql::Commit),
            Sql::Savepoint(_) | Sql::RollbackTo(_) if self.block == Block::None => {
                return fail("25P01", "only in transaction blocks");
            }
            Sql::Savepoint(name) => {
                self.settings.savepoint(name);
                self.complete("SAVEPOINT");
            }
            Sql::RollbackTo(name) => {
                if !self.settings.roll_back_to(name) {
                    return fail("3B001", "savepoint does not exist");
                }
                self.block = Block::Open;
                self.portals.clear();
                self.complete("ROLLBACK");
            }
            Sql::CopyOut => self.copy_out(),
            Sql::Set { name, value, local } => {
                self.settings.set(name, value.as_deref(), *local);
                self.complete(if value.is_some() { "SET" } else { "RESET" });
            }
            Sql::SetConfig(pairs) => {
                for (name, value) in pairs {
                    self.settings.set(name, Some(value), false);
                }
                self.complete("SELECT 1");
            }
            Sql::Deallocate(name) => {
                self.statement(name)?;
                self.named.remove(name);
                self.complete("DEALLOCATE");
            }
            Sql::DeallocateAll => {
                self.named.clear();
                self.complete("DEALLOCATE ALL");
            }
            Sql::DiscardAll if self.block != Block::None => {
                return fail("25001", "cannot run inside a transaction block");
            }
            Sql::DiscardAll => {
                self.named.clear();
                self.unnamed = None;
                self.portals.clear();
                self.settings.discard();
                self.complete("DISCARD ALL");
            }
            Sql::Prepare(name, value) => return self.prepare(name, value),
            Sql::Execute(name) => return self.execute_by_name(name),
            Sql::Rows | Sql::CopyIn => {
                return fail("0A000", "not in this protocol");
            }
        }
        Ok(())
    }

    fn prepare(&mut self, name: &str, value: &str) -> Done {
        if self.named.contains_key(name) {
            let text = format!("prepared statement \"{name}\" already exists");
            return fail("42P05", text);
        }
        self.named.insert(name.into(), Sql::Select(value.into()));
        self.complete("PREPARE");
        Ok(())
    }

    fn execute_by_name(&mut self, name: &str) -> Done {
        let sql = self.statement(name)?;
        if matches!(sql, Sql::Set { .. } | Sql::Divide | Sql::Select(_)) {
            return self.run(&sql);
        }
        fail("42601", "cannot be executed by name")
    }

    fn copy_out(&mut self) {
        self.reply(b'H', "\0\0\0");
        self.reply(b'd', "1\n");
        self.reply(b'c', "");
        self.complete("COPY 1");
    }

    fn end_block(&mut self, commit: bool) {
        let commit = commit && self.block != Block::Failed;
        self.block = Block::None;
        self.portals.clear();
        if commit {
            self.settings.commit();
        } else {
            self.settings.roll_back();
        }
        self.complete(if commit { "COMMIT" } else { "ROLLBACK" });
    }

    fn call(&mut self) -> Done {
        if self.block == Block::Failed {
            return fail("25P02", "current transaction is aborted");
        }
        self.reply(b'V', "\0\0\0\0");
        Ok(())
    }

    /// Reads what comes while COPY FROM STDIN runs (`CopyGetData`).
    fn copying(&mut self, message: &Message) {
        match message.kind {
            b'd' if message.body.starts_with(b"bad") => self.copy_failed("22P04"),
            b'd' | b'H' | b'S' => {}
            b'f' => self.copy_failed("57014"),
            b'c' => {
                self.complete("COPY 1");
                if let Some(Copy::Simple(rest)) = self.copy.take() {
                    self.queries(rest);
                }
            }
            kind => {
                self.copy = None;
                self.dead = true;
                let text = format!("M{} during COPY", char::from(kind));
                let mut body = wire::strings(&["SFATAL", "VFATAL", "C08P01", &text]);
                body.push(0);
                self.reply(b'E', body);
            }
        }
    }

    fn copy_failed(&mut self, code: &'static str) {
        let failure = Failure(code, "COPY failed".into());
        match self.copy.take() {
            Some(Copy::Simple(_)) => self.query_failed(&failure),
            _ => {
                self.error(&failure);
                self.skipping = true;
            }
        }
    }

    fn refuse_failed(&self, sql: &Sql) -> Done {
        if self.block == Block::Failed && !sql.is_exit() {
            return fail("25P02", "current transaction is aborted");
        }
        Ok(())
    }

    fn end_implicit(&mut self) {
        if self.block == Block::None {
            self.settings.commit();
            self.portals.clear();
        }
    }

    fn error(&mut self, failure: &Failure) {
        let Failure(code, text) = failure;
        let fields = ["SERROR", "VERROR", &format!("C{code}"), &format!("M{text}")];
        let mut body = wire::strings(&fields);
        body.push(0);
        self.reply(b'E', body);
        self.portals.clear();
        if self.block == Block::None {
            self.settings.roll_back();
        } else {
            self.block = Block::Failed;
        }
    }

    /// ReadyForQuery, after what has changed of the reported settings (since PostgreSQL 14).
    fn ready(&mut self) {
        let now = self.settings.value("application_name").to_owned();
        if now != self.reported {
            self.reply(b'S', wire::strings(&["application_name", &now]));
            self.reported = now;
        }
        self.reply(
            b'Z',
            match self.block {
                Block::None => "I",
                Block::Open => "T",
                Block::Failed => "E",
            },
        );
    }

    fn row(&mut self, value: &str) {
        let settings = ["application_name", "search_path", "role"];
        let settings = settings.map(|name| self.settings.value(name).to_owned());
        self.reply(b'D', format!("{value} {settings:?}"));
    }

    fn complete(&mut self, tag: &str) {
        self.reply(b'C', wire::strings(&[tag]));
    }

    fn reply(&mut self, kind: u8, body: impl Into<Vec<u8>>) {
        Message::new(kind, body).write(&mut self.out);
    }
}
