//! The pass over the tokens of a text under one reading of backslashes.

use smallvec::SmallVec;

use super::cursor::Cursor;
use super::known::is_known;
use super::words::{Command, command, function, names_temp_schema};
use super::{code, modes, set, set_config, utility};
use crate::sql::lexer::{Doubt, Kind, Lexer, Quoting, Token};
use crate::sql::statement::{Detail, Statement, TransactionControl, Verdict};
use crate::sql::touches::{Touch, Touches};

/// A pass under way.
pub(super) struct Scan<'a> {
    text: &'a [u8],
    lexer: Lexer<'a>,
    quoting: Quoting,
    statements: SmallVec<[Statement; 1]>,
    /// Where each of them ends.
    ends: SmallVec<[usize; 4]>,
    /// The statement being read; `None` before its first token.
    current: Option<Current<'a>>,
    /// Parentheses were closed that had not been opened, or a statement ended within some.
    unbalanced: bool,
    /// Some statement may run code of users.
    may_call: bool,
    /// Some statement may change objects that live on.
    alters: bool,
}

/// The statement being read.
struct Current<'a> {
    /// Where its first token starts.
    start: usize,
    /// Known once the first word is.
    command: Option<Command>,
    /// The token before.
    before: Token<'a>,
    /// Open parentheses.
    depth: usize,
    touches: Touches,
    /// Some word says that it does more than read.
    writes: bool,
    /// Its first word is one of a command about objects.
    defines: bool,
    /// The last `INTO` was not that of `INSERT` or `MERGE`, which name a table there.
    selects_into: bool,
    /// It calls `set_config`.
    sets_config: bool,
    /// It calls something that is not known.
    calls: bool,
    body: Body,
}

/// Where we are with regard to `BEGIN ATOMIC … END`, the body of a routine, whose statements end in
/// semicolons of their own (<https://www.postgresql.org/docs/current/sql-createfunction.html>).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    /// No routine is created.
    None,
    /// A routine is created; a body may come.
    Expected,
    /// Within the body, at the start of a statement; `END` here closes it.
    Boundary,
    /// Within a statement of the body.
    Inside,
    /// Behind the body.
    Closed,
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a [u8], quoting: Quoting) -> Self {
        let lexer = Lexer::new(text, quoting);
        Self {
            text,
            lexer,
            quoting,
            statements: SmallVec::new(),
            ends: SmallVec::new(),
            current: None,
            unbalanced: false,
            may_call: false,
            alters: false,
        }
    }

    /// Reads the whole text.
    pub(super) fn run(mut self) -> (Verdict, Doubt) {
        while let Some(token) = self.lexer.next() {
            self.token(token);
        }
        self.finish(self.text.len());
        let doubt = self.lexer.doubt();
        let touches = self
            .statements
            .iter()
            .fold(Touches::NONE, |touches, statement| {
                touches.union(statement.touches)
            });
        let complete = !doubt.incomplete && !self.unbalanced;
        let mut verdict = Verdict {
            touches,
            statements: self.statements,
            complete,
            may_call: self.may_call,
            alters: self.alters,
        };
        if doubt.ambiguous || !complete {
            verdict.doubt();
        }
        (verdict, doubt)
    }

    /// Reads the whole text for where its statements end.
    pub(super) fn ends(mut self) -> SmallVec<[usize; 4]> {
        while let Some(token) = self.lexer.next() {
            self.token(token);
        }
        self.finish(self.text.len());
        self.ends
    }

    #[inline]
    fn token(&mut self, token: Token<'a>) {
        let Some(current) = &mut self.current else {
            if token.kind != Kind::Semicolon {
                self.current = Some(Current::new(token));
            }
            return;
        };
        match token.kind {
            Kind::Semicolon => match (current.depth, current.body) {
                (0, Body::Boundary | Body::Inside) => current.body = Body::Boundary,
                (0, _) => {
                    self.finish(token.start);
                    return;
                }
                // The actions of CREATE RULE.
                _ => {}
            },
            Kind::Open => {
                current.inside();
                current.called();
                current.depth += 1;
            }
            Kind::Close => match current.depth.checked_sub(1) {
                Some(depth) => current.depth = depth,
                None => self.unbalanced = true,
            },
            Kind::Word => current.word(&token),
            Kind::QuotedIdentifier => current.quoted(&token),
            _ => current.inside(),
        }
        current.before = token;
    }

    /// Ends the current statement, if any, at this place in the text.
    fn finish(&mut self, end: usize) {
        let Some(current) = self.current.take() else {
            return;
        };
        self.unbalanced |= current.depth != 0;
        self.unbalanced |= matches!(current.body, Body::Boundary | Body::Inside);
        let text = self.text.get(current.start..end).unwrap_or_default();
        self.may_call |= current.may_call();
        self.alters |= current.alters();
        self.statements.push(current.statement(text, self.quoting));
        self.ends.push(end);
    }
}

