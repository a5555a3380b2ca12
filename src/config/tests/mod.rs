//! Whole files, from text to plan.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{Plan, load, show};

mod credentials;
mod meaning;
mod methods;
mod mistakes;
mod reload;
mod survival;
mod tokens;

/// The least that works without warnings.
const LEAST: &str = r#"[[listener]]
name = "app"
address = "127.0.0.1:6432"

[[target_group]]
name = "main"

[[target_group.target]]
address = "db:5432"

[[user]]
name = "app"
password_file = "app.password"
"#;

const SCRAM: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

/// A folder with the files that configurations here name.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, content) in [
            ("app.password", "a secret\n"),
            ("server.crt", "-"),
            ("server.key", "-"),
            ("ca.crt", "-"),
            (
                "userlist.txt",
                "; users\n\"listed\" \"its secret\"\n\"md5\" \"md53175bce1d3201d16594cebf9d7eb3f9d\"\n",
            ),
            ("broken.txt", "\"a\" \"b\"\n\"c\" \"its secret\n"),
            ("empty", ""),
        ] {
            folder.write(name, content);
        }
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path().join(name), content).unwrap();
    }

    fn load(&self, text: &str) -> Result<Plan, Vec<String>> {
        self.write("sluice.toml", text);
        load(&self.path().join("sluice.toml")).map_err(|error| {
            let here = format!("{}/", self.path().display());
            let problems = error.problems().iter().map(ToString::to_string);
            problems.map(|text| text.replace(&here, "")).collect()
        })
    }

    fn show(&self, text: &str) -> String {
        self.write("sluice.toml", text);
        show(&self.path().join("sluice.toml")).unwrap().0
    }
}

fn load_text(text: &str) -> Result<Plan, Vec<String>> {
    Folder::new().load(text)
}

/// [`LEAST`] with lines added, each after the first place of a text.
fn with(changes: &[(&str, &str)]) -> String {
    let mut text = LEAST.to_owned();
    for (after, lines) in changes {
        let at = text.find(after).unwrap() + after.len();
        text.insert_str(at, &format!("\n{lines}"));
    }
    text
}

/// Lines after which keys of a table can be added.
const LISTENER: &str = "address = \"127.0.0.1:6432\"";
const GROUP: &str = "name = \"main\"";
const USER: &str = "password_file = \"app.password\"";
