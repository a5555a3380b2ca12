//! Who may import whom.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, Token};

/// What a module may import.
enum May {
    /// These modules.
    Modules(&'static [&'static str]),
    /// Paths that begin so.
    Paths(&'static [&'static str]),
    /// Everything.
    All,
}

/// Layers from the bottom; siblings never.
const TABLE: [(&str, May); 15] = [
    ("model", May::Modules(&[])),
    ("sql", May::Modules(&[])),
    ("router", May::Modules(&["model"])),
    ("telemetry", May::Modules(&["model"])),
    ("protocol", May::Modules(&["model", "sql"])),
    (
        "net",
        May::Modules(&["model", "sql", "protocol", "telemetry"]),
    ),
    ("auth", May::Modules(&["model", "sql", "telemetry", "net"])),
    ("pool", May::Modules(BELOW_POOL)),
    ("topology", May::Modules(BELOW_POOL)),
    (
        "session",
        May::Modules(&[
            "model",
            "sql",
            "router",
            "protocol",
            "telemetry",
            "net",
            "auth",
            "pool",
        ]),
    ),
    // Options of anyone, and what it needs to check: users as they are stored, and log filters.
    (
        "config",
        May::Paths(&[
            "model",
            "net::options",
            "auth::options",
            "auth::store",
            "auth::userlist",
            "auth::UserStore",
            "pool::options",
            "session::options",
            "telemetry::options",
            "telemetry::log::check_filter",
        ]),
    ),
    ("daemon", May::All),
    ("demo", May::All),
    ("cli", May::All),
    // lib.rs and main.rs.
    ("", May::All),
];
const BELOW_POOL: &[&str] = &["model", "sql", "protocol", "telemetry", "net", "auth"];

/// A path into the crate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    pub line: usize,
    /// Without `crate`.
    pub path: Vec<String>,
}

/// Every import that the table does not allow, tests included: they must not tie modules either.
pub fn violations(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        let Source { path, module, .. } = source;
        let Some((_, may)) = TABLE.iter().find(|(name, _)| name == module) else {
            found.push(format!("{path}: the table knows no module `{module}`"));
            continue;
        };
        for import in imports(&source.tokens, depth(path)) {
            let written = import.path.join("::");
            let target = import.path.first().map_or("", |name| &**name);
            let allowed = target == module
                || match may {
                    May::All => true,
                    May::Modules(names) => names.contains(&target),
                    May::Paths(paths) => paths.iter().any(|path| is_below(&written, path)),
                };
            if !allowed {
                let line = import.line;
                found.push(format!(
                    "{path}:{line}: `{module}` must not import `{written}`"
                ));
            }
        }
    }
    found
}

fn is_below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Modules from the crate to the file itself.
fn depth(path: &str) -> usize {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    let inner = inner.trim_end_matches("/mod");
    match inner {
        "lib" | "main" => 0,
        _ => inner.split('/').count(),
    }
}

/// Paths that begin with `crate`, or climb to it by `super`; of a file at `depth`.
pub fn imports(tokens: &[Token], depth: usize) -> Vec<Import> {
    let mut found = Vec::new();
    let mut inline = Inline::default();
    let mut at = 0;
    while at < tokens.len() {
        inline.see(tokens, at);
        let begins = at == 0 || tokens[at - 1].text != "::";
        let root = match &*tokens[at].text {
            "crate" => Some(at + 1),
            "super" if begins => climb(tokens, at, depth + inline.modules.len()),
            _ => None,
        };
        if let Some(root) = root
            && tokens.get(root).is_some_and(|token| token.text == "::")
        {
            tree(tokens, root + 1, &[], &mut found);
        }
        at += 1;
    }
    found.retain(|import| !import.path.is_empty());
    found
}

/// The modules that stand in braces in this file, around a token.
#[derive(Default)]
struct Inline {
    braces: usize,
    modules: Vec<usize>,
}

impl Inline {
    fn see(&mut self, tokens: &[Token], at: usize) {
        match &*tokens[at].text {
            "{" => {
                if at >= 2 && tokens[at - 2].text == "mod" {
                    self.modules.push(self.braces);
                }
                self.braces += 1;
            }
            "}" => {
                self.braces = self.braces.saturating_sub(1);
                if self.modules.last() == Some(&self.braces) {
                    self.modules.pop();
                }
            }
            _ => {}
        }
    }
}

/// Where a chain of `super` ends, if it ends at the crate.
fn climb(tokens: &[Token], mut at: usize, depth: usize) -> Option<usize> {
    let mut climbed = 1;
    while tokens.get(at + 1).is_some_and(|token| token.text == "::")
        && tokens
            .get(at + 2)
            .is_some_and(|token| token.text == "super")
    {
        climbed += 1;
        at += 2;
    }
    (climbed >= depth).then_some(at + 1)
}

