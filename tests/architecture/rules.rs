//! The rules, as functions from text to complaints.

use std::collections::{BTreeMap, BTreeSet};

use crate::reading::{code_of, imports};

/// Who may import whom; a module may always import itself. `main.rs`, `lib.rs` and the modules
/// that are the program ([`PROGRAM`]) are free. `config` has exceptions, in [`config_may_name`].
const IMPORTS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("sql", &[]),
    ("router", &["model", "sql"]),
    ("telemetry", &["model"]),
    ("protocol", &["model", "sql"]),
    ("net", &["model", "sql", "protocol", "telemetry"]),
    ("auth", &["model", "sql", "telemetry", "net"]),
    ("aws", &["model", "telemetry", "auth"]),
    (
        "pool",
        &["model", "sql", "telemetry", "protocol", "net", "auth"],
    ),
    (
        "topology",
        &["model", "sql", "telemetry", "protocol", "net", "auth"],
    ),
    (
        "session",
        &[
            "model",
            "sql",
            "router",
            "telemetry",
            "protocol",
            "net",
            "auth",
            "pool",
        ],
    ),
    ("config", &["model"]),
];

/// The program itself: it may import all.
const PROGRAM: &[&str] = &["cli", "daemon", "demo", "explain"];

/// Modules without waiting, clock and chance: bytes and values in, bytes and values out.
const PURE: &[&str] = &["model", "sql", "router", "protocol"];

/// Elsewhere, a file whose description says this is pure too.
const PURE_MARK: &str = "//! Pure:";

/// True if a file is one that neither waits nor asks the clock.
pub fn is_pure(module: Option<&str>, source: &str) -> bool {
    module.is_some_and(|module| PURE.contains(&module))
        || source.lines().any(|line| line.starts_with(PURE_MARK))
}

/// What a pure module must not say, and why.
const IMPURE: &[(&str, &str)] = &[
    ("tokio", "tokio begins in net"),
    ("async", "a pure module does not wait"),
    ("await", "a pure module does not wait"),
    ("Instant::now", "time is an argument"),
    ("SystemTime::now", "time is an argument"),
    ("rand", "randomness is an argument"),
];

pub const MOST_LINES: usize = 700;
const MOST_MEDIAN: usize = 200;
/// Nine files of ten have fewer.
const MOST_OF_NINE_TENTHS: usize = 400;

/// Names that say nothing about what a module decides.
const EMPTY_NAMES: &[&str] = &[
    "common", "helper", "helpers", "manager", "misc", "types", "util", "utils",
];
/// A manager is deadpool's word for what opens connections.
const MANAGER: &str = "src/pool/manager.rs";

/// What has no place in a source file; split, so that this one does not contain it.
const UNFINISHED: &[&str] = &[
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    // With a reason it may stand: some tests are run by others, in processes of their own.
    concat!("#[ig", "nore]"),
];
/// Folders of one machine.
const MACHINE_FOLDERS: &[&str] = &["/work/", "/root/", "/home/"];

/// Other modules' names that the configuration may import beside their options: what it needs to
/// say early whether a user, a userlist, a policy, a key or a log filter is any good.
fn config_may_name(path: &[&str]) -> bool {
    match path {
        [
            "auth",
            "iam" | "jwt" | "options" | "store" | "userlist" | "UserStore",
            ..,
        ]
        | ["telemetry", "log", "check_filter"] => true,
        [_, "options", ..] => true,
        [.., last] => last.ends_with("Options"),
        [] => false,
    }
}

/// The imports of one file that the table forbids.
pub fn forbidden_imports(module: &str, depth: usize, source: &str) -> Vec<String> {
    if PROGRAM.contains(&module) {
        return Vec::new();
    }
    let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == module) else {
        return vec![format!(
            "module {module} is not in the table of tests/architecture/rules.rs"
        )];
    };
    let paths = imports(source, depth);
    let wrong = paths.iter().filter(|path| {
        let path: Vec<_> = path.split("::").collect();
        let other = path[0];
        is_module(other)
            && other != module
            && !allowed.contains(&other)
            && !(module == "config" && config_may_name(&path))
    });
    wrong
        .map(|path| format!("{module} must not import {path}"))
        .collect()
}

