//! The house rules that a compiler does not hold: who imports whom, what stays pure, how large a
//! file may grow, what no file may contain. The table of modules is explained in `src/lib.rs`.
//!
//! Each rule is a function, tested on what is wrong, so that a rule that notices nothing is noticed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking, and reads its own repository"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use reading::imports;
use rules::{
    MOST_LINES, PURE, crowded, cycle, empty_name, forbidden_imports, impurities, is_module,
    out_of_place,
};

mod reading;
mod rules;

/// A text file that belongs to the repository.
struct File {
    /// From its root.
    path: String,
    text: String,
}

impl File {
    fn is_source(&self) -> bool {
        self.path.starts_with("src/") && self.path.ends_with(".rs")
    }

    /// The top-level module it belongs to; `None` for `main.rs` and `lib.rs`.
    fn module(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let name = match inside.split_once('/') {
            Some((folder, _)) => folder,
            None => inside.strip_suffix(".rs")?,
        };
        (!matches!(name, "main" | "lib")).then_some(name)
    }

    /// How many modules it stands in, counting its own.
    fn depth(&self) -> usize {
        let own = usize::from(!self.path.ends_with("/mod.rs"));
        self.path.split('/').count() - 2 + own
    }

    fn lines(&self) -> usize {
        self.text.lines().count()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What git tracks, or would if asked; without git, what is not ignored by name.
fn files() -> Vec<File> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output();
    let paths: Vec<PathBuf> = match listed {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout)
            .unwrap()
            .split_terminator('\0')
            .map(|path| root().join(path))
            .collect(),
        _ => walk(root()),
    };
    let read = paths.iter().filter_map(|path| {
        // Deleted files and those that are no text have nothing to say.
        let text = std::fs::read_to_string(path).ok()?;
        let path = path.strip_prefix(root()).ok()?.to_str()?.to_owned();
        Some(File { path, text })
    });
    let files: Vec<_> = read.collect();
    assert!(files.iter().any(File::is_source), "no sources were found");
    files
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().and_then(|name| name.to_str());
        match name {
            Some("target" | ".git" | ".venv" | "node_modules") | None => {}
            Some(_) if path.is_dir() => found.extend(walk(&path)),
            Some(_) => found.push(path),
        }
    }
    found
}

#[track_caller]
fn none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn modules_import_downwards_only() {
    let mut wrong = Vec::new();
    for file in files().iter().filter(|file| file.is_source()) {
        let Some(module) = file.module() else {
            continue;
        };
        for complaint in forbidden_imports(module, file.depth(), &file.text) {
            wrong.push(format!("{}: {complaint}", file.path));
        }
    }
    none(wrong);
}

#[test]
fn no_module_leads_back_to_itself() {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files().iter().filter(|file| file.is_source()) {
        let Some(module) = file.module() else {
            continue;
        };
        let others = imports(&file.text, file.depth())
            .into_iter()
            .map(|path| path.split("::").next().unwrap().to_owned())
            .filter(|other| other != module && is_module(other));
        graph.entry(module.to_owned()).or_default().extend(others);
    }
    assert_eq!(cycle(&graph), None);
}

#[test]
fn what_is_pure_neither_waits_nor_asks_the_clock() {
    let mut wrong = Vec::new();
    for file in files().iter().filter(|file| file.is_source()) {
        if file.module().is_some_and(|module| PURE.contains(&module)) {
            for complaint in impurities(&file.text) {
                wrong.push(format!("{}: {complaint}", file.path));
            }
        }
    }
    none(wrong);
}

#[test]
fn files_stay_readable() {
    let files = files();
    let ours = |file: &&File| {
        ["src/", "tests/", "benches/"]
            .iter()
            .any(|folder| file.path.starts_with(folder))
            && [".rs", ".py"].iter().any(|end| file.path.ends_with(end))
    };
    let mut wrong: Vec<_> = files
        .iter()
        .filter(ours)
        .filter(|file| file.lines() > MOST_LINES)
        .map(|file| format!("{}: {} lines", file.path, file.lines()))
        .collect();
    let sources = files.iter().filter(|file| file.is_source());
    wrong.extend(crowded(sources.map(File::lines).collect()));
    none(wrong);
}

#[test]
fn modules_say_what_they_are_about() {
    let mut wrong = Vec::new();
    for file in files().iter().filter(|file| file.path.ends_with(".rs")) {
        if empty_name(&file.path) {
            wrong.push(format!("{}: the name says nothing", file.path));
        }
        // Of tests the name and the module they belong to say enough.
        let tests = file.path.ends_with("/tests.rs");
        if file.is_source() && !tests && !file.text.starts_with("//!") {
            wrong.push(format!("{}: begins without a description", file.path));
        }
    }
    none(wrong);
}

#[test]
fn nothing_is_unfinished_or_of_one_machine() {
    let files = files();
    none(
        files
            .iter()
            .flat_map(|f| out_of_place(&f.path, &f.text))
            .collect(),
    );
}

#[test]
fn depth_counts_modules() {
    let depth = |path: &str| {
        let path = path.to_owned();
        let text = String::new();
        File { path, text }.depth()
    };
    assert_eq!(depth("src/net/mod.rs"), 1);
    assert_eq!(depth("src/cli.rs"), 1);
    assert_eq!(depth("src/net/tls.rs"), 2);
    assert_eq!(depth("src/net/dial/mod.rs"), 2);
    assert_eq!(depth("src/net/dial/tests.rs"), 3);
}
