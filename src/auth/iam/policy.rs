//! Pure: policies in the JSON form of IAM, as far as they are about connecting to a database (AWS
//! documentation, "IAM JSON policy element reference").
//!
//! Whatever is not understood is refused when the document is loaded: a condition that is
//! silently left out would let somebody in.

use serde::Deserialize;

/// The action that is asked for.
const ACTION: &str = "rds-db:connect";
/// Versions of the policy language.
const VERSIONS: [&str; 2] = ["2012-10-17", "2008-10-17"];
/// Parts of an ARN, up to and with the resource.
const ARN_PARTS: usize = 6;
/// Largest document in bytes. IAM's own limit for a managed policy is 6,144 characters.
const LARGEST: usize = 64 * 1024;

/// A policy document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    deny: bool,
    actions: Vec<String>,
    resources: Vec<String>,
}

/// Why a document cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// It is larger than any policy.
    #[error("the policy is larger than 64 KB")]
    TooLarge,
    /// It is no JSON, or not of this form.
    #[error("not a policy: {0}")]
    Shape(String),
    /// Its version is unknown.
    #[error("Version {0:?} is not known; \"2012-10-17\" is")]
    Version(String),
    /// A statement has an element that cannot be honoured.
    #[error("statement {0}: {1} is not supported")]
    Unsupported(usize, &'static str),
    /// A statement lacks an element.
    #[error("statement {0}: {1} is missing")]
    Missing(usize, &'static str),
    /// A resource is not an ARN.
    #[error("statement {0}: Resource {1:?} is neither \"*\" nor an ARN")]
    Resource(usize, String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Document {
    version: Option<String>,
    #[serde(rename = "Id")]
    _id: Option<String>,
    statement: OneOrMany<Statement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Statement {
    #[serde(rename = "Sid")]
    _sid: Option<String>,
    effect: Effect,
    action: Option<OneOrMany<String>>,
    resource: Option<OneOrMany<String>>,
    not_action: Option<serde::de::IgnoredAny>,
    not_resource: Option<serde::de::IgnoredAny>,
    condition: Option<serde::de::IgnoredAny>,
    principal: Option<serde::de::IgnoredAny>,
    not_principal: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize, PartialEq)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

impl Policy {
    /// Reads a document.
    ///
    /// # Errors
    /// Whatever is wrong with it, or cannot be honoured.
    pub fn parse(json: &str) -> Result<Self, PolicyError> {
        if json.len() > LARGEST {
            return Err(PolicyError::TooLarge);
        }
        let document: Document =
            serde_json::from_str(json).map_err(|error| PolicyError::Shape(error.to_string()))?;
        if let Some(version) = document.version
            && !VERSIONS.contains(&&*version)
        {
            return Err(PolicyError::Version(version));
        }
        let statements = document.statement.into_vec();
        let rules = statements.into_iter().zip(1..);
        let rules = rules.map(|(statement, number)| rule(statement, number));
        rules.collect::<Result<_, _>>().map(Self)
    }
}

/// A statement that can be honoured; `number` counts from 1.
fn rule(statement: Statement, number: usize) -> Result<Rule, PolicyError> {
    for (given, name) in [
        (statement.not_action.is_some(), "NotAction"),
        (statement.not_resource.is_some(), "NotResource"),
        (statement.condition.is_some(), "Condition"),
        (statement.principal.is_some(), "Principal"),
        (statement.not_principal.is_some(), "NotPrincipal"),
    ] {
        if given {
            return Err(PolicyError::Unsupported(number, name));
        }
    }
    let list = |list: Option<OneOrMany<String>>, name| {
        let list = list
            .map(OneOrMany::into_vec)
            .filter(|list| !list.is_empty());
        list.ok_or(PolicyError::Missing(number, name))
    };
    let rule = Rule {
        deny: statement.effect == Effect::Deny,
        actions: list(statement.action, "Action")?,
        resources: list(statement.resource, "Resource")?,
    };
    for resource in &rule.resources {
        if resource.contains("${") {
            return Err(PolicyError::Unsupported(number, "a policy variable"));
        }
        if resource != "*" && (!resource.starts_with("arn:") || parts(resource).is_none()) {
            return Err(PolicyError::Resource(number, resource.clone()));
        }
    }
    Ok(rule)
}

/// Whether policies together allow connecting as the database user that an ARN names: one must
/// allow it, and none may deny it.
pub fn allows<'a>(policies: impl IntoIterator<Item = &'a Policy>, arn: &str) -> bool {
    let mut allowed = false;
    for rule in policies.into_iter().flat_map(|policy| &policy.0) {
        if !rule.actions.iter().any(|pattern| is_action(pattern)) {
            continue;
        }
        let resources = || rule.resources.iter();
        if rule.deny {
            // Where it is a matter of opinion how far a wildcard reaches, it denies more.
            if resources().any(|pattern| glob(pattern, arn) || is_resource(pattern, arn)) {
                return false;
            }
        } else if resources().any(|pattern| is_resource(pattern, arn)) {
            allowed = true;
        }
    }
    allowed
}

/// Actions are compared without regard to case.
fn is_action(pattern: &str) -> bool {
    glob(&pattern.to_ascii_lowercase(), ACTION)
}

/// Part by part: a wildcard in one part of an ARN does not reach into the next.
fn is_resource(pattern: &str, arn: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    let (Some(pattern), Some(arn)) = (parts(pattern), parts(arn)) else {
        return false;
    };
    pattern
        .iter()
        .zip(arn)
        .all(|(pattern, part)| glob(pattern, part))
}

fn parts(arn: &str) -> Option<[&str; ARN_PARTS]> {
    let parts: Vec<&str> = arn.splitn(ARN_PARTS, ':').collect();
    parts.try_into().ok()
}

/// `*` stands for any characters, also none, and `?` for one. Takes time in proportion to the
/// product of the lengths at worst.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while let Some(now) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(wanted) if *wanted == '?' || wanted == now => {
                (p, t) = (p + 1, t + 1);
            }
            _ => {
                let Some((star, from)) = retry else {
                    return false;
                };
                retry = Some((star, from + 1));
                (p, t) = (star + 1, from + 1);
            }
        }
    }
    pattern.iter().skip(p).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{Policy, allows, glob};

    const ARN: &str = "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/app";

    fn statement(effect: &str, action: &str, resource: &str) -> String {
        format!(r#"{{"Effect":"{effect}","Action":"{action}","Resource":"{resource}"}}"#)
    }

    fn policy(statements: &[String]) -> Policy {
        let statements = statements.join(",");
        let json = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
        Policy::parse(&json).unwrap()
    }

    fn allowed(statements: &[String]) -> bool {
        allows([&policy(statements)], ARN)
    }

    #[test]
    fn what_is_not_allowed_is_refused() {
        assert!(!allows([], ARN));
        assert!(!allowed(&[]));
        for (action, resource, right) in [
            ("rds-db:connect", ARN, true),
            ("RDS-DB:Connect", ARN, true),
            (
                "rds-db:*",
                "arn:aws:rds-db:us-east-1:123456789012:dbuser:*/app",
                true,
            ),
            ("*", "*", true),
            (
                "rds-db:connec?",
                "arn:aws:rds-db:*:123456789012:dbuser:db-ABC/*",
                true,
            ),
            (
                "rds-db:connect",
                "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/ap?",
                true,
            ),
            (
                "rds-db:connect",
                "arn:*:rds-db:us-east-?:*:dbuser:db-*/a*p",
                true,
            ),
            ("rds:connect", ARN, false),
            ("s3:GetObject", "*", false),
            (
                "rds-db:connect",
                "arn:aws-cn:rds-db:us-east-1:123456789012:dbuser:db-ABC/app",
                false,
            ),
            (
                "rds-db:connect",
                "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/App",
                false,
            ),
            (
                "rds-db:connect",
                "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/ap",
                false,
            ),
            (
                "rds-db:connect",
                "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/app?",
                false,
            ),
            (
                "rds-db:connect",
                "arn:aws:rds-db:us-east-2:123456789012:dbuser:db-ABC/app",
                false,
            ),
            (
                "rds-db:connect",
                "arn:aws:rds-db:us-east-1:123456789013:dbuser:db-ABC/app",
                false,
            ),
            (
                "rds-db:connect",
                "arn:aws:rds:us-east-1:123456789012:*",
                false,
            ),
            (
                "rds-db:connect",
                "arn:aws:rds-db:us-east-1:123456789012:dbuser:prx-ABC/app",
                false,
            ),
        ] {
            let got = allowed(&[statement("Allow", action, resource)]);
            assert_eq!(got, right, "{action} {resource}");
        }
    }

    #[test]
    fn a_denial_wins_wherever_it_stands() {
        let allow = statement("Allow", "rds-db:connect", "*");
        let deny = statement("Deny", "rds-db:*", "arn:aws:rds-db:*:*:dbuser:*/app");
        assert!(!allowed(&[allow.clone(), deny.clone()]));
        assert!(!allowed(&[deny.clone(), allow.clone()]));
        let (one, other) = (policy(std::slice::from_ref(&allow)), policy(&[deny]));
        assert!(!allows([&one, &other], ARN));
        let other = statement(
            "Deny",
            "rds-db:connect",
            "arn:aws:rds-db:*:*:dbuser:*/admin",
        );
        assert!(allowed(&[allow.clone(), other]));
        // How far the wildcard reaches is a matter of opinion.
        let far = statement(
            "Deny",
            "rds-db:connect",
            "arn:aws:rds-db:us-east-1:123456789012:d*r:*/app",
        );
        assert!(!allowed(&[allow, far]));
    }

    #[test]
    fn one_statement_and_one_string_need_no_list() {
        let json = format!(
            r#"{{"Statement":{{"Sid":"x","Effect":"Allow","Action":["s3:*","rds-db:connect"],"Resource":["{ARN}"]}}}}"#
        );
        assert!(allows([&Policy::parse(&json).unwrap()], ARN));
    }

    #[test]
    fn what_cannot_be_honoured_is_not_loaded() {
        let with = |extra: &str| {
            format!(
                r#"{{"Statement":[{{"Effect":"Allow","Action":"*","Resource":"*"}},{{"Effect":"Allow",{extra}}}]}}"#
            )
        };
        for (json, message) in [
            (
                with(r#""NotAction":"x","Resource":"*""#),
                "statement 2: NotAction is not supported",
            ),
            (
                with(r#""Action":"*","NotResource":"*""#),
                "statement 2: NotResource is not supported",
            ),
            (
                with(r#""Action":"*","Resource":"*","Condition":{"Bool":{}}"#),
                "statement 2: Condition is not supported",
            ),
            (
                with(r#""Action":"*","Resource":"*","Principal":"*""#),
                "statement 2: Principal is not supported",
            ),
            (with(r#""Action":"*""#), "statement 2: Resource is missing"),
            (with(r#""Resource":"*""#), "statement 2: Action is missing"),
            (
                with(r#""Action":[],"Resource":"*""#),
                "statement 2: Action is missing",
            ),
            (
                with(r#""Action":"*","Resource":"arn:aws:rds-db:*""#),
                "statement 2: Resource \"arn:aws:rds-db:*\" is neither \"*\" nor an ARN",
            ),
            (
                with(r#""Action":"*","Resource":"arn:aws:rds-db:*:*:dbuser:*/${aws:username}""#),
                "statement 2: a policy variable is not supported",
            ),
            (
                r#"{"Version":"2020-01-01","Statement":[]}"#.into(),
                "Version \"2020-01-01\" is not known; \"2012-10-17\" is",
            ),
        ] {
            assert_eq!(Policy::parse(&json).unwrap_err().to_string(), message);
        }
        for json in [
            "",
            "{}",
            "[]",
            r#"{"Statement":[{"Effect":"Maybe"}]}"#,
            r#"{"Statement":[],"X":1}"#,
        ] {
            assert!(Policy::parse(json).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn wildcards_match_what_they_should(text in "[ab:]{0,12}", cut in 0_usize..12, len in 0_usize..4) {
            let cut = cut.min(text.len());
            let end = (cut + len).min(text.len());
            let (before, rest) = text.split_at(cut);
            let (_, after) = rest.split_at(end - cut);
            let star = format!("{before}*{after}");
            assert!(glob(&star, &text));
            let marks = format!("{before}{}{after}", "?".repeat(end - cut));
            assert!(glob(&marks, &text));
            let more = format!("{}?", text);
            assert!(!glob(&more, &text));
        }

        #[test]
        fn any_document_is_survived(text in any::<String>()) {
            let _ = Policy::parse(&text);
        }
    }
}
