//! Whether a text in PostgreSQL's SQL is provably a read.

use std::sync::LazyLock;

use pg_query::{ParserOptions, SummaryResult};

use super::classify;
use crate::sql::lexer::{Kind, Lexer, Quoting, Token};
use crate::sql::reading::{
    Because, Catalogue, Code, Demand, Hint, Hints, LONGEST, Reading, Why, about,
};
use crate::sql::statement::{
    CopyFlow, Detail, Isolation, Statement, TransactionControl, Verdict, Which,
};
use crate::sql::touches::{Touch, Touches};

/// The verdict on one text, by what `catalogue` says of the database; `None`: nothing is known of it. Costs
/// some tens of microseconds.
#[must_use]
pub fn reading(text: &[u8], catalogue: Option<&Catalogue>) -> Reading {
    verdict(text, |tokens| demand(text, tokens, catalogue))
}

/// The verdict on what a `PREPARE`, which is all of `text`, prepares.
#[must_use]
pub fn reading_of_prepare(text: &[u8], catalogue: Option<&Catalogue>) -> Reading {
    verdict(text, |tokens| prepared(text, tokens, catalogue))
}

fn verdict(text: &[u8], demand: impl FnOnce(&Tokens) -> Result<Demand, Because>) -> Reading {
    if text.len() > LONGEST {
        return Reading::primary(Why::TooLong);
    }
    let tokens = Tokens::of(text);
    Reading::found(tokens.hint, demand(&tokens))
}

fn demand(text: &[u8], tokens: &Tokens, catalogue: Option<&Catalogue>) -> Result<Demand, Because> {
    if tokens.hint == Some(Hint::Primary) {
        return Err(Why::Hint.into());
    }
    let verdict = classify(text);
    if !verdict.complete || verdict.touches.contains(Touch::Unknown) {
        return Err(Why::Unparsed.into());
    }
    if verdict.statements.is_empty() {
        return Err(Why::Empty.into());
    }
    if let [only] = &*verdict.statements
        && let Detail::SqlExecute(Which::One(name)) = &only.detail
        && only.touches == Touches::of(Touch::SqlExecute)
        && !tokens.writes
    {
        return Ok(Demand::Execute(name.clone()));
    }
    if begins_read_only(text, &verdict) {
        return Ok(Demand::ReadOnlyTransaction);
    }
    if tokens.locks {
        return Err(Why::Lock.into());
    }
    for statement in &verdict.statements {
        check_statement(statement)?;
    }
    parsed(text, tokens, catalogue)
}

/// What the `PREPARE` in the text prepares.
fn prepared(
    text: &[u8],
    tokens: &Tokens,
    catalogue: Option<&Catalogue>,
) -> Result<Demand, Because> {
    if tokens.hint == Some(Hint::Primary) {
        return Err(Why::Hint.into());
    }
    let verdict = classify(text);
    let [only] = &*verdict.statements else {
        return Err(Why::Unparsed.into());
    };
    if !verdict.complete || only.touches != Touches::of(Touch::SqlPrepare) {
        return Err(Why::SessionState.into());
    }
    if tokens.locks {
        return Err(Why::Lock.into());
    }
    parsed(text, tokens, catalogue)
}

/// What the parser and the catalogue say.
fn parsed(text: &[u8], tokens: &Tokens, catalogue: Option<&Catalogue>) -> Result<Demand, Because> {
    if tokens.writes {
        return Err(Why::Write.into());
    }
    let text = std::str::from_utf8(text).map_err(|_| Why::Unparsed)?;
    let summary = summary(text)?;
    check_types(&summary)?;
    check_settings(text, tokens, &summary)?;
    let catalogue = catalogue.ok_or(Why::NoCatalogue)?;
    check_functions(&summary, catalogue)?;
    check_relations(&summary, catalogue)?;
    tokens.check(catalogue)?;
    Ok(Demand::Read)
}

/// The parser's own account. It guards its stack, allocates for the call alone, and keeps nothing but what
/// belongs to its thread.
fn summary(text: &str) -> Result<SummaryResult, Why> {
    pg_query::summary(text, ParserOptions::default(), -1).map_err(|_| Why::Unparsed)
}

/// `BEGIN READ ONLY` and what only reads behind it, up to the end of the transaction if that comes last. A
/// standby has no serializable transactions.
fn begins_read_only(text: &[u8], verdict: &Verdict) -> bool {
    let Some((first, rest)) = verdict.statements.split_first() else {
        return false;
    };
    let TransactionControl::Begin(modes) = first.control else {
        return false;
    };
    let mut read_only = modes.read_only;
    let mut serializable = modes.isolation == Some(Isolation::Serializable);
    let mut ended = false;
    for statement in rest {
        if ended {
            return false;
        }
        match &statement.control {
            TransactionControl::Commit { chain: false }
            | TransactionControl::Rollback { chain: false } => ended = true,
            TransactionControl::Savepoint(_)
            | TransactionControl::RollbackTo(_)
            | TransactionControl::Release(_) => {}
            TransactionControl::None if statement.touches == Touches::of(Touch::SetLocal) => {
                let modes = set_modes(text);
                if modes.others {
                    return false;
                }
                read_only = modes.read_only.or(read_only);
                serializable |= modes.serializable;
            }
            TransactionControl::None if statement.read_only_candidate => {}
            _ => return false,
        }
    }
    read_only == Some(true) && !serializable
}

