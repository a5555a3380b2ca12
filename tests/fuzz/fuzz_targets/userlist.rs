//! PgBouncer's `userlist.txt`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::auth::userlist::parse;
use sluice::model::Verifier;

/// Names and what is stored about them; `None` if that cannot be written down again.
fn stored(text: &str) -> Option<Vec<(String, String)>> {
    let users = parse(text).ok()?;
    let all = users.into_iter().map(|user| {
        assert!(!user.name.is_empty());
        let stored = match user.verifier {
            None => String::new(),
            Some(Verifier::Password(secret) | Verifier::Md5(secret)) => {
                String::from_utf8(secret.expose().to_vec()).expect("from text")
            }
            Some(_) => return None,
        };
        Some((user.name.to_string(), stored))
    });
    all.collect()
}

fuzz_target!(|text: &str| {
    let Some(users) = stored(text) else { return };
    // Written down as PgBouncer would, they are the same users.
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut again = String::new();
    for (user, secret) in &users {
        again += &format!("{} {}\n", quoted(user), quoted(secret));
    }
    assert_eq!(stored(&again), Some(users));
});
