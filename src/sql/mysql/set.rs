//! `SET` in all its forms (<https://dev.mysql.com/doc/refman/9.7/en/set-variable.html>,
//! <https://mariadb.com/kb/en/set/>).

use super::cursor::{Cursor, name, variable};
use super::effect::Effect;
use super::lexer::Kind;
use super::mode::{Flavor, Mode};
use super::touch::{Touch, Touches};
use super::transaction;
use super::variables::{Policy, policy};
use super::verdict::{Assignment, Detail, Literal, LiteralKind, TransactionControl, Value};
use super::words;
use crate::sql::statement::TransactionModes;

/// Whose variable a `SET` is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Session,
    Global,
    /// Behind a bare `@@`: as without scope, but for the modes of transactions.
    Bare,
}

/// The effect of a `SET`.
pub(super) fn set(mut cursor: Cursor<'_>) -> Effect {
    cursor.advance();
    if let Some(effect) = not_of_variables(&mut cursor) {
        return effect;
    }
    let mut list = List {
        cursor,
        scope: Scope::Session,
        touches: Touches::NONE,
        control: TransactionControl::None,
        assignments: Vec::new(),
    };
    loop {
        if list.item().is_none() {
            return Effect::UNKNOWN;
        }
        if list.cursor.at_end() {
            break;
        }
        if !list.cursor.take(Kind::Comma) {
            return Effect::UNKNOWN;
        }
    }
    Effect {
        touches: list.touches,
        control: list.control,
        detail: Detail::Assign(list.assignments.into()),
        ..Effect::NONE
    }
}

/// The forms that are no lists of variables.
fn not_of_variables(cursor: &mut Cursor<'_>) -> Option<Effect> {
    const COMMITS: Touches = Touches::of(Touch::ImplicitCommit);
    let touch = |touch| Some(Effect::touch(Touches::of(touch)));
    let mut ahead = cursor.clone();
    if ahead.take_word(b"password") {
        return Some(Effect::touch(COMMITS.with(Touch::SetPassword)));
    }
    if ahead.take_words(&[b"default", b"role"]) {
        return Some(Effect::touch(COMMITS));
    }
    if ahead.take_word(b"role") {
        return touch(Touch::SetRole);
    }
    if ahead.take_words(&[b"resource", b"group"]) {
        return touch(Touch::SetResourceGroup);
    }
    if ahead.take_words(&[b"session", b"authorization"]) {
        return Some(Effect::UNKNOWN);
    }
    let global = ahead.take_word(b"global");
    let session = ahead.take_any(&[b"session", b"local"]);
    if !ahead.take_word(b"transaction") {
        return None;
    }
    let Some(modes) = transaction::modes(&mut ahead) else {
        return Some(Effect::UNKNOWN);
    };
    if global {
        return touch(Touch::SetGlobal);
    }
    if session {
        let assignments = characteristics(modes, ahead.mode());
        return Some(Effect::detail(
            Touch::SetSession,
            Detail::Assign(assignments),
        ));
    }
    Some(Effect {
        control: TransactionControl::SetTransaction(modes),
        ..Effect::touch(Touches::of(Touch::NextTransaction))
    })
}

/// `SET SESSION TRANSACTION` as the variables that it sets.
fn characteristics(modes: TransactionModes, mode: Mode) -> Box<[Assignment]> {
    let old = match mode.flavor {
        Flavor::MySql => mode.version < 50_720,
        Flavor::MariaDb => mode.version < 110_101,
    };
    let assignment = |name: &str, kind, text: &str| Assignment::Session {
        name: name.into(),
        value: Value::Literal(Literal {
            kind,
            text: text.as_bytes().into(),
        }),
    };
    let isolation = modes.isolation.map(|isolation| {
        let level = isolation.as_str().to_ascii_uppercase().replace(' ', "-");
        let name = if old {
            "tx_isolation"
        } else {
            "transaction_isolation"
        };
        assignment(name, LiteralKind::String, &level)
    });
    let read_only = modes.read_only.map(|read_only| {
        let name = if old {
            "tx_read_only"
        } else {
            "transaction_read_only"
        };
        assignment(
            name,
            LiteralKind::Word,
            if read_only { "ON" } else { "OFF" },
        )
    });
    isolation.into_iter().chain(read_only).collect()
}

