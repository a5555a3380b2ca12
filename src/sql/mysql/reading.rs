//! Whether a text in the SQL of MySQL or MariaDB is provably a read.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use sqlparser::ast::{
    Expr, ObjectName, Query, SetExpr, Statement as Tree, TableFactor, Visit, Visitor,
};
use sqlparser::dialect::MySqlDialect;
use sqlparser::parser::Parser;

use super::lexer::{Kind, Lexer, Token};
use super::verdict::{Statement, TransactionControl, Verdict};
use super::{Mode, Touch, Touches, classify, cursor};
use crate::sql::reading::{
    Because, Catalogue, Code, Demand, Hint, Hints, LONGEST, Reading, Why, about,
};

/// The verdict on one text, read in this mode, by what `catalogue` says of the database; `None`: nothing is
/// known of it. Costs some tens of microseconds.
#[must_use]
pub fn reading(text: &[u8], mode: Mode, catalogue: Option<&Catalogue>) -> Reading {
    if text.len() > LONGEST {
        return Reading::primary(Why::TooLong);
    }
    let tokens = Tokens::of(text, mode);
    Reading::found(tokens.hint, demand(text, mode, &tokens, catalogue))
}

/// Whether a schema of this name is the server's own, whose tables tell about the server.
#[must_use]
pub fn is_system_schema(name: &[u8]) -> bool {
    [
        &b"information_schema"[..],
        b"mysql",
        b"performance_schema",
        b"sys",
    ]
    .iter()
    .any(|system| name.eq_ignore_ascii_case(system))
}

fn demand(
    text: &[u8],
    mode: Mode,
    tokens: &Tokens,
    catalogue: Option<&Catalogue>,
) -> Result<Demand, Because> {
    if tokens.hint == Some(Hint::Primary) {
        return Err(Why::Hint.into());
    }
    let verdict = classify(text, mode);
    if !verdict.complete || verdict.touches.contains(Touch::Unknown) {
        return Err(Why::Unparsed.into());
    }
    if tokens.is_empty() {
        return Err(Why::Empty.into());
    }
    if begins_read_only(&verdict) {
        return Ok(Demand::ReadOnlyTransaction);
    }
    if tokens.locks {
        return Err(Why::Lock.into());
    }
    for statement in &verdict.statements {
        check_statement(statement)?;
    }
    // Code in comments, and texts that the parser would read in another mode than the server does.
    let special = text.contains(&b'"') && mode.ansi_quotes
        || text.contains(&b'\\') && mode.no_backslash_escapes
        || memchr::memmem::find(text, b"/*!").is_some()
        || memchr::memmem::find(text, b"/*M!").is_some();
    if special || tokens.count > MOST_TOKENS {
        return Err(Why::Unparsed.into());
    }
    tokens.check_schemas()?;
    if tokens.system_variables {
        return Err(about(Why::ServerState, "@@"));
    }
    let catalogue = catalogue.ok_or(Why::NoCatalogue)?;
    if !tokens.only_shows {
        let text = std::str::from_utf8(text).map_err(|_| Why::Unparsed)?;
        check_tree(text, catalogue)?;
    }
    for name in &tokens.names {
        if catalogue.is_relation_unsafe(name) {
            return Err(about(Why::Relation, name));
        }
    }
    // What stored code leaves behind keeps the session where it ran, and that must be the primary.
    if verdict.touches.contains(Touch::Function) {
        return Err(Why::VolatileFunction.into());
    }
    Ok(Demand::Read)
}

/// `START TRANSACTION READ ONLY` and what only reads behind it, or `SET TRANSACTION READ ONLY` alone, which keeps the
/// session on the server that hears it until that transaction is over.
fn begins_read_only(verdict: &Verdict) -> bool {
    let Some((first, rest)) = verdict.statements.split_first() else {
        return false;
    };
    match &first.control {
        TransactionControl::SetTransaction(modes) => {
            return modes.read_only == Some(true) && rest.is_empty();
        }
        TransactionControl::Begin {
            read_only: Some(true),
            ..
        } => {}
        _ => return false,
    }
    let mut ended = false;
    for statement in rest {
        if ended {
            return false;
        }
        match &statement.control {
            TransactionControl::Commit(ending) | TransactionControl::Rollback(ending) => {
                if ending.chain == Some(true) || ending.release == Some(true) {
                    return false;
                }
                ended = true;
            }
            TransactionControl::Savepoint(_)
            | TransactionControl::RollbackTo(_)
            | TransactionControl::Release(_) => {}
            TransactionControl::None if statement.read_only_candidate => {}
            _ => return false,
        }
    }
    true
}

