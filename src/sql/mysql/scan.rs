//! The pass over the tokens of a text.

use smallvec::SmallVec;

use super::body::Body;
use super::cursor::{Cursor, variable};
use super::effect::effect;
use super::lexer::{Kind, Lexer, Token};
use super::mode::Flavor;
use super::natives::is_native;
use super::touch::{Touch, Touches};
use super::verdict::{Statement, Unreturned, Verdict};
use super::words::{self, Command, Object};

/// A pass under way.
pub(super) struct Scan<'a> {
    lexer: Lexer<'a>,
    end: usize,
    statements: SmallVec<[Statement; 1]>,
    /// The statement being read; `None` before its first token.
    current: Option<Current<'a>>,
    /// Parentheses were closed that had not been opened, or a statement ended within some.
    unbalanced: bool,
    /// Statements stand where their limits are in doubt.
    doubtful: bool,
}

/// The statement being read.
struct Current<'a> {
    /// Yields the statement from its first token on.
    from: Lexer<'a>,
    /// Known once the first word is.
    command: Option<Command>,
    /// The token before.
    before: Token<'a>,
    /// The token before that one.
    earlier: Token<'a>,
    /// A dot stands before that one: it is part of a longer name.
    qualified: bool,
    /// Open parentheses.
    depth: usize,
    touches: Touches,
    /// Some word says that it does more than read.
    writes: bool,
    /// Some word says that it writes rows of tables.
    modifies: bool,
    /// What the next token decides.
    pending: Pending,
    /// Variables that follow are written: behind `INTO`.
    into: bool,
    /// The user variables mentioned.
    variables: SmallVec<[Box<str>; 2]>,
    /// The kind of object that is created or altered.
    object: Option<Object>,
    /// Follows the body of a routine.
    body: Option<Box<Body>>,
    /// Within MariaDB's `SET STATEMENT … FOR`.
    wrapped: Wrapped,
    /// Between `INSERT` or `REPLACE` and what is written: a name before a parenthesis is the table's.
    target: bool,
    /// A query stands within, whatever the command.
    queries: bool,
    /// The tables named so far are those of this.
    tables: Tables,
    /// `UPDATE` or `DELETE` joins tables.
    joins: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pending {
    Nothing,
    /// Behind `INSERT` or `REPLACE`: a function if a parenthesis follows.
    Writes,
    /// Behind `LAST_INSERT_ID(`.
    LastInsertId,
    /// Behind `@@`, or a scope and a dot.
    System,
}

/// Whose tables are being named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tables {
    /// Those of no statement of interest.
    Other,
    /// Of `UPDATE`, up to its `SET`.
    Update,
    Delete,
}