pub fn is_module(name: &str) -> bool {
    PROGRAM.contains(&name) || IMPORTS.iter().any(|(module, _)| *module == name)
}

/// What a file of a pure module must not say.
pub fn impurities(source: &str) -> Vec<String> {
    let code = code_of(source);
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let says = |word: &str| {
        code.match_indices(word).any(|(at, _)| {
            !code[..at].ends_with(part) && !code[at + word.len()..].starts_with(part)
        })
    };
    let said = IMPURE.iter().filter(|(word, _)| says(word));
    said.map(|(word, reason)| format!("{word}: {reason}"))
        .collect()
}

/// Relaxed lints about panics that do not say why. Where they are not relaxed, clippy refuses.
pub fn unreasoned(source: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let code = code_of(source);
    for lint in ["clippy::unwrap_used", "clippy::expect_used"] {
        for (at, _) in code.match_indices(lint) {
            let rest = &code[at..];
            let attribute = &rest[..rest.find(']').unwrap_or(rest.len())];
            if !attribute.contains("reason") {
                wrong.push(format!("{lint} without a reason"));
            }
        }
    }
    wrong
}

/// A way from a module back to itself, if there is one.
pub fn cycle(graph: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(
        graph: &BTreeMap<String, BTreeSet<String>>,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        let here = way.last()?.clone();
        for next in graph.get(&here).into_iter().flatten() {
            if let Some(start) = way.iter().position(|module| module == next) {
                let mut found = way[start..].to_vec();
                found.push(next.clone());
                return Some(found);
            }
            if !done.contains(next) {
                way.push(next.clone());
                if let Some(found) = walk(graph, way, done) {
                    return Some(found);
                }
                way.pop();
            }
        }
        done.insert(here);
        None
    }
    let mut done = BTreeSet::new();
    let mut starts = graph.keys();
    starts.find_map(|start| walk(graph, &mut vec![start.clone()], &mut done))
}

/// What is wrong with the sizes of the files under `src`.
pub fn crowded(mut lines: Vec<usize>) -> Vec<String> {
    lines.sort_unstable();
    let mut wrong = Vec::new();
    let Some(median) = lines.get(lines.len() / 2) else {
        return wrong;
    };
    if *median > MOST_MEDIAN {
        wrong.push(format!("half of the files have {median} lines or more"));
    }
    let small = lines.iter().filter(|n| **n < MOST_OF_NINE_TENTHS).count();
    if small * 10 < lines.len() * 9 {
        let all = lines.len();
        wrong.push(format!(
            "only {small} of {all} files are below {MOST_OF_NINE_TENTHS} lines"
        ));
    }
    wrong
}

/// A name that says nothing.
pub fn empty_name(path: &str) -> bool {
    let empty = |part: &str| EMPTY_NAMES.contains(&part.trim_end_matches(".rs"));
    path != MANAGER && path.split('/').any(empty)
}

