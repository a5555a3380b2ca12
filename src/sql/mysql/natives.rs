//! The names of the servers' own functions. Whatever else is called may be a stored function, which is code of
//! users.
//!
//! A name without schema and quotes means the server's own function where there is one, whatever functions users
//! have stored ("Function Name Parsing and Resolution" in both manuals).

use std::collections::HashMap;
use std::sync::LazyLock;

use foldhash::fast::RandomState;

use super::mode::Flavor;

/// Whether a call of this unquoted, unqualified name, in any case, runs no code of users.
pub(super) fn is_native(name: &[u8], flavor: Flavor) -> bool {
    static NAMES: LazyLock<HashMap<&[u8], Option<Flavor>, RandomState>> = LazyLock::new(parse);
    let mut buffer = [0; LONGEST];
    let Some(lowered) = buffer.get_mut(..name.len()) else {
        return false;
    };
    lowered.copy_from_slice(name);
    lowered.make_ascii_lowercase();
    let owner = NAMES.get(&*lowered);
    owner.is_some_and(|owner| owner.is_none_or(|owner| owner == flavor))
}

fn parse() -> HashMap<&'static [u8], Option<Flavor>, RandomState> {
    let lines = include_str!("natives.txt").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .map(|line| match line.split_once(' ') {
            Some((name, "mysql")) => (name.as_bytes(), Some(Flavor::MySql)),
            Some((name, _)) => (name.as_bytes(), Some(Flavor::MariaDb)),
            None => (line.as_bytes(), None),
        })
        .collect()
}

/// The longest name in the list, in bytes.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::is_native;
    use crate::sql::mysql::Flavor::{MariaDb, MySql};

    #[test]
    fn own_functions_are_known_in_any_case() {
        for name in ["count", "NOW", "Json_Extract", "in", "VALUES", "coalesce"] {
            assert!(is_native(name.as_bytes(), MySql), "{name}");
            assert!(is_native(name.as_bytes(), MariaDb), "{name}");
        }
    }

    #[test]
    fn a_function_of_one_family_may_be_a_users_in_the_other() {
        assert!(is_native(b"uuid_to_bin", MySql) && !is_native(b"uuid_to_bin", MariaDb));
        assert!(is_native(b"column_json", MariaDb) && !is_native(b"column_json", MySql));
        assert!(!is_native(b"price_of", MySql) && !is_native(&[b'a'; 65], MySql));
    }
}