/// What the `SET TRANSACTION`s of a text say.
#[derive(Default)]
struct SetModes {
    read_only: Option<bool>,
    serializable: bool,
    /// Something else is set for the transaction.
    others: bool,
}

fn set_modes(text: &[u8]) -> SetModes {
    let mut modes = SetModes::default();
    let mut words: Vec<Vec<u8>> = Vec::new();
    let end = std::iter::once(None);
    for token in Lexer::new(text, Quoting::Standard).map(Some).chain(end) {
        match token {
            Some(token) if token.kind != Kind::Semicolon => {
                words.push(token.bytes.to_ascii_lowercase());
                continue;
            }
            _ => {}
        }
        let words = std::mem::take(&mut words);
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        match &*words {
            [b"set", b"transaction", rest @ ..] => {
                let says = |pair: [&[u8]; 2]| rest.windows(2).any(|two| two == pair);
                match (says([b"read", b"only"]), says([b"read", b"write"])) {
                    (true, false) => modes.read_only = Some(true),
                    (false, false) => {}
                    _ => modes.read_only = Some(false),
                }
                modes.serializable |= rest.contains(&&b"serializable"[..]);
            }
            [b"set", ..] => modes.others = true,
            _ => {}
        }
    }
    modes
}

/// What the statement is by its command and by what it touches.
fn check_statement(statement: &Statement) -> Result<(), Why> {
    if statement.control != TransactionControl::None {
        return Err(Why::Transaction);
    }
    if statement.read_only_candidate {
        return Ok(());
    }
    if let Detail::Copy(flow) = statement.detail {
        let only_copies = statement.touches == Touches::of(Touch::Copy);
        return match flow {
            CopyFlow::Out if only_copies => Ok(()),
            _ => Err(Why::Write),
        };
    }
    if statement.touches.is_empty() {
        // The parser tells a plain EXPLAIN from commands; words have told writes.
        return Ok(());
    }
    let sequences = Touches::of(Touch::SequenceState).with(Touch::SequenceRecall);
    let calls = Touches::of(Touch::Notify).with(Touch::CodeBlock);
    if statement.touches.intersects(sequences) {
        return Err(Why::VolatileFunction);
    }
    if calls.contains_all(statement.touches) {
        return Err(Why::Command);
    }
    Err(Why::SessionState)
}

/// The parser's kinds of statements, inner ones included where it looks into them.
fn check_types(summary: &SummaryResult) -> Result<(), Why> {
    let mut any = false;
    for kind in &summary.statement_types {
        any = true;
        match &**kind {
            // What PREPARE prepares is looked into.
            "SelectStmt" | "ExplainStmt" | "CopyStmt" | "PrepareStmt" => {}
            "VariableShowStmt" => return Err(Why::ServerState),
            "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => return Err(Why::Write),
            _ => return Err(Why::Command),
        }
    }
    if any { Ok(()) } else { Err(Why::Empty) }
}

/// `current_setting` of what differs between a primary and a standby, or of what the text does not give.
fn check_settings(text: &str, tokens: &Tokens, summary: &SummaryResult) -> Result<(), Because> {
    let asks = |function: &pg_query::Function| function.function_name == "current_setting";
    if !summary.functions.iter().any(asks) {
        return Ok(());
    }
    let text = text.to_ascii_lowercase();
    let differs = [
        "read_only",
        "hot_standby",
        "recovery",
        "wal_",
        "primary_",
        "synchronous_",
    ];
    if tokens.parameters || differs.iter().any(|word| text.contains(word)) {
        return Err(about(Why::ServerState, "current_setting"));
    }
    Ok(())
}

fn check_functions(summary: &SummaryResult, catalogue: &Catalogue) -> Result<(), Because> {
    for function in &summary.functions {
        let name = &*function.function_name;
        if is_about_server(name) {
            return Err(about(Why::ServerState, name));
        }
        match catalogue.function(name) {
            Code::May => return Err(about(Why::VolatileFunction, name)),
            Code::Reads => {}
            Code::Unknown if is_builtin(name) => {}
            Code::Unknown => return Err(about(Why::UnknownFunction, name)),
        }
    }
    Ok(())
}

fn check_relations(summary: &SummaryResult, catalogue: &Catalogue) -> Result<(), Because> {
    let tables = summary.tables.iter().map(|table| &*table.table_name);
    // A name may stand for a common table expression in one place and for a relation in another.
    let names = tables.chain(summary.cte_names.iter().map(|name| &**name));
    for name in names {
        if is_system_view(name) {
            return Err(about(Why::ServerState, name));
        }
        if catalogue.is_relation_unsafe(name) {
            return Err(about(Why::Relation, name));
        }
    }
    Ok(())
}