/// What no file of the repository may contain.
pub fn out_of_place(path: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let part = |c: char| c.is_alphanumeric() || "._-~}".contains(c);
    for folder in MACHINE_FOLDERS {
        let named = text.match_indices(folder).any(|(at, _)| {
            !text[..at].ends_with(part)
                && text[at + folder.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '.')
        });
        if named {
            wrong.push(format!("{path}: a path of one machine, below {folder}"));
        }
    }
    if path.ends_with(".rs") {
        let unfinished = UNFINISHED.iter().filter(|mark| text.contains(**mark));
        wrong.extend(unfinished.map(|mark| format!("{path}: {mark}")));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{
        MACHINE_FOLDERS, MANAGER, UNFINISHED, crowded, cycle, empty_name, forbidden_imports,
        impurities, is_pure, out_of_place, unreasoned,
    };

    #[test]
    fn forbidden_imports_are_noticed() {
        for (module, source) in [
            ("model", "use crate::net::Stream;"),
            (
                "protocol",
                "use crate::{model::Secret, telemetry::registry};",
            ),
            ("auth", "fn a() { crate::protocol::b() }"),
            ("pool", "use crate::session::Handle;"),
            ("net", "use super::super::pool::Pool;"),
            ("session", "use crate::config::Plan;"),
            ("session", "use crate::topology::Judge;"),
            ("config", "use crate::net::dial;"),
            ("config", "use crate::telemetry::log::init;"),
            ("telemetry", "use crate::daemon::run;"),
            ("misplaced", ""),
        ] {
            assert_eq!(
                forbidden_imports(module, 2, source).len(),
                1,
                "{module}: {source}"
            );
        }
        for (module, source) in [
            (
                "net",
                "use crate::{model::Secret, protocol::Exchange}; use crate::net::Stream;",
            ),
            (
                "config",
                "use crate::auth::{UserStore, store::verifier, userlist};",
            ),
            (
                "config",
                "use crate::net::options::TlsMode; use crate::session::SessionOptions;",
            ),
            ("config", "crate::telemetry::log::check_filter(x)"),
            ("daemon", "use crate::{config::Plan, session};"),
            ("net", "use super::pool::Pool;"),
        ] {
            assert!(
                forbidden_imports(module, 2, source).is_empty(),
                "{module}: {source}"
            );
        }
    }

    #[test]
    fn impurities_are_noticed() {
        for source in [
            "use tokio::io;",
            "async fn a() {}",
            "let a = b.await;",
            "let now = Instant::now();",
            "std::time::SystemTime::now()",
            "use aws_lc_rs::rand;",
            "rand::random()",
        ] {
            assert!(!impurities(source).is_empty(), "{source}");
        }
        let pure =
            "// tokio, .await\nlet operand = \"rand\"; fn a(now: Instant) { asynchronous() }";
        assert_eq!(impurities(pure), [""; 0]);
    }

    #[test]
    fn files_may_call_themselves_pure() {
        assert!(is_pure(Some("protocol"), ""));
        assert!(is_pure(
            Some("pool"),
            "//! Who waits.\n//! Pure: time is given.\n"
        ));
        assert!(!is_pure(
            Some("pool"),
            "//! Opens connections. // Pure: no\n"
        ));
        assert!(!is_pure(None, ""));
    }

    #[test]
    fn lints_without_a_reason_are_noticed() {
        let with = "#[expect(\n    clippy::expect_used,\n    reason = \"why\"\n)]\nfn a() {}";
        assert_eq!(unreasoned(with), [""; 0]);
        assert_eq!(
            unreasoned("#[allow(clippy::unwrap_used)] // reason").len(),
            1
        );
        assert_eq!(unreasoned("// clippy::unwrap_used"), [""; 0]);
    }

    #[test]
    fn a_cycle_is_noticed() {
        let graph = |edges: &[(&str, &str)]| {
            let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for (from, to) in edges {
                graph
                    .entry((*from).into())
                    .or_default()
                    .insert((*to).into());
            }
            graph
        };
        let tree = graph(&[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]);
        assert_eq!(cycle(&tree), None);
        let round = graph(&[("a", "b"), ("b", "c"), ("c", "d"), ("d", "b")]);
        assert_eq!(cycle(&round).unwrap(), ["b", "c", "d", "b"]);
    }

    #[test]
    fn crowds_are_noticed() {
        assert!(crowded(vec![100; 10]).is_empty());
        assert_eq!(crowded(vec![201; 10]).len(), 1);
        let mut lines = vec![100; 8];
        lines.extend([400, 500]);
        assert_eq!(crowded(lines).len(), 1);
    }

    #[test]
    fn empty_names_are_noticed() {
        for path in [
            "src/net/util.rs",
            "src/common/mod.rs",
            "src/net/manager.rs",
            "tests/it/types.rs",
        ] {
            assert!(empty_name(path), "{path}");
        }
        for path in [MANAGER, "src/utility.rs", "tests/it/support/mod.rs"] {
            assert!(!empty_name(path), "{path}");
        }
    }

    #[test]
    fn what_is_out_of_place_is_noticed() {
        for folder in MACHINE_FOLDERS {
            let text = format!("see {folder}ann/notes");
            assert_eq!(out_of_place("README.md", &text).len(), 1, "{text}");
            let text = format!("target{folder}ann and ${{HOME}}{folder}ann");
            assert!(out_of_place("README.md", &text).is_empty(), "{text}");
        }
        for mark in UNFINISHED {
            assert_eq!(out_of_place("src/a.rs", &format!("{mark}()")).len(), 1);
            assert!(out_of_place("README.md", mark).is_empty());
        }
    }
}
