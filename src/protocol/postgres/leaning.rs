//! What a session's settings say about where its texts go.

use std::collections::BTreeMap;

use super::settings::Value;
use crate::protocol::demand::Hint;

/// Worked out when settings change, since it is asked for with each request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Leaning {
    /// The role that the session has asked for.
    pub role: Option<Hint>,
    /// Its transactions are serializable unless they say otherwise. A standby has none such.
    pub serializable: bool,
}

impl Leaning {
    /// By these settings.
    pub(super) fn of(values: &BTreeMap<Box<str>, Value>) -> Self {
        let value = |name: &str| values.get(name).map(plain);
        let isolation = value("default_transaction_isolation");
        Self {
            role: value(ROLE).and_then(Hint::named),
            serializable: isolation
                .is_some_and(|value| value.eq_ignore_ascii_case(b"serializable")),
        }
    }
}

/// A value without the quotes of a constant.
fn plain(value: &Value) -> &[u8] {
    let (Value::Text(text) | Value::List(text)) = value;
    let text: &[u8] = text;
    let inner = text.strip_prefix(b"'");
    inner
        .and_then(|inner| inner.strip_suffix(b"'"))
        .unwrap_or(text)
}

/// The setting by which a session chooses a role.
const ROLE: &str = "sluice.role";