/// A list of assignments being read.
struct List<'a> {
    cursor: Cursor<'a>,
    /// What a keyword said last; it holds for what follows too.
    scope: Scope,
    touches: Touches,
    control: TransactionControl,
    assignments: Vec<Assignment>,
}

impl List<'_> {
    /// One assignment, up to the comma behind it. `None` if it is none.
    fn item(&mut self) -> Option<()> {
        let next = self.cursor.peek()?;
        match next.kind {
            Kind::Variable => self.user(),
            Kind::System => {
                self.cursor.advance();
                let scope = self.marked_scope()?;
                self.system(scope)
            }
            _ => {
                if self.charsets().is_some() {
                    return Some(());
                }
                if self.cursor.take_word(b"global")
                    || self.cursor.take_any(&[b"persist", b"persist_only"])
                {
                    self.scope = Scope::Global;
                } else if self.cursor.take_any(&[b"session", b"local"]) {
                    self.scope = Scope::Session;
                }
                self.system(self.scope)
            }
        }
    }

    /// The scope behind `@@`, with its dot.
    fn marked_scope(&mut self) -> Option<Scope> {
        let word = self.cursor.peek()?;
        if !words::is_scope(word.bytes) {
            return Some(Scope::Bare);
        }
        self.cursor.advance();
        let scope = if word.is_word(b"session") || word.is_word(b"local") {
            Scope::Session
        } else {
            Scope::Global
        };
        self.cursor.take(Kind::Dot).then_some(scope)
    }

    fn user(&mut self) -> Option<()> {
        let token = self.cursor.advance()?;
        let name = variable(&token, self.cursor.mode());
        if !self.cursor.take(Kind::Equals) && !self.cursor.take(Kind::Assign) {
            return None;
        }
        let value = match self.value()? {
            Value::Literal(value) if is_user_constant(&value) => Some(value),
            Value::Literal(_) | Value::Default | Value::Expression => None,
        };
        let certain = name.is_some() && value.is_some();
        self.touches.insert(if certain {
            Touch::UserVariable
        } else {
            Touch::UserVariableUnknown
        });
        if let Some(name) = name {
            self.assignments.push(Assignment::User { name, value });
        }
        Some(())
    }

    fn system(&mut self, scope: Scope) -> Option<()> {
        let mut named = name(&self.cursor.advance()?)?.to_ascii_lowercase();
        while self.cursor.take(Kind::Dot) {
            named.push('.');
            named.push_str(&name(&self.cursor.advance()?)?.to_ascii_lowercase());
        }
        if !self.cursor.take(Kind::Equals) && !self.cursor.take(Kind::Assign) {
            return None;
        }
        let value = self.value()?;
        let name = named.into_boxed_str();
        if scope == Scope::Global {
            self.touches.insert(Touch::SetGlobal);
            self.assignments.push(Assignment::Global { name });
            return Some(());
        }
        if scope == Scope::Bare && is_mode_of_transactions(&name) {
            self.touches.insert(Touch::NextTransaction);
            self.assignments
                .push(Assignment::NextTransaction { name, value });
            return Some(());
        }
        self.touches.insert(match &*name {
            "last_insert_id" | "identity" => Touch::LastInsertIdWrite,
            _ => match policy(&name) {
                Policy::Replay => Touch::SetSession,
                Policy::Pin(_) => Touch::SetUnsafe,
                Policy::Own => Touch::SetTracker,
            },
        });
        if &*name == "autocommit" {
            self.control = TransactionControl::Autocommit(switch(&value));
        }
        self.assignments.push(Assignment::Session { name, value });
        Some(())
    }

    /// `NAMES`, `CHARACTER SET`, `CHARSET`.
    fn charsets(&mut self) -> Option<()> {
        let mut ahead = self.cursor.clone();
        let names = ahead.take_word(b"names");
        if !names && !ahead.take_word(b"charset") && !ahead.take_words(&[b"character", b"set"]) {
            return None;
        }
        let charset = charset_name(&mut ahead)?;
        let charset = (!charset.eq_ignore_ascii_case("default")).then_some(charset);
        let mut collation = None;
        if names && ahead.take_word(b"collate") {
            let name = charset_name(&mut ahead)?;
            collation = (!name.eq_ignore_ascii_case("default")).then_some(name);
        }
        if !ahead.at_end() && ahead.peek()?.kind != Kind::Comma {
            return None;
        }
        self.cursor = ahead;
        self.touches.insert(Touch::SetSession);
        self.assignments.push(if names {
            Assignment::Names { charset, collation }
        } else {
            Assignment::CharacterSet { charset }
        });
        Some(())
    }

    /// A value, up to the comma behind it or the end.
    fn value(&mut self) -> Option<Value> {
        self.cursor.peek()?;
        let mut ahead = self.cursor.clone();
        if let Some(literal) = ahead.literal()
            && ahead.peek().is_none_or(|next| next.kind == Kind::Comma)
        {
            self.cursor = ahead;
            return Some(match literal.kind {
                LiteralKind::Word if literal.text.eq_ignore_ascii_case(b"default") => {
                    Value::Default
                }
                LiteralKind::Word if words::is_bare_function(&literal.text) => Value::Expression,
                _ => Value::Literal(literal),
            });
        }
        self.expression();
        Some(Value::Expression)
    }

    /// Skips an expression. User variables in it are read, or written too.
    fn expression(&mut self) {
        let mut depth = 0_usize;
        while let Some(token) = self.cursor.peek() {
            match token.kind {
                Kind::Comma if depth == 0 => return,
                Kind::Open => depth += 1,
                Kind::Close => depth = depth.saturating_sub(1),
                Kind::Assign => self.touches.insert(Touch::UserVariableUnknown),
                Kind::Variable => {
                    self.touches.insert(Touch::UserVariableRead);
                    if variable(&token, self.cursor.mode()).is_none() {
                        self.touches.insert(Touch::UserVariableUnknown);
                    }
                }
                _ => {}
            }
            self.cursor.advance();
        }
    }
}

