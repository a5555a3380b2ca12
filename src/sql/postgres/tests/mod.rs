//! What each kind of statement is seen to touch. The texts are such as drivers, tools and people send.

mod details;
mod doubt;
mod properties;
mod settings;
mod touches;

use super::classify;
use crate::sql::statement::Verdict;
use crate::sql::touches::{Touch, Touches};

/// The set of the touches named, separated by spaces.
fn touches(names: &str) -> Touches {
    let named = |name: &str| {
        Touch::ALL
            .into_iter()
            .find(|touch| touch.name() == name)
            .expect("a touch's name")
    };
    names.split_whitespace().map(named).collect()
}

fn verdict(text: &str) -> Verdict {
    classify(text.as_bytes())
}

#[track_caller]
fn check_all(table: &[(&str, &str)]) {
    for (text, names) in table {
        let verdict = verdict(text);
        assert_eq!(verdict.touches, touches(names), "{text}");
        let shouted = text.to_ascii_uppercase();
        assert_eq!(
            classify(shouted.as_bytes()).touches,
            touches(names),
            "{shouted}"
        );
    }
}
