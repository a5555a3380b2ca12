//! Reads Rust source just far enough: which paths of this crate it names, which words it says.

use std::collections::BTreeSet;

/// What a file names of this crate, from its root: by `crate::`, or by as many `super::` as lead
/// out of a module of this depth. Groups are spelt out.
pub fn imports(source: &str, depth: usize) -> BTreeSet<String> {
    let code = code_of(source);
    let out = "super::".repeat(depth);
    let mut paths = BTreeSet::new();
    for root in ["crate::", &out] {
        for (at, _) in code.match_indices(root).filter(|_| !root.is_empty()) {
            // Neither `$crate::` nor `mycrate::` nor the end of a longer chain of `super::`.
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || "_$:".contains(c)) {
                continue;
            }
            tree(&code[at + root.len()..], "", &mut paths);
        }
    }
    paths
}

/// Reads a path or a group of paths (`a::{b, c::d}`) and adds each; returns what follows.
fn tree<'a>(text: &'a str, prefix: &str, paths: &mut BTreeSet<String>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches([' ', '\n', ',']);
            match rest.strip_prefix('}') {
                Some(after) => return after,
                None if rest.is_empty() => return rest,
                None => {}
            }
            let after = tree(rest, prefix, paths);
            // `a as b`, or something that is no path at all.
            let end = after.find([',', '}']).unwrap_or(after.len());
            rest = &after[end..];
        }
    }
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*')
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let path = match prefix {
        "" => name.to_owned(),
        _ => format!("{prefix}::{name}"),
    };
    match rest.strip_prefix("::") {
        Some(deeper) if !deeper.starts_with('<') => tree(deeper, &path, paths),
        _ => {
            paths.insert(path);
            rest
        }
    }
}

/// The code of a source file: comments are left out, texts and characters emptied.
pub fn code_of(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(next) = rest.chars().next() {
        let named = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(hashes) = raw_text(rest).filter(|_| !named) {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = rest.find('"').unwrap() + 1;
            code.push_str("\"\"");
            rest[start..]
                .find(&end)
                .map_or(rest.len(), |at| start + at + end.len())
        } else if next == '"' {
            code.push_str("\"\"");
            quoted(rest, '"')
        } else if next == '\'' && is_character(rest) {
            code.push_str("' '");
            quoted(rest, '\'')
        } else {
            code.push(next);
            next.len_utf8()
        };
        rest = &rest[skipped..];
    }
    code
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        match &text[at..] {
            "" => return at,
            rest if rest.starts_with("/*") => (depth, at) = (depth + 1, at + 2),
            rest if rest.starts_with("*/") => (depth, at) = (depth - 1, at + 2),
            rest => at += rest.chars().next().map_or(0, char::len_utf8),
        }
        if depth == 0 {
            return at;
        }
    }
}

/// The number of `#` of a raw text that begins here, with or without `b` or `c` before.
fn raw_text(text: &str) -> Option<usize> {
    let text = text
        .strip_prefix(['b', 'c'])
        .unwrap_or(text)
        .strip_prefix('r')?;
    let hashes = text.len() - text.trim_start_matches('#').len();
    text[hashes..].starts_with('"').then_some(hashes)
}

/// `'x'` or `'\n'`, not the lifetime `'x`.
fn is_character(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    chars.next() == Some('\\') || chars.next() == Some('\'')
}

/// Length of a text in quotes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::imports;

    #[test]
    fn imports_are_found_however_they_are_written() {
        let source = "use crate::a::{b, c::{self, D}, e as f};\nlet x = crate::g::h(crate::i::J::new());\n\
                      pub(in crate::k) fn l<'a>(x: &'a crate::m::N<u8>) {}\nuse super::super::o::p;\n";
        let found: Vec<_> = imports(source, 2).into_iter().collect();
        let expected = [
            "a::b",
            "a::c::D",
            "a::c::self",
            "a::e",
            "g::h",
            "i::J::new",
            "k",
            "m::N",
            "o::p",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_no_code_is_no_import() {
        let source = "// crate::a\n/// [`crate::b`]\n/* crate::c /* nested */ crate::d */\n\
                      let x = \"crate::e \\\" crate::f\"; let y = r#\"crate::g \" \"#; let z = '\"';\n\
                      let c = '\\''; $crate::h!(); mycrate::i(); super::j(); fn k<'a>(x: &'a str) {}\n\
                      crate::l::m();";
        assert_eq!(Vec::from_iter(imports(source, 2)), ["l::m"]);
    }
}