fn charset_name(cursor: &mut Cursor<'_>) -> Option<Box<str>> {
    let literal = cursor.literal()?;
    match literal.kind {
        LiteralKind::String | LiteralKind::Word => {
            let name = str::from_utf8(&literal.text).ok()?;
            Some(name.to_ascii_lowercase().into())
        }
        _ => None,
    }
}

/// Whether a user variable takes the same value when it is assigned again from the same text.
fn is_user_constant(value: &Literal) -> bool {
    match value.kind {
        LiteralKind::Word => [&b"null"[..], b"true", b"false"]
            .iter()
            .any(|word| value.text.eq_ignore_ascii_case(word)),
        LiteralKind::String | LiteralKind::National | LiteralKind::Number | LiteralKind::Bits => {
            true
        }
    }
}

fn is_mode_of_transactions(name: &str) -> bool {
    matches!(
        name,
        "transaction_isolation" | "transaction_read_only" | "tx_isolation" | "tx_read_only"
    )
}

/// The value of a switch, if it is a constant.
fn switch(value: &Value) -> Option<bool> {
    let Value::Literal(literal) = value else {
        return None;
    };
    match &*literal.text.to_ascii_lowercase() {
        b"1" | b"on" | b"true" => Some(true),
        b"0" | b"off" | b"false" => Some(false),
        _ => None,
    }
}