/// What the statement is by its command and by what it touches.
fn check_statement(statement: &Statement) -> Result<(), Why> {
    const WRITES: Touches = Touches::of(Touch::SchemaObjects)
        .with(Touch::DropDatabase)
        .with(Touch::ImplicitCommit)
        .with(Touch::Call)
        .with(Touch::Do);
    if statement.control != TransactionControl::None {
        return Err(Why::Transaction);
    }
    if statement.read_only_candidate && !statement.touches.contains(Touch::SetStatement) {
        return Ok(());
    }
    let of_a_write = Touches::of(Touch::TableWrite)
        .with(Touch::Function)
        .with(Touch::UserVariableRead);
    if of_a_write.contains_all(statement.touches) {
        return Err(Why::Write);
    }
    if statement.touches.intersects(WRITES) {
        return Err(Why::Command);
    }
    let about_server = Touches::of(Touch::ProcessList)
        .with(Touch::ConnectionId)
        .with(Touch::Server)
        .with(Touch::LastGtid)
        .with(Touch::Kill);
    if about_server.contains_all(statement.touches) {
        return Err(Why::ServerState);
    }
    Err(Why::SessionState)
}

/// What the tokens of a text show, as the session's server reads them.
struct Tokens {
    hint: Option<Hint>,
    /// `FOR UPDATE` and the like.
    locks: bool,
    system_variables: bool,
    /// `SHOW`, `HELP`, `DESCRIBE` of a table: nothing in parentheses.
    only_shows: bool,
    count: usize,
    /// Every identifier, in lower case.
    names: Vec<String>,
    /// Those before a dot.
    schemas: Vec<(String, String)>,
}

impl Tokens {
    fn of(text: &[u8], mode: Mode) -> Self {
        let mut hints = Hints::new(text);
        let mut tokens = Self {
            hint: None,
            locks: false,
            system_variables: false,
            only_shows: false,
            count: 0,
            names: Vec::new(),
            schemas: Vec::new(),
        };
        let (mut before, mut earlier): (Option<Token<'_>>, Option<Token<'_>>) = (None, None);
        for token in Lexer::new(text, mode) {
            hints.token(token.start, token.start + token.bytes.len());
            tokens.note(&token, before.as_ref(), earlier.as_ref());
            earlier = before.replace(token);
        }
        tokens.hint = hints.finish();
        tokens
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn note(&mut self, token: &Token<'_>, before: Option<&Token<'_>>, earlier: Option<&Token<'_>>) {
        let after = |word: &[u8]| before.is_some_and(|before| before.is_word(word));
        if token.kind != Kind::Semicolon {
            self.count += 1;
        }
        match token.kind {
            Kind::Word | Kind::Quoted => {
                if before.is_none() {
                    let shows: [&[u8]; 4] = [b"show", b"help", b"describe", b"desc"];
                    self.only_shows = shows.iter().any(|word| token.is_word(word));
                }
                self.locks |= after(b"for")
                    && (token.is_word(b"update") || token.is_word(b"share"))
                    || after(b"lock") && token.is_word(b"in");
                let name = cursor::name(token).map(|name| name.to_lowercase());
                let name = name.unwrap_or_default();
                if before.is_some_and(|before| before.kind == Kind::Dot)
                    && let Some(schema) = earlier.and_then(cursor::name)
                {
                    self.schemas.push((schema.to_lowercase(), name.clone()));
                }
                self.names.push(name);
            }
            Kind::System => self.system_variables = true,
            Kind::Open | Kind::Semicolon => self.only_shows = false,
            _ => {}
        }
    }

    /// Tables of the server's own tell about the server; those about the schemas are alike everywhere.
    fn check_schemas(&self) -> Result<(), Because> {
        const ALIKE: [&str; 14] = [
            "check_constraints",
            "columns",
            "character_sets",
            "collations",
            "key_column_usage",
            "parameters",
            "referential_constraints",
            "routines",
            "schemata",
            "statistics",
            "table_constraints",
            "triggers",
            "view_table_usage",
            "views",
        ];
        for (schema, name) in &self.schemas {
            let alike = schema == "information_schema" && ALIKE.contains(&&**name);
            if is_system_schema(schema.as_bytes()) && !alike {
                return Err(about(Why::ServerState, schema));
            }
        }
        Ok(())
    }
}

/// What the parser makes of the text: every statement in it, at any depth, is a query without locks, and every
/// function in it only reads.
fn check_tree(text: &str, catalogue: &Catalogue) -> Result<(), Because> {
    let trees = Parser::parse_sql(&MySqlDialect {}, text).map_err(|_| Why::Unparsed)?;
    let mut walk = Walk { catalogue };
    for tree in &trees {
        if let ControlFlow::Break(because) = tree.visit(&mut walk) {
            return Err(because);
        }
    }
    if trees.is_empty() {
        return Err(Why::Empty.into());
    }
    Ok(())
}

struct Walk<'a> {
    catalogue: &'a Catalogue,
}