impl<'a> Current<'a> {
    fn new(first: Token<'a>) -> Self {
        let command = match first.kind {
            Kind::Word => Some(command(first.bytes)),
            Kind::Open => None,
            _ => Some(Command::Unknown),
        };
        Self {
            start: first.start,
            command,
            before: first,
            depth: usize::from(first.kind == Kind::Open),
            touches: Touches::NONE,
            writes: false,
            defines: DEFINES.iter().any(|word| first.is_word(word)),
            selects_into: false,
            sets_config: false,
            calls: false,
            body: Body::None,
        }
    }

    /// An opening parenthesis: looks at what is called, if anything.
    #[inline]
    fn called(&mut self) {
        let name = match self.before.kind {
            Kind::Word => self.before.bytes,
            Kind::QuotedIdentifier => unquoted(&self.before),
            _ => return,
        };
        if name.eq_ignore_ascii_case(b"set_config") {
            self.sets_config = true;
        } else {
            self.touches.extend(function(name));
            self.calls = self.calls || !is_known(name);
        }
    }

    /// Whether it may change functions, views and other objects that live on.
    fn alters(&self) -> bool {
        let made = self.defines && !self.touches.contains(Touch::TempObject);
        made || matches!(self.command, Some(Command::Code | Command::Unknown))
    }

    /// Whether it may run code of users: what it calls, and triggers of what it writes.
    fn may_call(&self) -> bool {
        self.calls
            || self.writes
            || matches!(
                self.command,
                None | Some(
                    Command::Plain
                        | Command::Code
                        | Command::Execute
                        | Command::Create
                        | Command::Copy
                        | Command::Unknown
                )
            )
    }

    fn quoted(&mut self, token: &Token<'_>) {
        if names_temp_schema(unquoted(token)) {
            self.touches.insert(Touch::TempObject);
        }
        self.inside();
    }

    /// A token that is neither semicolon nor `END` starts the next statement of a routine's body.
    fn inside(&mut self) {
        if self.body == Body::Boundary {
            self.body = Body::Inside;
        }
    }

    /// An unquoted word after the first token.
    #[inline]
    fn word(&mut self, token: &Token<'_>) {
        if self.command.is_none() {
            self.parenthesised(token);
        }
        if self.body != Body::None {
            self.routine_word(token);
        }
        // Length and first letter leave few candidates.
        let first = token.bytes.first().map_or(0, |first| first | 0x20);
        match (token.bytes.len(), first) {
            (2, b'n') => self.writes |= token.is_word(b"no") && self.after(b"for"),
            (3, b'k') => self.writes |= token.is_word(b"key") && self.after(b"for"),
            (5, b's') => self.writes |= token.is_word(b"share") && self.after(b"for"),
            (4, b'i') if token.is_word(b"into") => {
                self.writes = true;
                self.selects_into = !self.after(b"insert") && !self.after(b"merge");
            }
            (5, b'm') => self.writes |= token.is_word(b"merge"),
            (6, b'i') => self.writes |= token.is_word(b"insert"),
            (6, b'u') => self.writes |= token.is_word(b"update"),
            (6, b'd') => self.writes |= token.is_word(b"delete"),
            (4, b't') => self.temporary(token, b"temp"),
            (9, b't') => self.temporary(token, b"temporary"),
            (7, b'e') => self.execute(token),
            (8, b'f') => self.routine(token, b"function"),
            (9, b'p') => self.routine(token, b"procedure"),
            _ => {}
        }
        if first == b'p' && names_temp_schema(token.bytes) {
            self.touches.insert(Touch::TempObject);
        }
    }

    fn after(&self, word: &[u8]) -> bool {
        self.before.is_word(word)
    }

    /// The first word after opening parentheses: only a query can stand in them.
    fn parenthesised(&mut self, token: &Token<'_>) {
        let command = match command(token.bytes) {
            command @ (Command::Select | Command::Read) => command,
            _ => Command::Unknown,
        };
        self.command = Some(command);
    }

    /// `CREATE TEMP …` and `SELECT … INTO TEMP …`; anywhere else the word is a name.
    fn temporary(&mut self, token: &Token<'_>, word: &[u8]) {
        let before: [&[u8]; 4] = [b"create", b"replace", b"local", b"global"];
        let made = before.iter().any(|before| self.after(before))
            || self.selects_into && self.after(b"into");
        if made && token.is_word(word) {
            self.touches.insert(Touch::TempObject);
        }
    }

