//! Lists of names as the server writes them.

use pg_query::protobuf::{KeywordKind, ScanToken};

/// True if a list is written as the server writes it out of single names, none of which needs quotes
/// (`flatten_set_variable_args` in the server's guc_funcs.c, `quote_identifier` in ruleutils.c).
#[must_use]
pub fn are_plain_names(list: &[u8]) -> bool {
    let Ok(list) = std::str::from_utf8(list) else {
        return false;
    };
    let mut names = list.split(", ");
    names.all(is_lower_word)
        && pg_query::scan_tokens(list).is_ok_and(|tokens| !tokens.iter().any(is_quoted_as_keyword))
}

fn is_lower_word(name: &str) -> bool {
    let first = name.bytes().next();
    let of_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    first.is_some_and(|byte| !byte.is_ascii_digit()) && name.bytes().all(of_word)
}

fn is_quoted_as_keyword(token: &ScanToken) -> bool {
    !matches!(
        token.keyword_kind(),
        KeywordKind::NoKeyword | KeywordKind::UnreservedKeyword
    )
}

#[cfg(test)]
mod tests {
    use super::are_plain_names;

    #[test]
    fn what_the_server_would_write_otherwise_is_not_plain() {
        for list in ["two", "one, two", "_x1, schema, public"] {
            assert!(are_plain_names(list.as_bytes()), "{list}");
        }
        for list in [
            "",
            "one,two",
            "one,  two",
            "One",
            "\"one\"",
            "$user",
            "user",
            "one, select",
            "1a",
            "a-b",
            "x$",
            "one, ",
            "é",
        ] {
            assert!(!are_plain_names(list.as_bytes()), "{list}");
        }
    }
}