impl Walk<'_> {
    fn call(&self, name: &ObjectName) -> ControlFlow<Because> {
        let parts: Vec<String> = name
            .0
            .iter()
            .map(|part| {
                part.as_ident()
                    .map_or_else(String::new, |ident| ident.value.to_lowercase())
            })
            .collect();
        let Some((function, schema)) = parts.split_last() else {
            return ControlFlow::Break(Why::Unparsed.into());
        };
        // Without a schema, the server's own function goes before one of the same name.
        if schema.is_empty() && is_native(function) {
            return ControlFlow::Continue(());
        }
        match self.catalogue.function(function) {
            Code::Reads => ControlFlow::Continue(()),
            Code::May => ControlFlow::Break(about(Why::VolatileFunction, function)),
            Code::Unknown => ControlFlow::Break(about(Why::UnknownFunction, function)),
        }
    }
}

impl Visitor for Walk<'_> {
    type Break = Because;

    fn pre_visit_statement(&mut self, statement: &Tree) -> ControlFlow<Because> {
        match statement {
            Tree::Query(_) | Tree::Explain { .. } | Tree::ExplainTable { .. } => {
                ControlFlow::Continue(())
            }
            Tree::Insert(_) | Tree::Update { .. } | Tree::Delete(_) | Tree::Merge { .. } => {
                ControlFlow::Break(Why::Write.into())
            }
            _ => ControlFlow::Break(Why::Command.into()),
        }
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Because> {
        if !query.locks.is_empty() {
            return ControlFlow::Break(Why::Lock.into());
        }
        let reads = |body: &SetExpr| match body {
            SetExpr::Select(select) => select.into.is_none(),
            SetExpr::Query(_) | SetExpr::SetOperation { .. } | SetExpr::Values(_) => true,
            SetExpr::Table(_) => true,
            _ => false,
        };
        if reads(&query.body) {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(Why::Write.into())
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Because> {
        match factor {
            TableFactor::Table {
                name,
                args: Some(_),
                ..
            }
            | TableFactor::Function { name, .. } => self.call(name),
            TableFactor::TableFunction { .. } => ControlFlow::Break(Why::Unparsed.into()),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Because> {
        match expr {
            Expr::Function(function) => self.call(&function.name),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Whether the server's own function of this name only reads, whatever its arguments.
fn is_native(name: &str) -> bool {
    static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| {
        include_str!("native.txt")
            .split_ascii_whitespace()
            .collect()
    });
    NAMES.binary_search(&name).is_ok()
}

/// More tokens make trees whose depth would not fit a thread's stack.
const MOST_TOKENS: usize = 2_000;
