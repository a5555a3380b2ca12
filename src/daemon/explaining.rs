//! Which server a statement would go to at this moment, and why: by what is known of the database's functions and
//! views, and by who is well.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::protocol::{Demand, Engine};
use crate::router::Reason;

use super::commands::CommandError;
use super::serve::House;
use super::ward::Ward;

/// What is asked, as JSON. Unknown words are errors.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Question {
    /// The statement, or several with semicolons between them.
    pub sql: String,
    /// The target group; may be left out where there is one.
    pub target_group: Option<String>,
    /// The database, by the name that the server knows; may be left out where clients use one.
    pub database: Option<String>,
    /// The user on the server, where functions and views are known by user.
    pub user: Option<String>,
}

impl<E: Engine> House<E> {
    /// Where the statement of a session goes that splits its reads and has set nothing. `name`: the group's.
    ///
    /// # Errors
    /// If it is not clear what database is meant.
    pub(super) fn explain(
        &self,
        name: &Arc<str>,
        ward: &Ward<E>,
        question: &Question,
    ) -> Result<Value, CommandError> {
        let (database, user) = (question.database.as_deref(), question.user.as_deref());
        let shelves = self.shelves().known(name, database, user);
        let shelf = match &*shelves {
            [] => None,
            [known] => Some(&known.shelf),
            several => {
                let names = several.iter().map(|known| match &*known.user {
                    "" => format!("database {:?}", known.database),
                    user => format!("database {:?}, user {user:?}", known.database),
                });
                let names: Vec<String> = names.collect();
                let what = format!("say which is meant: {}", names.join("; "));
                return Err(CommandError::Mistaken(what));
            }
        };
        let readings = shelf.and_then(|shelf| shelf.readings());
        let announcement = ward.announcement().get();
        let sql = question.sql.as_bytes();
        let mut answer = match E::sketch(sql, announcement.as_ref(), readings.as_deref()) {
            Ok(demand) => self::answer(ward, &demand),
            Err(prepared) => json!({ "route": "prepared", "subject": prepared }),
        };
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("target_group".into(), json!(&**name));
            answer.insert("catalogue_known".into(), json!(readings.is_some()));
        }
        Ok(answer)
    }
}

fn answer<E: Engine>(ward: &Ward<E>, demand: &Demand) -> Value {
    let roster = ward.roster();
    let (reason, subject) = match demand {
        Demand::Read { .. } => (Reason::Read, ""),
        Demand::ReadOnlyTransaction => (Reason::ReadOnlyTransaction, ""),
        Demand::Primary(why, subject) => (Reason::Text(*why), &*subject.0),
    };
    let replica = match demand {
        Demand::Primary(..) => None,
        Demand::Read { .. } | Demand::ReadOnlyTransaction => Some(roster.next_replica()),
    };
    let (route, target, reason) = match replica {
        Some(Some(replica)) => ("replica", Some(replica), reason),
        Some(None) => (
            "primary",
            roster.snapshot().primary.clone(),
            Reason::NoReplica,
        ),
        None => ("primary", roster.snapshot().primary.clone(), reason),
    };
    json!({
        "route": route,
        "target": target.as_deref(),
        "reason": reason.name(),
        "because": reason.to_string(),
        "subject": subject,
    })
}
