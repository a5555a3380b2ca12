//! `sluice explain-route`: which server a statement would go to, and why.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::protocol::mysql::catalogue as of_mysql;
use crate::protocol::postgres::catalogue as of_postgres;
use crate::router::Reason;
use crate::sql::mysql::{Flavor, Mode, reading as mysql_reading};
use crate::sql::postgres::reading as postgres_reading;
use crate::sql::reading::{Catalogue, Demand, Hint, Reading, Why};

/// What is to be explained.
#[derive(Debug, Args)]
pub struct ExplainOptions {
    /// The statement, or several with semicolons between them; "-" reads them from the standard input.
    #[arg(value_name = "SQL", required_unless_present = "catalogue_query")]
    sql: Option<String>,

    /// Whose SQL it is.
    #[arg(long, value_enum, default_value_t = Engine::Postgresql)]
    engine: Engine,

    /// What the database says of its functions and views: a file with the answer to the query that
    /// --catalogue-query prints. Without it, functions of users are not known.
    #[arg(long, value_name = "FILE")]
    catalogue: Option<PathBuf>,

    /// Print the query whose answer --catalogue takes.
    #[arg(long)]
    catalogue_query: bool,
}

/// Whose SQL a statement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// PostgreSQL's.
    Postgresql,
    /// MySQL's.
    Mysql,
    /// MariaDB's.
    Mariadb,
}

impl Engine {
    const fn query(self) -> &'static str {
        match self {
            Self::Postgresql => of_postgres::CATALOGUE,
            Self::Mysql | Self::Mariadb => of_mysql::CATALOGUE,
        }
    }

    fn catalogue(self, answer: &[u8]) -> Option<Catalogue> {
        match self {
            Self::Postgresql => of_postgres::catalogue(answer),
            Self::Mysql | Self::Mariadb => of_mysql::catalogue(answer),
        }
    }

    fn reading(self, sql: &[u8], catalogue: &Catalogue) -> Reading {
        match self {
            Self::Postgresql => postgres_reading(sql, Some(catalogue)),
            Self::Mysql => mysql_reading(sql, Mode::new(Flavor::MySql, 80_400), Some(catalogue)),
            Self::Mariadb => {
                mysql_reading(sql, Mode::new(Flavor::MariaDb, 110_800), Some(catalogue))
            }
        }
    }
}

/// Prints the decision and its reason. Exit codes: 0: it was explained; 2: a file cannot be read.
pub fn run(options: &ExplainOptions) -> ExitCode {
    if options.catalogue_query {
        return tell(options.engine.query());
    }
    match explained(options) {
        Ok(lines) => tell(&lines),
        Err(why) => {
            eprintln!("sluice: {why}");
            ExitCode::from(2)
        }
    }
}

impl ExplainOptions {
    /// The text that is to be explained.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn text(&self) -> Result<String, String> {
        let text = self.sql.clone().unwrap_or_default();
        if text != "-" {
            return Ok(text);
        }
        std::io::read_to_string(std::io::stdin())
            .map_err(|error| format!("standard input: {error}"))
    }
}

fn explained(options: &ExplainOptions) -> Result<String, String> {
    let sql = options.text()?;
    let catalogue = match &options.catalogue {
        Some(file) => read_catalogue(options.engine, file)?,
        None => Catalogue::new(),
    };
    let reading = options.engine.reading(sql.as_bytes(), &catalogue);
    Ok(lines(&reading, options.catalogue.is_some()))
}

/// Prints what a running Sluice has answered, in the same words.
pub fn print_answer(answer: String) -> ExitCode {
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
    let text = |key: &str| {
        answer
            .get(key)
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
    };
    if text("route") == "prepared" {
        return tell(&of_prepared(text("subject")));
    }
    let target = match text("target") {
        "" => "none",
        target => target,
    };
    let reason = reason_line(text("reason"), text("because"), text("subject"));
    let mut lines = format!("route: {}\ntarget: {target}\n{reason}", text("route"));
    if answer.get("catalogue_known") == Some(&serde_json::Value::Bool(false)) {
        lines.push_str(
            "\nnote: no client has come for the database yet, or its functions and views are being read",
        );
    }
    tell(&lines)
}

/// Prints lines. Whoever reads may have seen enough.
fn tell(lines: &str) -> ExitCode {
    let _ = writeln!(std::io::stdout(), "{lines}");
    ExitCode::SUCCESS
}

fn of_prepared(name: &str) -> String {
    format!("route: that of the statement prepared as {name:?}")
}

fn reason_line(name: &str, because: &str, subject: &str) -> String {
    let between = if subject.is_empty() { "" } else { ": " };
    format!("reason: {name} ({because}{between}{subject})")
}

fn read_catalogue(engine: Engine, file: &Path) -> Result<Catalogue, String> {
    let answer = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let answer = answer.strip_suffix(b"\n").unwrap_or(&answer);
    let catalogue = engine.catalogue(answer);
    catalogue.ok_or_else(|| {
        format!(
            "{}: this is not the answer to --catalogue-query",
            file.display()
        )
    })
}

/// The decision in three lines at most: where, why, and what it depends on.
fn lines(reading: &Reading, with_catalogue: bool) -> String {
    let line = |role: &str, reason: Reason, subject: &str| {
        let because = reason_line(reason.name(), &reason.to_string(), subject);
        format!("route: {role}\n{because}")
    };
    let mut lines = match &reading.demand {
        Demand::Read => line("replica", Reason::Read, ""),
        Demand::ReadOnlyTransaction => line("replica", Reason::ReadOnlyTransaction, ""),
        Demand::Execute(name) => {
            return of_prepared(name);
        }
        Demand::Primary(why, subject)
            if reading.hint == Some(Hint::Replica) && why.is_about_code() =>
        {
            line(
                "replica",
                Reason::Read,
                &format!("a comment vouches for {}", subject.0),
            )
        }
        Demand::Primary(why, subject) => line("primary", Reason::Text(*why), &subject.0),
    };
    if matches!(reading.demand, Demand::Primary(Why::UnknownFunction, _)) && !with_catalogue {
        lines.push_str(
            "\nnote: only the database knows its own functions; give them by --catalogue",
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{Engine, lines};
    use crate::sql::reading::Catalogue;

    fn explain(engine: Engine, sql: &str) -> String {
        lines(&engine.reading(sql.as_bytes(), &Catalogue::new()), false)
    }

    #[test]
    fn decisions_are_told_with_their_reasons() {
        assert_eq!(
            explain(Engine::Postgresql, "select 1"),
            "route: replica\nreason: read (it only reads)"
        );
        assert_eq!(
            explain(Engine::Mysql, "delete from t"),
            "route: primary\nreason: write (it writes, or may)"
        );
        let unknown = explain(Engine::Postgresql, "select mine(1)");
        assert!(
            unknown.starts_with("route: primary\nreason: unknown_function ("),
            "{unknown}"
        );
        assert!(unknown.contains(": mine)\nnote: "), "{unknown}");
        let hinted = explain(Engine::Mariadb, "/* sluice: replica */ select mine(1)");
        assert!(hinted.starts_with("route: replica"), "{hinted}");
        assert!(explain(Engine::Postgresql, "execute p").contains("\"p\""));
    }
}