/// The paths of a use tree, or of a path in an expression. Returns where it ends.
fn tree(tokens: &[Token], mut at: usize, before: &[String], found: &mut Vec<Import>) -> usize {
    let mut path = before.to_vec();
    let line = tokens.get(at).map_or(0, |token| token.line);
    loop {
        match tokens.get(at).map(|token| &*token.text) {
            Some("{") => {
                at += 1;
                while at < tokens.len() && tokens[at].text != "}" {
                    if tokens[at].text == "," {
                        at += 1;
                    } else {
                        at = tree(tokens, at, &path, found);
                    }
                }
                return at + 1;
            }
            Some(word) if is_word(word) => {
                if word != "self" {
                    path.push(word.into());
                }
                at += 1;
            }
            // `*`, or the `<` of a turbofish.
            _ => break at += 1,
        }
        if tokens.get(at).is_none_or(|token| token.text != "::") {
            break;
        }
        at += 1;
    }
    // `as name`
    if tokens.get(at).is_some_and(|token| token.text == "as") {
        at += 2;
    }
    found.push(Import { line, path });
    at
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Which module imports which, tests left out.
pub fn edges(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.module.is_empty()) {
        let imports = imports(&source.shipped, depth(&source.path));
        let targets = imports.into_iter().map(|import| import.path[0].clone());
        let others = targets.filter(|target| *target != source.module);
        edges
            .entry(source.module.clone())
            .or_default()
            .extend(others);
    }
    edges
}

/// A way from a module back to itself.
pub fn cycle(edges: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(
        edges: &BTreeMap<String, BTreeSet<String>>,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        let here = way.last()?.clone();
        for next in edges.get(&here).into_iter().flatten() {
            if let Some(start) = way.iter().position(|module| module == next) {
                let mut found = way[start..].to_vec();
                found.push(next.clone());
                return Some(found);
            }
            if !done.contains(next) {
                way.push(next.clone());
                let found = walk(edges, way, done);
                way.pop();
                if found.is_some() {
                    return found;
                }
            }
        }
        done.insert(here);
        None
    }
    let mut done = BTreeSet::new();
    edges
        .keys()
        .find_map(|start| walk(edges, &mut vec![start.clone()], &mut done))
}

#[cfg(test)]
mod tests {
    use super::{cycle, edges, imports, violations};
    use crate::source::Source;

    fn told(path: &str, code: &str) -> Vec<String> {
        violations(&[Source::new(path, code)])
    }

    #[test]
    fn all_forms_of_paths_are_seen() {
        let code = "use crate::a::{self, b::{c, d as e}, f::*};\nfn g() { crate::h::<u8>(1); }\n\
            pub(crate) struct S; pub(in crate::i) use x::y; $crate::j!();\n\
            // crate::k\nconst L: &str = \"crate::l\";\n";
        let source = Source::new("src/net/x.rs", code);
        let found = imports(&source.tokens, 2);
        let found: Vec<_> = found.iter().map(|import| import.path.join("::")).collect();
        let expected = ["a", "a::b::c", "a::b::d", "a::f", "h", "i", "j"];
        assert_eq!(found, expected);
        assert_eq!(imports(&source.tokens, 2)[4].line, 2);
    }

    #[test]
    fn super_is_followed_to_the_crate() {
        let deep = |code| told("src/model/deep/file.rs", code);
        assert_eq!(deep("use super::super::other;"), [""; 0]);
        assert_eq!(deep("use super::super::super::net::x;").len(), 1);
        let inline = "mod tests { use super::super::super::other; }";
        assert_eq!(deep(inline), [""; 0]);
        assert_eq!(told("src/model/mod.rs", "use super::net;").len(), 1);
        let twice = "mod a { mod b {} } use super::net;";
        assert_eq!(told("src/model/mod.rs", twice).len(), 1);
    }

    #[test]
    fn imports_up_and_sideways_are_refused() {
        let cases = [
            ("src/model/x.rs", "use crate::sql::Y;"),
            ("src/protocol/x.rs", "use crate::net::Stream;"),
            ("src/net/x.rs", "fn f(_: crate::auth::UserStore) {}"),
            ("src/pool/x.rs", "use crate::{model, session};"),
            ("src/session/x.rs", "use crate::config::Plan;"),
            ("src/config/x.rs", "use crate::net::Stream;"),
            ("src/config/x.rs", "use crate::net::options_of_others;"),
            ("src/config/x.rs", "use crate::daemon;"),
            ("src/unheard_of.rs", ""),
        ];
        for (path, code) in cases {
            assert_eq!(told(path, code).len(), 1, "{path}: {code}");
        }
        let refused = told("src/model/x.rs", "\nuse crate::sql::Y;");
        let expected = "src/model/x.rs:2: `model` must not import `sql::Y`";
        assert_eq!(refused, [expected]);
    }

    #[test]
    fn imports_down_and_inside_are_fine() {
        let cases = [
            ("src/model/x.rs", "use crate::model::Y;"),
            ("src/net/x.rs", "use crate::protocol::{Exchange, Step};"),
            ("src/config/x.rs", "use crate::net::options::DialOptions;"),
            ("src/daemon/x.rs", "use crate::{config, session};"),
            ("src/lib.rs", "pub use crate::cli::main;"),
        ];
        for (path, code) in cases {
            assert_eq!(told(path, code), [""; 0], "{path}: {code}");
        }
    }

    #[test]
    fn cycles_are_found_whatever_the_table_says() {
        let sources = [
            Source::new("src/a.rs", "use crate::b::X;"),
            Source::new("src/b/mod.rs", "mod c;"),
            Source::new("src/b/c.rs", "use crate::d;"),
            Source::new("src/d.rs", "use crate::b::Y; use crate::d::Z;"),
        ];
        let found = cycle(&edges(&sources)).unwrap();
        assert_eq!(found, ["b", "d", "b"]);
        assert_eq!(cycle(&edges(&sources[..3])), None);
        let tied = "#[cfg(test)] mod tests { use crate::a::X; }";
        let tests = [
            Source::new("src/a.rs", "use crate::b::X;"),
            Source::new("src/b.rs", tied),
        ];
        assert_eq!(cycle(&edges(&tests)), None);
    }
}
