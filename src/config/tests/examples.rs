//! The files in `config/`: all work, and the reference is complete.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde::Serialize;
use toml::{Table, Value};

use super::Folder;
use crate::config::raw;

/// The examples by name, with their text.
fn examples() -> BTreeMap<String, String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap());
    let named = files.map(|file| {
        let text = fs::read_to_string(file.path()).unwrap();
        (file.file_name().into_string().unwrap(), text)
    });
    named.collect()
}

/// A folder with every file that the text names. Variables become one that is set here.
fn surrounded(text: &str) -> (Folder, String) {
    let folder = Folder::new();
    let mut lines = Vec::new();
    for line in text.lines() {
        let key = line.split(" =").next().unwrap_or_default();
        if line.starts_with('#') {
            continue;
        }
        if key.ends_with("_env") {
            lines.push(format!("{key} = \"CARGO_PKG_NAME\""));
            continue;
        }
        if key.ends_with("_file") {
            let name = line.split('"').nth(1).unwrap();
            let content = match name {
                "userlist.txt" => "\"pgbouncer\" \"word\"\n\"reports\" \"word\"\n",
                _ => "word\n",
            };
            folder.write(name, content);
        }
        lines.push(line.to_owned());
    }
    (folder, lines.join("\n"))
}

#[test]
fn all_work_and_none_is_warned_of() {
    let examples = examples();
    assert!(examples.len() >= 6, "{:?}", examples.keys());
    for (name, text) in examples {
        let (folder, text) = surrounded(&text);
        let plan = folder
            .load(&text)
            .unwrap_or_else(|told| panic!("{name}: {told:?}"));
        let expected: &[&str] = match &*name {
            "reference.toml" => &[
                "user \"sluice_auth\": the server_password stands in the configuration file; server_password_file or server_password_env are safer",
            ],
            _ => &[],
        };
        assert_eq!(plan.warnings, expected, "{name}");
    }
}

/// The keys that serde takes for a table, from its own complaint about an unknown one.
fn keys_of(table: &str) -> BTreeSet<String> {
    let error = toml::from_str::<raw::File>(&format!("{table}\n'?' = 1")).unwrap_err();
    let message = error.message();
    assert!(message.starts_with("unknown field `?`"), "{message}");
    let names = message.split('`').skip(3).step_by(2);
    names.map(Into::into).collect()
}

/// The tables of a kind in a file.
fn tables<'a>(file: &'a Table, kind: &str) -> Vec<&'a Table> {
    let (outer, inner) = kind.split_once('.').unwrap_or((kind, ""));
    let found: Vec<&Table> = match &file[outer] {
        Value::Array(tables) => tables.iter().map(|t| t.as_table().unwrap()).collect(),
        table => vec![table.as_table().unwrap()],
    };
    match inner {
        "" => found,
        _ => found
            .iter()
            .flat_map(|table| tables(table, inner))
            .collect(),
    }
}

const KINDS: [(&str, &str); 6] = [
    ("general", "[general]"),
    ("listener", "[[listener]]"),
    ("target_group", "[[target_group]]"),
    (
        "target_group.target",
        "[[target_group]]\n[[target_group.target]]",
    ),
    ("database", "[[database]]"),
    ("user", "[[user]]"),
];

#[test]
fn the_reference_has_every_key() {
    let text = &examples()["reference.toml"];
    let file: Table = toml::from_str(text).unwrap();
    assert_eq!(
        file.keys().cloned().collect::<BTreeSet<_>>(),
        keys_of(""),
        "tables"
    );
    let mut count = 0;
    for (kind, header) in KINDS {
        let written = tables(&file, kind).into_iter().flat_map(Table::keys);
        let written: BTreeSet<String> = written.cloned().collect();
        let known = keys_of(header);
        assert_eq!(written, known, "{kind}");
        count += known.len();
    }
    assert!(count > 80, "{count} keys");
}

#[test]
fn the_reference_has_no_default() {
    let least = "[[listener]]\nname = '?'\naddress = '[::]:1'\n[[target_group]]\nname = '?'\n\
        target = [{ address = '?' }]\n[[database]]\nname = '?'\n[[user]]\nname = '?'\n";
    let least: raw::File = toml::from_str(least).unwrap();
    let defaults = Value::try_from(&least).unwrap();
    let defaults = defaults.as_table().unwrap();
    let text = &examples()["reference.toml"];
    let written: Table = toml::from_str(text).unwrap();
    // Through serde, so that "60s" is "1m".
    let read: raw::File = toml::from_str(text).unwrap();
    let read = as_table(&read);
    let mut same = Vec::new();
    for (kind, _) in KINDS {
        let [default] = &*tables(defaults, kind) else {
            panic!("{kind}");
        };
        for (written, read) in tables(&written, kind).iter().zip(tables(&read, kind)) {
            let equal = written
                .keys()
                .filter(|key| default.get(*key) == read.get(*key));
            same.extend(equal.map(|key| format!("{kind}.{key}")));
        }
    }
    // There is but one engine.
    assert_eq!(same, ["listener.engine", "target_group.engine"]);
}

fn as_table(file: &impl Serialize) -> Table {
    match Value::try_from(file).unwrap() {
        Value::Table(table) => table,
        other => panic!("{other}"),
    }
}

#[test]
fn the_reference_explains_every_key() {
    let text = &examples()["reference.toml"];
    let lines: Vec<&str> = text.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        let key = line.split(" = ").next().unwrap();
        if line.contains(" = ") && !line.starts_with(['#', ' ']) && key != "name" {
            // A comment above it, or above the keys that it belongs with.
            let above = lines[..number].iter().rev();
            let explained = above.take_while(|line| !line.is_empty());
            assert!(
                explained.into_iter().any(|line| line.starts_with('#')),
                "line {}: {key}",
                number + 1
            );
        }
    }
}