    /// `EXPLAIN ANALYZE EXECUTE …` and `CREATE TABLE … AS EXECUTE …`.
    fn execute(&mut self, token: &Token<'_>) {
        let runs = match self.command {
            Some(Command::Explain) => true,
            Some(Command::Create) => self.after(b"as"),
            _ => false,
        };
        if runs && token.is_word(b"execute") {
            self.touches.insert(Touch::SqlExecute);
        }
    }

    /// `CREATE [OR REPLACE] {FUNCTION | PROCEDURE}`
    fn routine(&mut self, token: &Token<'_>, word: &[u8]) {
        let creates = self.command == Some(Command::Create)
            && self.depth == 0
            && (self.after(b"create") || self.after(b"replace"));
        if creates && token.is_word(word) {
            self.body = Body::Expected;
        }
    }

    /// Follows `BEGIN ATOMIC statement; … END`. No statement within starts with `END`.
    fn routine_word(&mut self, token: &Token<'_>) {
        match self.body {
            Body::Expected if self.depth == 0 && self.after(b"begin") => {
                if token.is_word(b"atomic") {
                    self.body = Body::Boundary;
                }
            }
            Body::Boundary if token.is_word(b"end") => self.body = Body::Closed,
            _ => self.inside(),
        }
    }

    /// The verdict on the statement, whose bytes are `text`.
    fn statement(self, text: &[u8], quoting: Quoting) -> Statement {
        let command = self.command.unwrap_or(Command::Unknown);
        let mut touches = self.touches;
        let cursor = || Cursor::new(text, quoting);
        let mut control = TransactionControl::None;
        let mut detail = match command {
            Command::Transaction => {
                control = modes::control(cursor());
                Detail::None
            }
            Command::Prepare => {
                let (own, detail, prepares) = utility::prepare(cursor(), text);
                touches.extend(own);
                control = prepares;
                detail
            }
            _ => {
                let (own, detail) = effect(command, &cursor);
                touches.extend(own);
                if command == Command::Code {
                    touches.extend(code::hidden(text));
                }
                detail
            }
        };
        let reads = matches!(command, Command::Select | Command::Read);
        if self.sets_config {
            let select = command == Command::Select && touches.is_empty();
            let (own, changes) = set_config::calls(cursor(), select);
            touches.extend(own);
            if matches!(detail, Detail::None) {
                detail = changes;
            }
        } else if command == Command::Select
            && touches == Touches::of(Touch::AdvisoryUnlock)
            && set_config::is_unlock_all(cursor())
        {
            detail = Detail::AdvisoryUnlockAll;
        }
        let read_only_candidate = reads && !self.writes && touches.is_empty();
        Statement {
            touches,
            control,
            detail,
            read_only_candidate,
            writes: self.writes || !reads,
        }
    }
}

/// The first words of commands about objects that live on.
const DEFINES: [&[u8]; 4] = [b"create", b"alter", b"drop", b"import"];

/// What a statement touches by its own command.
fn effect<'a>(command: Command, cursor: &impl Fn() -> Cursor<'a>) -> (Touches, Detail) {
    let with = |touch, detail| (Touches::of(touch), detail);
    match command {
        Command::Set => set::set(cursor()),
        Command::Reset => set::reset(cursor()),
        Command::Discard => utility::discard(cursor()),
        Command::Declare => utility::declare(cursor()),
        Command::Execute => with(
            Touch::SqlExecute,
            Detail::SqlExecute(utility::named(cursor())),
        ),
        Command::Deallocate => with(
            Touch::Deallocate,
            Detail::Deallocate(utility::deallocate(cursor())),
        ),
        Command::Close => with(Touch::Cursor, Detail::Close(utility::close(cursor()))),
        Command::Fetch => with(Touch::Cursor, Detail::None),
        Command::Listen => with(Touch::Listen, Detail::Listen(utility::named(cursor()))),
        Command::Unlisten => with(
            Touch::Unlisten,
            Detail::Unlisten(utility::unlisten(cursor())),
        ),
        Command::Notify => with(Touch::Notify, Detail::None),
        Command::Load => with(Touch::Load, Detail::None),
        Command::Code => with(Touch::CodeBlock, Detail::None),
        Command::Copy => with(Touch::Copy, Detail::Copy(utility::copy(cursor()))),
        Command::Unknown => with(Touch::Unknown, Detail::None),
        Command::Select
        | Command::Read
        | Command::Transaction
        | Command::Prepare
        | Command::Create
        | Command::Explain
        | Command::Plain => (Touches::NONE, Detail::None),
    }
}

/// The bytes between the quotes. Names of interest have no quotes within.
fn unquoted<'a>(token: &Token<'a>) -> &'a [u8] {
    let inner = token.bytes.get(1..).unwrap_or_default();
    inner.strip_suffix(b"\"").unwrap_or(inner)
}