/// What the tokens of a text show.
struct Tokens {
    hint: Option<Hint>,
    /// A word stands there that writes, or may.
    writes: bool,
    /// `FOR UPDATE` and the like.
    locks: bool,
    /// It has parameters.
    parameters: bool,
    operators: Vec<String>,
    /// Names behind dots.
    fields: Vec<String>,
}

impl Tokens {
    fn of(text: &[u8]) -> Self {
        // Under the other reading of backslashes the text is in doubt anyway, or the same.
        let mut hints = Hints::new(text);
        let mut tokens = Self {
            hint: None,
            writes: false,
            locks: false,
            parameters: false,
            operators: Vec::new(),
            fields: Vec::new(),
        };
        let mut before: Option<Token<'_>> = None;
        for token in Lexer::new(text, Quoting::Standard) {
            hints.token(token.start, token.start + token.bytes.len());
            tokens.note(&token, before.as_ref());
            before = Some(token);
        }
        tokens.hint = hints.finish();
        tokens
    }

    fn note(&mut self, token: &Token<'_>, before: Option<&Token<'_>>) {
        let after = |word: &[u8]| before.is_some_and(|before| before.is_word(word));
        let dotted = before.is_some_and(|before| before.kind == Kind::Dot);
        match token.kind {
            Kind::Word => {
                let locks: [&[u8]; 4] = [b"update", b"share", b"no", b"key"];
                self.locks |= after(b"for") && locks.iter().any(|word| token.is_word(word));
                self.writes |= !dotted && WRITES.iter().any(|word| token.is_word(word));
            }
            Kind::Operator => {
                let name = String::from_utf8_lossy(token.bytes).into_owned();
                if !self.operators.contains(&name) {
                    self.operators.push(name);
                }
            }
            Kind::Parameter => self.parameters = true,
            _ => {}
        }
        if dotted
            && matches!(
                token.kind,
                Kind::Word | Kind::QuotedIdentifier | Kind::UnicodeIdentifier
            )
        {
            let name = String::from_utf8_lossy(token.bytes);
            self.fields.push(match token.kind {
                Kind::Word => name.to_lowercase(),
                _ => name.trim_matches('"').replace("\"\"", "\""),
            });
        }
    }

    fn check(&self, catalogue: &Catalogue) -> Result<(), Because> {
        if catalogue.has_unsafe_casts() {
            return Err(Why::Operator.into());
        }
        for operator in &self.operators {
            if catalogue.is_operator_unsafe(operator) {
                return Err(about(Why::Operator, operator));
            }
        }
        for field in &self.fields {
            if catalogue.is_field_unsafe(field) {
                return Err(about(Why::VolatileFunction, field));
            }
        }
        Ok(())
    }
}

/// Words that stand in statements which write. As names of columns they cost a trip to the primary.
const WRITES: [&[u8]; 6] = [
    b"insert",
    b"update",
    b"delete",
    b"merge",
    b"into",
    b"truncate",
];

/// Whether the server's own function of this name only reads, whatever its arguments.
#[must_use]
pub fn is_builtin(name: &str) -> bool {
    static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| {
        include_str!("builtin.txt")
            .split_ascii_whitespace()
            .collect()
    });
    NAMES.binary_search(&name).is_ok()
}

/// Functions that are declared as reads, but whose answers are about one server, or which a standby refuses.
fn is_about_server(name: &str) -> bool {
    const NAMES: [&str; 17] = [
        "inet_server_addr",
        "inet_server_port",
        "pg_backend_pid",
        "pg_conf_load_time",
        "pg_config",
        "pg_cursor",
        "pg_get_replication_slots",
        "pg_listening_channels",
        "pg_my_temp_schema",
        "pg_postmaster_start_time",
        "pg_prepared_statement",
        "pg_prepared_xact",
        "pg_relation_filenode",
        "pg_relation_filepath",
        "pg_show_all_settings",
        "pg_tablespace_location",
        "txid_status",
    ];
    const FRONTS: [&str; 11] = [
        "pg_stat_get_",
        "pg_stat_",
        "pg_current_",
        "pg_last_",
        "pg_is_",
        "pg_wal",
        "pg_lock",
        "pg_control_",
        "pg_blocking",
        "txid_current",
        "pg_hba_",
    ];
    NAMES.contains(&name) || FRONTS.iter().any(|front| name.starts_with(front))
}

/// Views of the server about itself.
fn is_system_view(name: &str) -> bool {
    const NAMES: [&str; 16] = [
        "pg_backend_memory_contexts",
        "pg_config",
        "pg_cursors",
        "pg_file_settings",
        "pg_hba_file_rules",
        "pg_ident_file_mappings",
        "pg_locks",
        "pg_prepared_statements",
        "pg_prepared_xacts",
        "pg_replication_origin_status",
        "pg_replication_slots",
        "pg_sequences",
        "pg_settings",
        "pg_shmem_allocations",
        "pg_aios",
        "pg_wait_events",
    ];
    NAMES.contains(&name) || name.starts_with("pg_stat_") || name.starts_with("pg_statio_")
}
