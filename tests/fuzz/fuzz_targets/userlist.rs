//! PgBouncer's `userlist.txt`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::auth::userlist::parse;

fuzz_target!(|text: &str| {
    let Ok(users) = parse(text) else { return };
    // Written down as PgBouncer would, they are the same users.
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut again = String::new();
    for (user, secret) in &users {
        assert!(!user.is_empty());
        let secret = std::str::from_utf8(secret.expose()).expect("from text");
        again += &format!("{} {}\n", quoted(user), quoted(secret));
    }
    assert_eq!(parse(&again), Ok(users));
});
