//! Settings whose value is a parameter: `SELECT set_config('jit', $1, false)`.
//!
//! The value is in the Bind message (format: PostgreSQL documentation, section 55.7). The binary
//! form of a text is the text itself, so the format code does not matter.

use std::sync::Arc;

use super::rename;
use crate::sql::postgres::path_has_temp_schema;
use crate::sql::statement::{Detail, Literal, LiteralKind, SettingAction, SettingChange, Verdict};

/// What executing a portal changes.
#[derive(Debug)]
pub struct Bound {
    /// The statements, with the values that were bound.
    pub verdict: Arc<Verdict>,
    /// Objects made from now on may be temporary ones.
    pub opens_temp_schema: bool,
}

/// Puts the values of a Bind into the statements; `None` if some value cannot be had. `parse` is
/// the Parse message after the name, `bind` the Bind message after the names.
pub fn resolve(verdict: &Verdict, parse: &[u8], bind: &[u8]) -> Option<Bound> {
    let (_, types) = rename::split_cstr(parse)?;
    let mut verdict = verdict.clone();
    let mut opens_temp_schema = false;
    for statement in &mut verdict.statements {
        let Detail::Settings(changes) = &mut statement.detail else {
            continue;
        };
        for change in changes {
            let SettingAction::Parameter(number) = change.action else {
                continue;
            };
            let place = usize::from(number).checked_sub(1)?;
            if !is_text(types, place)? {
                return None;
            }
            change.action = action(parameter(bind, place)?)?;
            opens_temp_schema |= opens(change);
        }
    }
    Some(Bound {
        verdict: Arc::new(verdict),
        opens_temp_schema,
    })
}

fn action(value: Parameter<'_>) -> Option<SettingAction> {
    // `set_config` takes NULL for the default.
    let Parameter(Some(value)) = value else {
        return Some(SettingAction::Default);
    };
    Some(SettingAction::Raw(Literal {
        text: std::str::from_utf8(value).ok()?.into(),
        kind: LiteralKind::String,
    }))
}

fn opens(change: &SettingChange) -> bool {
    let SettingAction::Raw(value) = &change.action else {
        return false;
    };
    &*change.name == "search_path" && path_has_temp_schema(value.text.as_bytes())
}

/// A parameter's value; `None` for NULL.
struct Parameter<'a>(Option<&'a [u8]>);

/// The parameter at this place, from 0.
fn parameter(bind: &[u8], place: usize) -> Option<Parameter<'_>> {
    let (formats, rest) = count(bind)?;
    let (parameters, mut rest) = count(rest.get(formats.checked_mul(2)?..)?)?;
    if place >= parameters {
        return None;
    }
    for _ in 0..place {
        rest = value(rest)?.1;
    }
    Some(Parameter(value(rest)?.0))
}

/// Splits a value off: Int32 length, or -1 for NULL, then its bytes.
fn value(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    match i32::from_be_bytes(*length) {
        -1 => Some((None, rest)),
        length => {
            let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            Some((Some(value), rest))
        }
    }
}

fn count(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (count, rest) = bytes.split_first_chunk::<2>()?;
    Some((usize::from(u16::from_be_bytes(*count)), rest))
}

/// Whether the parameter at this place was declared as a text, or not at all: the server then takes
/// it for one.
fn is_text(types: &[u8], place: usize) -> Option<bool> {
    let (declared, types) = count(types)?;
    if place >= declared {
        return Some(true);
    }
    let at = place.checked_mul(4)?;
    let oid = types.get(at..)?.first_chunk::<4>()?;
    Some(TEXTS.contains(&u32::from_be_bytes(*oid)))
}

/// Undeclared, `text`, `unknown`, `varchar` (the server's `pg_type.dat`).
const TEXTS: [u32; 4] = [0, 25, 705, 1043];

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::resolve;
    use crate::sql::postgres::classify;
    use crate::sql::statement::{SettingAction, Verdict};

    fn parse(text: &str, types: &[u32]) -> Vec<u8> {
        let mut out = [text.as_bytes(), b"\0"].concat();
        out.extend_from_slice(&u16::try_from(types.len()).unwrap().to_be_bytes());
        for oid in types {
            out.extend_from_slice(&oid.to_be_bytes());
        }
        out
    }

    fn bind(values: &[Option<&str>]) -> Vec<u8> {
        let mut out = b"\0\x01\0\x01".to_vec();
        out.extend_from_slice(&u16::try_from(values.len()).unwrap().to_be_bytes());
        for value in values {
            match value {
                None => out.extend_from_slice(&[0xff; 4]),
                Some(value) => {
                    out.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
                    out.extend_from_slice(value.as_bytes());
                }
            }
        }
        out.extend_from_slice(&[0, 0]);
        out
    }

    fn actions(verdict: &Verdict) -> Vec<SettingAction> {
        let changes = verdict.setting_changes();
        changes.map(|(_, change)| change.action.clone()).collect()
    }

    const TWO: &str = "select set_config('a.b', $2, false), set_config('search_path', $1, true)";

    #[test]
    fn values_come_from_the_bind() {
        let verdict = classify(TWO.as_bytes());
        let values = bind(&[Some("\"$user\", pg_temp"), None]);
        let bound = resolve(&verdict, &parse(TWO, &[25, 1043]), &values).unwrap();
        assert!(bound.opens_temp_schema);
        let actions = actions(&bound.verdict);
        assert_eq!(actions[0], SettingAction::Default);
        let SettingAction::Raw(path) = &actions[1] else {
            panic!("{actions:?}");
        };
        assert_eq!(&*path.text, "\"$user\", pg_temp");
    }

    #[test]
    fn what_cannot_be_had_is_not_guessed() {
        let verdict = classify(TWO.as_bytes());
        let values = bind(&[Some("a"), Some("b")]);
        assert!(resolve(&verdict, &parse(TWO, &[]), &values).is_some());
        assert!(resolve(&verdict, &parse(TWO, &[23, 25]), &values).is_none());
        assert!(resolve(&verdict, &parse(TWO, &[]), &bind(&[Some("a")])).is_none());
        let cut = &values[..values.len() - 4];
        assert!(resolve(&verdict, &parse(TWO, &[]), cut).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(parse: Vec<u8>, bind: Vec<u8>) {
            let _ = resolve(&classify(TWO.as_bytes()), &parse, &bind);
        }
    }
}
