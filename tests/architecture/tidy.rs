//! Sizes, names, reasons, and what must not stand in the repository.

use crate::purity::begins;
use crate::source::Source;

/// No file is longer.
const MOST_LINES: usize = 700;
/// Half of the files are not longer; 150 is the aim.
pub const MOST_MEDIAN: usize = 200;
/// Names that say nothing about what a module decides.
const EMPTY_NAMES: [&str; 8] = [
    "util", "utils", "common", "helper", "helpers", "types", "misc", "manager",
];
/// How far above a call its reason may stand, in lines.
const NEAR: usize = 15;
/// Written apart, so that this file does not have them.
const MACHINE_PATHS: [&str; 3] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/tmp/", "plan"),
];

/// Path and number of lines of each file of code.
pub fn lengths(files: &[(String, Vec<u8>)]) -> Vec<(String, usize)> {
    let code = files.iter().filter(|(path, _)| {
        let folder = path.split('/').next().unwrap_or_default();
        let ending = path.rsplit('.').next().unwrap_or_default();
        ["src", "tests", "benches"].contains(&folder) && ["rs", "py", "js", "sh"].contains(&ending)
    });
    code.map(|(path, bytes)| {
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        (path.clone(), lines)
    })
    .collect()
}

pub fn too_long(lengths: &[(String, usize)]) -> Vec<String> {
    let long = lengths.iter().filter(|(_, lines)| *lines > MOST_LINES);
    long.map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect()
}

/// Of the files in `src/`.
pub fn median(lengths: &[(String, usize)]) -> usize {
    let mut lines: Vec<_> = lengths
        .iter()
        .filter(|(path, _)| path.starts_with("src/"))
        .map(|(_, lines)| *lines)
        .collect();
    lines.sort_unstable();
    lines.get(lines.len() / 2).copied().unwrap_or_default()
}

/// Files and folders of Rust code whose names say nothing.
pub fn bad_names(files: &[(String, Vec<u8>)]) -> Vec<String> {
    let rust = files.iter().map(|(path, _)| path).filter(|path| {
        // The word of deadpool's own trait.
        path.ends_with(".rs") && *path != "src/pool/manager.rs"
    });
    let bad = rust.filter(|path| {
        let mut names = path.trim_end_matches(".rs").split('/');
        names.any(|name| EMPTY_NAMES.contains(&name))
    });
    bad.cloned().collect()
}

/// Calls that may panic, outside of tests, without a lint attribute with a reason near above.
pub fn panics_without_reason(source: &Source) -> Vec<String> {
    let Source { path, shipped, .. } = source;
    let mut reasons = Vec::new();
    let mut found = Vec::new();
    for at in 0..shipped.len() {
        let rest = &shipped[at..];
        let line = rest[0].line;
        for lint in ["unwrap_used", "expect_used"] {
            if begins(rest, &["clippy", "::", lint]) {
                let attribute = rest.iter().take_while(|token| token.text != "]");
                if attribute.into_iter().any(|token| token.text == "reason") {
                    reasons.push((lint, line));
                } else {
                    found.push(format!("{path}:{line}: {lint} without a reason"));
                }
            }
        }
        for (sequence, lint) in [
            (&[".", "unwrap", "(", ")"][..], "unwrap_used"),
            (&[".", "expect", "("][..], "expect_used"),
        ] {
            let near = |(reason, at): &(&str, usize)| *reason == lint && at + NEAR >= line;
            if begins(rest, sequence) && !reasons.iter().any(near) {
                found.push(format!("{path}:{line}: {}", sequence.concat()));
            }
        }
    }
    found
}

pub fn machine_paths(files: &[(String, Vec<u8>)]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, bytes) in files {
        let text = String::from_utf8_lossy(bytes);
        for (number, line) in (1..).zip(text.lines()) {
            for machine in MACHINE_PATHS {
                if line.contains(machine) {
                    found.push(format!("{path}:{number}: {machine}"));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{bad_names, lengths, machine_paths, median, panics_without_reason, too_long};
    use crate::source::Source;

    fn file(path: &str, text: &str) -> (String, Vec<u8>) {
        (path.into(), text.into())
    }

    #[test]
    fn long_files_are_told() {
        let files = [
            file("src/a.rs", &"\n".repeat(701)),
            file("tests/b.py", &"\n".repeat(701)),
            file("src/c.rs", &"\n".repeat(700)),
            file("src/d.rs", &"\n".repeat(3)),
            file("src/e.key", &"\n".repeat(900)),
            file("docs/f.rs", &"\n".repeat(900)),
        ];
        let lengths = lengths(&files);
        assert_eq!(
            too_long(&lengths),
            ["src/a.rs: 701 lines", "tests/b.py: 701 lines"]
        );
        assert_eq!(median(&lengths), 700);
    }

    #[test]
    fn empty_names_are_told() {
        let paths = [
            "src/util.rs",
            "src/net/common/mod.rs",
            "src/pool/manager.rs",
            "src/net/manager.rs",
            "src/commonly.rs",
        ];
        let files = paths.map(|path| file(path, ""));
        assert_eq!(
            bad_names(&files),
            ["src/util.rs", "src/net/common/mod.rs", "src/net/manager.rs"]
        );
    }

    #[test]
    fn panics_need_a_reason() {
        let told = |code: &str| panics_without_reason(&Source::new("src/x.rs", code)).len();
        assert_eq!(told("fn f() { x.unwrap(); }"), 1);
        assert_eq!(told("fn f() { x.expect(\"why\"); }"), 1);
        let reason =
            "#[expect(clippy::expect_used, reason = \"why\")]\nfn f() { x.expect(\"y\"); }";
        assert_eq!(told(reason), 0);
        assert_eq!(
            told(&format!("{reason}{}x.expect(\"z\");", "\n".repeat(20))),
            1
        );
        assert_eq!(told(&reason.replace("x.expect(\"y\")", "x.unwrap()")), 1);
        assert_eq!(told(&reason.replace(", reason = \"why\"", "")), 2);
        assert_eq!(told("fn f() { x.unwrap_or_default(); } // x.unwrap()"), 0);
        assert_eq!(told("#[cfg(test)] mod tests { fn f() { x.unwrap(); } }"), 0);
    }

    #[test]
    fn paths_of_a_machine_are_told() {
        let path = super::MACHINE_PATHS[0];
        let files = [
            file("a.md", &format!("fine\nsee {path}main\n")),
            file("b.md", "see target/main\n"),
        ];
        assert_eq!(machine_paths(&files), [format!("a.md:2: {path}")]);
    }
}
