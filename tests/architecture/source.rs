//! Reads Rust sources as far as the rules need: code without comments and literals, cut into
//! tokens, with what is compiled for tests told apart.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of `src/`.
#[derive(Debug)]
pub struct Source {
    /// Relative to the repository.
    pub path: String,
    /// The module below the crate that it belongs to; empty for `lib.rs` and `main.rs`.
    pub module: String,
    /// The `//!` lines.
    pub head: String,
    /// Compiled for tests only, as a whole.
    pub is_test: bool,
    /// All of the code.
    pub tokens: Vec<Token>,
    /// What is not compiled for tests only; empty if [`Self::is_test`].
    pub shipped: Vec<Token>,
}

/// A word, `::`, or any other character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub line: usize,
    pub text: String,
}

impl Source {
    /// Reads a text as if it were the file of this path.
    pub fn new(path: &str, text: &str) -> Self {
        let inner = path.strip_prefix("src/").unwrap_or(path);
        let module = inner.split('/').next().unwrap_or_default();
        let module = module.trim_end_matches(".rs");
        let head = text.lines().filter_map(|line| line.strip_prefix("//!"));
        let tokens = tokens(&blank(text));
        let (shipped, _) = without_tests(&tokens);
        Self {
            path: path.into(),
            module: match module {
                "lib" | "main" => String::new(),
                module => module.into(),
            },
            head: head.collect::<Vec<_>>().join("\n"),
            is_test: false,
            tokens,
            shipped,
        }
    }

    fn folder(&self) -> &str {
        let stem = self.path.trim_end_matches(".rs");
        match stem.rsplit_once('/') {
            Some((folder, "mod" | "lib" | "main")) => folder,
            _ => stem,
        }
    }
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files of `src/`, test files marked.
pub fn library() -> Vec<Source> {
    let mut sources: Vec<_> = rust_files(&root().join("src"))
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).unwrap();
            Source::new(&relative(path), &text)
        })
        .collect();
    assert!(sources.len() > 50, "{} sources", sources.len());
    mark_tests(&mut sources);
    sources
}

/// Marks the files that only `#[cfg(test)] mod name;` leads to.
pub fn mark_tests(sources: &mut [Source]) {
    let mut tests = BTreeSet::new();
    for source in sources.iter() {
        let (_, modules) = without_tests(&source.tokens);
        for module in modules {
            tests.insert(format!("{}/{module}", source.folder()));
        }
    }
    for source in sources {
        let stem = source.path.trim_end_matches(".rs");
        let is_test = tests
            .iter()
            .any(|test| stem == test || stem.starts_with(&format!("{test}/")));
        if is_test {
            source.is_test = true;
            source.shipped.clear();
        }
    }
}

/// The files under version control, as paths relative to the repository, with their bytes; without
/// version control, all files but those that are built.
pub fn tracked() -> Vec<(String, Vec<u8>)> {
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
    let paths: Vec<String> = match listed {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => {
            let text = String::from_utf8(output.stdout).unwrap();
            let names = text.split('\0').filter(|name| !name.is_empty());
            names.map(Into::into).collect()
        }
        _ => all_files(&root())
            .iter()
            .map(|path| relative(path))
            .collect(),
    };
    let read = paths.into_iter().filter_map(|path| {
        let bytes = fs::read(root().join(&path)).ok()?;
        Some((path, bytes))
    });
    read.collect()
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_str().unwrap().into()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = all_files(folder);
    files.retain(|path| path.extension().is_some_and(|ending| ending == "rs"));
    files
}

fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["target", ".git", "node_modules", ".venv"].contains(&name) {
            found.extend(all_files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The text with comments and the insides of literals replaced by spaces, line for line.
pub fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::new();
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => line_end(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => block_end(&chars, at),
            '"' => string_end(&chars, at),
            // The prefixes of `br"…"` and `cr"…"` may stay.
            'r' if !after_word(&chars, at) || is_prefixed(&chars, at) => raw_end(&chars, at),
            '\'' => char_end(&chars, at),
            _ => at,
        };
        if end == at {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        let hidden = chars[at..end.min(chars.len())].iter();
        out.extend(hidden.map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

fn after_word(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
}

/// True after a `b` or `c` that is itself not part of a longer word.
fn is_prefixed(chars: &[char], at: usize) -> bool {
    matches!(chars[at - 1], 'b' | 'c') && !after_word(chars, at - 1)
}

fn line_end(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    at + rest.iter().position(|c| *c == '\n').unwrap_or(rest.len())
}

fn block_end(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string_end(chars: &[char], at: usize) -> usize {
    let mut end = at + 1;
    while end < chars.len() && chars[end] != '"' {
        end += if chars[end] == '\\' { 2 } else { 1 };
    }
    end + 1
}

/// The end of `r"…"`, `r#"…"#`; `at` if it is none, for instance `r#match`.
fn raw_end(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    let mut end = at + 1 + hashes;
    if chars.get(end) != Some(&'"') {
        return at;
    }
    end += 1;
    while end < chars.len() {
        let closing = chars[end + 1..].iter().take(hashes);
        if chars[end] == '"' && closing.filter(|c| **c == '#').count() == hashes {
            return end + 1 + hashes;
        }
        end += 1;
    }
    end
}

/// The end of `'x'` or `'\n'`; `at` if it is a lifetime.
fn char_end(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), Some(_)) => {
            let rest = chars[at + 3..].iter();
            at + 4 + rest.take_while(|c| **c != '\'').count()
        }
        (Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

/// Cuts blanked code into tokens.
pub fn tokens(code: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    for (line, text) in (1..).zip(code.lines()) {
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            let length = match rest.find(|c| !word(c)).unwrap_or(rest.len()) {
                0 if rest.starts_with("::") => 2,
                0 => rest.chars().next().unwrap().len_utf8(),
                length => length,
            };
            let (text, after) = rest.split_at(length);
            let text = text.into();
            tokens.push(Token { line, text });
            rest = after.trim_start();
        }
    }
    tokens
}

/// The code without items that are compiled for tests only, and the names of such modules that
/// stand in files of their own.
fn without_tests(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    const CFG_TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut modules, mut at) = (Vec::new(), Vec::new(), 0);
    while at < tokens.len() {
        let here = tokens[at..].iter().map(|token| &*token.text);
        if !here.take(CFG_TEST.len()).eq(CFG_TEST) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let end = item_end(tokens, at + CFG_TEST.len());
        let item = &tokens[at..end];
        let name = item.iter().position(|token| token.text == "mod");
        if let Some(name) = name
            && item.last().is_some_and(|token| token.text == ";")
        {
            modules.push(item[name + 1].text.clone());
        }
        at = end;
    }
    (kept, modules)
}

/// After the `;` or the closing brace of the item that begins here.
fn item_end(tokens: &[Token], at: usize) -> usize {
    let (mut depth, mut braces) = (0, 0);
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match &*token.text {
            "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            "{" => braces += 1,
            "}" => {
                braces -= 1;
                if braces == 0 {
                    return index + 1;
                }
            }
            ";" if depth == 0 && braces == 0 => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::{Source, blank, mark_tests, tokens};

    fn words(code: &str) -> Vec<String> {
        tokens(&blank(code)).into_iter().map(|t| t.text).collect()
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        let code = "a // crate::x\n/* b /* c */ d */ e \"f \\\" g\" 'h' '\\'' '\\u{41}' &'i j\n\
            r#\"k \" l\"# br\"m\" b\"n\" r#match crate break";
        let expected = [
            "a", "e", "&", "'", "i", "j", "b", "b", "r", "#", "match", "crate", "break",
        ];
        assert_eq!(words(code), expected);
        assert_eq!(blank(code).lines().count(), code.lines().count());
    }

    #[test]
    fn items_for_tests_are_told_apart() {
        let text = "use a::b;\n#[cfg(test)]\n#[path = \"x\"]\nmod tests { fn x() { y[1]; } }\n\
            #[cfg(test)]\nuse c::d;\n#[cfg(test)]\nmod testing;\nfn e() {}\n";
        let mut sources = [
            Source::new("src/m/mod.rs", text),
            Source::new("src/m/testing.rs", "fn f() {}"),
            Source::new("src/m/testing/deep.rs", "fn g() {}"),
            Source::new("src/m/other.rs", "fn h() {}"),
        ];
        mark_tests(&mut sources);
        let shipped = sources[0].shipped.iter().map(|token| &*token.text);
        let shipped: Vec<_> = shipped.collect();
        assert_eq!(shipped.join(" "), "use a :: b ; fn e ( ) { }");
        let marked = sources.iter().map(|source| source.is_test);
        assert_eq!(marked.collect::<Vec<_>>(), [false, true, true, false]);
        assert_eq!(sources[0].module, "m");
        assert_eq!(Source::new("src/cli.rs", "").module, "cli");
        assert_eq!(Source::new("src/lib.rs", "").module, "");
    }
}
