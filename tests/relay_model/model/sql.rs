//! The few statements that the servers of the model understand, clients' and Sluice's own.

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sql {
    Empty,
    /// One row with this value, and the settings in force.
    Select(String),
    /// Three rows.
    Rows,
    /// Fails when it is run.
    Divide,
    Begin,
    Commit,
    Rollback,
    Savepoint(String),
    RollbackTo(String),
    CopyIn,
    CopyOut,
    Set {
        name: String,
        value: Option<String>,
        local: bool,
    },
    /// `SELECT set_config(…), …`.
    SetConfig(Vec<(String, String)>),
    Deallocate(String),
    DeallocateAll,
    DiscardAll,
    Execute(String),
    Prepare(String, String),
}

/// A syntax error.
#[derive(Clone, Copy, Debug)]
pub struct Nonsense;

impl Sql {
    /// A statement that ends a failed transaction (`IsTransactionExitStmt`).
    pub fn is_exit(&self) -> bool {
        matches!(self, Self::Commit | Self::Rollback | Self::RollbackTo(_))
    }

    pub fn has_rows(&self) -> bool {
        matches!(self, Self::Select(_) | Self::Rows | Self::Divide)
    }
}

/// The statements of a text; one that is empty has one.
pub fn read(text: &str) -> Result<Vec<Sql>, Nonsense> {
    let pieces: Vec<&str> = text.split(';').collect();
    let statements = pieces.into_iter().map(|piece| one(piece.trim()));
    let mut all = statements.collect::<Result<Vec<_>, _>>()?;
    if all.len() > 1 {
        all.retain(|sql| *sql != Sql::Empty);
    }
    Ok(all)
}

fn one(text: &str) -> Result<Sql, Nonsense> {
    if text.starts_with("SELECT pg_catalog.set_config(") {
        return Ok(Sql::SetConfig(set_config(text)));
    }
    let plain = text.replace(['"', '\''], "");
    let words: Vec<&str> = plain.split(' ').collect();
    let lower: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let set = |name: &str, value: Option<&str>, local| Sql::Set {
        name: name.to_owned(),
        value: value.map(str::to_owned),
        local,
    };
    Ok(match lower.as_slice() {
        [""] => Sql::Empty,
        ["select", "rows"] => Sql::Rows,
        ["select", "1/0"] => Sql::Divide,
        ["select", value] => Sql::Select((*value).to_owned()),
        ["begin"] => Sql::Begin,
        ["commit"] => Sql::Commit,
        ["rollback"] => Sql::Rollback,
        ["savepoint", name] => Sql::Savepoint((*name).to_owned()),
        ["rollback", "to", name] => Sql::RollbackTo((*name).to_owned()),
        ["copy", "t", "from", "stdin"] => Sql::CopyIn,
        ["copy", "t", "to", "stdout"] => Sql::CopyOut,
        ["set", "local", name, "to", value] => set(name, Some(value), true),
        ["set", name, "to", value] => set(name, Some(value), false),
        ["reset", name] => set(name, None, false),
        ["deallocate", "all"] => Sql::DeallocateAll,
        ["deallocate", name] => Sql::Deallocate((*name).to_owned()),
        ["discard", "all"] => Sql::DiscardAll,
        ["prepare", name, "as", "select"] => Sql::Prepare((*name).to_owned(), String::new()),
        ["prepare", name, "as", "select", value] => {
            Sql::Prepare((*name).to_owned(), (*value).to_owned())
        }
        ["execute", name] => Sql::Execute((*name).to_owned()),
        _ => return Err(Nonsense),
    })
}

fn set_config(text: &str) -> Vec<(String, String)> {
    let calls = text.split("pg_catalog.set_config(").skip(1);
    calls
        .map(|call| {
            let mut parts = call.split('\'');
            let name = parts.nth(1).expect("a name").to_owned();
            (name, parts.nth(1).expect("a value").to_owned())
        })
        .collect()
}