impl Tables {
    fn of(first: &Token<'_>) -> Self {
        if first.is_word(b"update") {
            Self::Update
        } else if first.is_word(b"delete") {
            Self::Delete
        } else {
            Self::Other
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrapped {
    No,
    /// Behind `SET STATEMENT`.
    Settings,
    /// Behind its `FOR`: the next token starts the statement proper.
    Ready,
}

impl<'a> Scan<'a> {
    /// Over the text before `end` only.
    pub(super) fn new(lexer: &Lexer<'a>, end: usize) -> Self {
        Self {
            lexer: lexer.until(end),
            end,
            statements: SmallVec::new(),
            current: None,
            unbalanced: false,
            doubtful: false,
        }
    }

    /// Reads the whole text.
    pub(super) fn run(mut self) -> Verdict {
        while let Some(token) = self.lexer.next() {
            self.token(token);
        }
        // The server answers a text, or a rest of it, without tokens too.
        self.finish(self.end);
        let touches = self
            .statements
            .iter()
            .fold(Touches::NONE, |touches, statement| {
                touches.union(statement.touches)
            });
        let doubt = self.lexer.doubt();
        let mut verdict = Verdict {
            touches,
            statements: self.statements,
            complete: !doubt.incomplete && !self.unbalanced,
        };
        if doubt.ambiguous || self.doubtful || !verdict.complete {
            verdict.doubt();
        }
        verdict
    }

    #[inline]
    fn token(&mut self, token: Token<'a>) {
        let Some(current) = &mut self.current else {
            if token.kind == Kind::Semicolon {
                self.statements.push(Statement::default());
            } else {
                self.current = Some(Current::new(token, &self.lexer));
            }
            return;
        };
        if current.wrapped == Wrapped::Ready {
            current.unwrap(token, &self.lexer);
            return;
        }
        if current.pending != Pending::Nothing {
            current.decide(&token);
        }
        if let Some(body) = &mut current.body {
            body.token(&token, &current.before, current.depth);
        }
        let qualified = current.before.kind == Kind::Dot;
        match token.kind {
            Kind::Semicolon => {
                let outside = current.body.as_ref().is_none_or(|body| body.is_outside());
                if current.depth == 0 && outside {
                    self.finish(token.start);
                    return;
                }
                self.unbalanced |= outside;
                self.doubtful |= current.body.as_ref().is_some_and(|body| body.lost);
            }
            Kind::Open => {
                current.called();
                current.depth += 1;
            }
            Kind::Close => match current.depth.checked_sub(1) {
                Some(depth) => current.depth = depth,
                None => self.unbalanced = true,
            },
            Kind::Word if !qualified => current.word(&token),
            Kind::Variable => current.variable(&token),
            Kind::System => current.pending = Pending::System,
            Kind::Assign => current.assigned(),
            Kind::Comma if current.depth == 0 => current.joins |= current.tables == Tables::Update,
            _ => {}
        }
        current.qualified = qualified;
        current.earlier = std::mem::replace(&mut current.before, token);
    }

    /// Ends the current statement, or one of which there is nothing, at this place in the text.
    fn finish(&mut self, end: usize) {
        let Some(current) = self.current.take() else {
            self.statements.push(Statement::default());
            return;
        };
        self.unbalanced |= current.depth != 0;
        if let Some(body) = &current.body {
            self.unbalanced |= !body.is_closed();
            // Whether a text goes on behind a body, and where, is not left to our count.
            let more = end < self.end;
            self.doubtful |= more && body.is_behind();
        }
        let (statement, doubtful) = current.statement(end);
        self.doubtful |= doubtful;
        self.statements.push(statement);
    }
}

impl<'a> Current<'a> {
    fn new(first: Token<'a>, lexer: &Lexer<'a>) -> Self {
        Self {
            from: lexer.back_to(&first),
            command: first_command(&first),
            before: first,
            earlier: first,
            qualified: false,
            depth: usize::from(first.kind == Kind::Open),
            touches: Touches::NONE,
            writes: false,
            modifies: false,
            pending: Pending::Nothing,
            into: false,
            variables: SmallVec::new(),
            object: None,
            body: None,
            wrapped: Wrapped::No,
            target: first.is_word(b"insert") || first.is_word(b"replace"),
            queries: false,
            tables: Tables::of(&first),
            joins: false,
        }
    }

    /// The statement within `SET STATEMENT … FOR` starts. What was read so far still counts.
    fn unwrap(&mut self, first: Token<'a>, lexer: &Lexer<'a>) {
        let inner = Self::new(first, lexer);
        *self = Self {
            touches: self.touches.with(Touch::SetStatement),
            variables: std::mem::take(&mut self.variables),
            writes: self.writes,
            modifies: self.modifies,
            ..inner
        };
    }

    /// What waited for this token.
    fn decide(&mut self, token: &Token<'a>) {
        match std::mem::replace(&mut self.pending, Pending::Nothing) {
            Pending::Writes => self.modifies |= token.kind != Kind::Open,
            Pending::LastInsertId => self.touches.insert(if token.kind == Kind::Close {
                Touch::LastInsertIdRead
            } else {
                Touch::LastInsertIdWrite
            }),
            Pending::System => match token.kind {
                Kind::Word if words::is_scope(token.bytes) => self.pending = Pending::System,
                Kind::Dot => self.pending = Pending::System,
                Kind::Word => self.touches.extend(words::system_variable(token.bytes)),
                Kind::Quoted => {
                    let name = super::cursor::name(token);
                    let name = name.as_deref().unwrap_or_default();
                    self.touches.extend(words::system_variable(name.as_bytes()));
                }
                _ => {}
            },
            Pending::Nothing => {}
        }
    }

    /// An opening parenthesis: looks at what is called, if anything.
    #[inline]
    fn called(&mut self) {
        let name = match self.before.kind {
            Kind::Word => self.before.bytes,
            // Names of interest have no quotes within.
            Kind::Quoted => {
                let inner = self.before.bytes.get(1..).unwrap_or_default();
                inner.split_last().map_or(inner, |(_, name)| name)
            }
            _ => return,
        };
        let known = if self.qualified {
            Touches::NONE
        } else {
            words::function(name)
        };
        let plain = self.before.kind == Kind::Word && !self.qualified;
        let native = plain && is_native(name, self.from.mode().flavor);
        let named = || {
            NAME_FOLLOWS
                .into_iter()
                .any(|word| self.earlier.is_word(word))
        };
        if !native && known.is_empty() && !self.target && !named() {
            self.touches.insert(Touch::Function);
        }
        if self.qualified {
            return;
        }
        if words::is_last_insert_id(name) {
            self.pending = Pending::LastInsertId;
        } else {
            self.touches.extend(known);
        }
    }

    /// An unquoted word after the first token that is not part of a longer name.
    #[inline]
    fn word(&mut self, token: &Token<'_>) {
        match self.command {
            None => self.parenthesised(token),
            Some(Command::Create | Command::Alter) => self.created(token),
            Some(Command::Set) => self.set_word(token),
            _ => {}
        }
        if self.tables != Tables::Other && self.depth == 0 {
            self.join(token);
        }
        // Length and first letter leave few candidates.
        let first = token.bytes.first().map_or(0, |first| first | 0x20);
        self.target &= !is_source(token, first);
        match (token.bytes.len(), first) {
            (6, b's') => self.queries |= token.is_word(b"select"),
            (4, b'i') if token.is_word(b"into") => self.into(),
            (5, b's') if token.is_word(b"share") => {
                self.writes |= self.after(b"for") || self.after(b"in");
            }
            (5, b'v') if token.is_word(b"value") => {
                if self.after(b"next") {
                    self.touches.insert(Touch::Sequence);
                } else if self.after(b"previous") {
                    self.touches.insert(Touch::SequenceRead);
                }
            }
            (6, b'i') if token.is_word(b"insert") => self.pending = Pending::Writes,
            (7, b'r') if token.is_word(b"replace") => self.pending = Pending::Writes,
            (6, b'u') if token.is_word(b"update") => {
                self.writes = true;
                self.modifies |= !self.after(b"for");
            }
            (6, b'd') => self.modifies |= token.is_word(b"delete"),
            (19, b's') if token.is_word(b"sql_calc_found_rows") => {
                self.touches.insert(Touch::CalcFoundRows);
            }
            _ => {}
        }
    }

    /// Whether a word tells that tables are joined. `DELETE` joins wherever it names tables before `FROM`.
    fn join(&mut self, token: &Token<'_>) {
        const NO_TABLE: [&[u8]; 4] = [b"delete", b"low_priority", b"quick", b"ignore"];
        if token.is_word(b"set") {
            self.tables = Tables::Other;
        } else if token.is_word(b"join") || token.is_word(b"using") {
            self.joins = true;
        } else if token.is_word(b"from") {
            self.joins |= !NO_TABLE.into_iter().any(|word| self.after(word));
        }
    }

    fn after(&self, word: &[u8]) -> bool {
        self.before.is_word(word)
    }

    /// The first word after opening parentheses: only a query can stand in them.
    fn parenthesised(&mut self, token: &Token<'_>) {
        let command = match words::command(token.bytes) {
            Command::Read => Command::Read,
            _ => Command::Unknown,
        };
        self.command = Some(command);
    }

    /// `CREATE … {PROCEDURE | FUNCTION | TRIGGER | EVENT}`, but not as the name of some other object.
    fn created(&mut self, token: &Token<'_>) {
        if self.object.is_some() || self.depth > 0 || self.before.kind == Kind::Equals {
            return;
        }
        self.object = words::object(token.bytes);
        if self.object == Some(Object::Routine) {
            self.body = Some(Box::default());
        }
    }

    fn set_word(&mut self, token: &Token<'_>) {
        match self.wrapped {
            Wrapped::No if token.is_word(b"statement") && self.after(b"set") => {
                self.wrapped = Wrapped::Settings;
            }
            Wrapped::Settings if self.depth == 0 && token.is_word(b"for") => {
                self.wrapped = Wrapped::Ready;
            }
            _ => {}
        }
    }

    /// `INTO` of a query, not of `INSERT` or `LOAD`, which name a table there.
    fn into(&mut self) {
        const TABLE_FOLLOWS: [&[u8]; 6] = [
            b"insert",
            b"replace",
            b"ignore",
            b"low_priority",
            b"high_priority",
            b"delayed",
        ];
        if !TABLE_FOLLOWS.into_iter().any(|word| self.after(word)) {
            self.writes = true;
            self.into = true;
        }
    }

    fn assigned(&mut self) {
        if self.before.kind == Kind::Variable && self.command != Some(Command::Set) {
            self.touches.insert(Touch::UserVariableUnknown);
        }
    }

    /// A user variable, or the host of an account, which is taken for one unless quotes tell.
    fn variable(&mut self, token: &Token<'_>) {
        if matches!(self.before.kind, Kind::String | Kind::Quoted) {
            return;
        }
        let written = self.into || matches!(self.command, Some(Command::Load | Command::Call));
        self.touches.insert(if written {
            Touch::UserVariableUnknown
        } else {
            Touch::UserVariableRead
        });
        match variable(token, self.from.mode()) {
            Some(name) if !self.variables.contains(&name) => self.variables.push(name),
            Some(_) => {}
            // Which one it is cannot be told: as good as any.
            None => self.touches.insert(Touch::UserVariableUnknown),
        }
    }

    /// The verdict on the statement, which ends at `end`, and whether where it ends is in doubt.
    fn statement(mut self, end: usize) -> (Statement, bool) {
        let command = self.command.unwrap_or(Command::Unknown);
        if self.wrapped != Wrapped::No {
            self.touches.insert(Touch::Unknown);
        }
        if self.object == Some(Object::Routine) {
            // Its body is stored, not run.
            self.touches = Touches::NONE;
            self.variables.clear();
        }
        if !evaluates(command, self.queries) {
            self.touches = self.touches.without(Touch::Function);
        }
        if self.modifies && matches!(command, Command::Read | Command::Analyze) {
            self.touches.insert(Touch::TableWrite);
        }
        if command == Command::Set {
            // It tells itself which variables it reads and writes.
            self.touches = self
                .touches
                .without(Touch::UserVariableRead)
                .without(Touch::UserVariableUnknown);
        }
        let from = &self.from;
        let effect = effect(command, || Cursor::new(from.until(end)), self.touches);
        let touches = self.touches.union(effect.touches);
        let harmless = HARMLESS.contains_all(touches);
        let statement = Statement {
            touches,
            control: effect.control,
            detail: effect.detail,
            variables: self.variables.into_vec().into(),
            read_only_candidate: effect.reads && !self.writes && !self.modifies && harmless,
            many_replies: effect.many_replies,
            unreturned: counts_unseen(
                command,
                self.queries || self.joins,
                self.into,
                from.mode().flavor,
            ),
            counts: match command {
                Command::Read | Command::Call | Command::Execute | Command::Unknown => true,
                Command::Show => effect.counts,
                // Of a table: its columns are queried for.
                Command::Explain => !self.queries && !self.modifies,
                _ => false,
            },
        };
        (statement, effect.doubtful)
    }
}

/// What comes behind these is a name with columns in parentheses, not a call.
const NAME_FOLLOWS: [&[u8]; 7] = [
    b"as",
    b"with",
    b"recursive",
    b"into",
    b"table",
    b"from",
    b"join",
];

/// Whether a word behind `INSERT` tells that the table has been named.
#[inline]
fn is_source(token: &Token<'_>, first: u8) -> bool {
    match first {
        b'v' => token.is_word(b"values") || token.is_word(b"value"),
        b's' => token.is_word(b"select") || token.is_word(b"set"),
        b'w' => token.is_word(b"with"),
        b't' => token.is_word(b"table"),
        b'o' => token.is_word(b"on"),
        _ => false,
    }
}

/// Whether a statement with this command evaluates the functions that it names. `queries`: a query
/// stands within.
const fn evaluates(command: Command, queries: bool) -> bool {
    match command {
        Command::Create | Command::Alter => queries,
        Command::Read
        | Command::Do
        | Command::Set
        | Command::Write
        | Command::Load
        | Command::Show
        | Command::Handler
        | Command::Explain
        | Command::Analyze
        | Command::Unknown => true,
        _ => false,
    }
}

/// Whether servers may count rows of a statement with this command that it does not return. `queries`: a query, or a
/// join, stands within; `into`: its rows go elsewhere.
const fn counts_unseen(command: Command, queries: bool, into: bool, flavor: Flavor) -> Unreturned {
    let counts = match command {
        Command::Read => into,
        Command::Call | Command::Execute => true,
        Command::Create | Command::Set => queries,
        Command::Load | Command::Explain | Command::Analyze | Command::Show => false,
        _ => queries || into,
    };
    match (counts, command, flavor) {
        (false, ..) => Unreturned::Uncounted,
        // MySQL counts these, and tells of it as if the next write had found them (observed with version 9.7).
        (true, Command::Create | Command::Set, Flavor::MySql) => Unreturned::CountedLater,
        (true, ..) => Unreturned::Counted,
    }
}

/// Touches that a query may have and still be answered anywhere.
const HARMLESS: Touches = Touches::of(Touch::UserVariableRead)
    .with(Touch::SetStatement)
    .with(Touch::Function);

fn first_command(first: &Token<'_>) -> Option<Command> {
    match first.kind {
        Kind::Word => Some(words::command(first.bytes)),
        Kind::Open => None,
        _ => Some(Command::Unknown),
    }
}
