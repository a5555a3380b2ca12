//! What is pure: time and randomness come in as arguments, and nothing waits.

use crate::source::{Source, Token};

/// Pure as a whole.
const PURE: [&str; 4] = ["model", "sql", "router", "protocol"];
/// Elsewhere a file is pure if its head says so.
const MARK: &str = "Pure:";

/// Sequences of tokens that pure code does not have, and what they do.
const IMPURE: [(&[&str], &str); 8] = [
    (&["tokio", "::"], "uses tokio"),
    (&["async"], "is asynchronous"),
    (&[".", "await"], "waits"),
    (&["Instant", "::", "now"], "reads the clock"),
    (&["SystemTime", "::", "now"], "reads the clock"),
    (&[".", "elapsed", "("], "reads the clock"),
    (&["rand", "::"], "rolls dice"),
    (&["thread_rng"], "rolls dice"),
];

pub fn violations(source: &Source) -> Vec<String> {
    let pure = PURE.contains(&&*source.module) || source.head.contains(MARK);
    if !pure {
        return Vec::new();
    }
    let Source { path, shipped, .. } = source;
    let starts = (0..shipped.len()).map(|at| &shipped[at..]);
    let found = starts.flat_map(|rest| {
        IMPURE
            .iter()
            .filter(|(sequence, _)| begins(rest, sequence))
            .map(|(_, does)| format!("{path}:{}: {does}", rest[0].line))
    });
    found.collect()
}

/// True if the tokens begin with these.
pub fn begins(tokens: &[Token], sequence: &[&str]) -> bool {
    tokens.len() >= sequence.len()
        && tokens
            .iter()
            .zip(sequence)
            .all(|(token, text)| token.text == *text)
}

#[cfg(test)]
mod tests {
    use super::violations;
    use crate::source::Source;

    #[test]
    fn impure_code_is_told() {
        for code in [
            "use tokio::time::sleep;",
            "pub async fn f() {}",
            "fn f() { x.await }",
            "let now = std::time::Instant::now();",
            "SystemTime::now()",
            "since.elapsed()",
            "use aws_lc_rs::rand::fill; rand::fill(x)",
        ] {
            for module in ["model", "sql", "router", "protocol"] {
                let path = format!("src/{module}/x.rs");
                assert!(!violations(&Source::new(&path, code)).is_empty(), "{code}");
            }
            let elsewhere = Source::new("src/pool/x.rs", code);
            assert_eq!(violations(&elsewhere), [""; 0], "{code}");
            let marked = format!("//! Pure: decides who waits.\n{code}");
            assert!(!violations(&Source::new("src/pool/x.rs", &marked)).is_empty());
        }
    }

    #[test]
    fn words_and_tests_are_not_code() {
        for code in [
            "// tokio::x, async, .await\nfn f() {}",
            "fn f(now: Instant) -> &'static str { \"tokio::time\" }",
            "fn operand() {} fn asynchronous() {}",
            "#[cfg(test)] mod tests { use tokio::x; async fn f() { y.await } }",
        ] {
            let source = Source::new("src/protocol/x.rs", code);
            assert_eq!(violations(&source), [""; 0], "{code}");
        }
    }
}
