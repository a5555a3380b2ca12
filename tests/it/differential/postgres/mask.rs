//! Taking out of replies what has to differ between two servers: object ids and process ids.

use crate::{differential::script::Reply, support::wire::backend::Message};

/// The ids that a client has seen, in the order in which it saw them: the same table has to be the
/// same to the client each time.
#[derive(Debug, Default)]
pub struct Masks {
    oids: Vec<u32>,
}

/// Ids below are the same everywhere (`FirstNormalObjectId` in `access/transam.h`).
const FIRST_OWN: u32 = 16_384;

impl Masks {
    fn mask(&mut self, oid: &mut [u8]) {
        let given = u32::from_be_bytes((&*oid).try_into().unwrap());
        if given < FIRST_OWN {
            return;
        }
        let place = self.oids.iter().position(|known| *known == given);
        let place = place.unwrap_or_else(|| {
            self.oids.push(given);
            self.oids.len() - 1
        });
        let masked = FIRST_OWN + u32::try_from(place).unwrap();
        oid.copy_from_slice(&masked.to_be_bytes());
    }
}

/// The message as it is compared.
pub fn reply(message: &Message, masks: &mut Masks) -> Reply {
    let mut message = message.clone();
    match message.tag {
        b'T' => fields(&mut message.body, masks),
        b't' => {
            for oid in message.body[2..].chunks_exact_mut(4) {
                masks.mask(oid);
            }
        }
        b'A' => message.body[..4].fill(0),
        // In a failed transaction, that a statement cannot be bound or described is found when it
        // cannot be prepared either: by another function of the server.
        b'E' if message.sqlstate() == "25P02" => {
            let fields = message.body.split(|byte| *byte == 0);
            let fields = fields.filter(|field| !matches!(field.first(), Some(b'F' | b'L' | b'R')));
            message.body = fields.collect::<Vec<_>>().join(&0);
        }
        _ => {}
    }
    let mut bytes = vec![message.tag];
    bytes.extend(&message.body);
    Reply {
        shown: shown(&message),
        bytes,
    }
}

/// Table and type ids of a RowDescription.
fn fields(body: &mut [u8], masks: &mut Masks) {
    let mut at = 2;
    while at < body.len() {
        let name = body[at..].iter().position(|byte| *byte == 0).unwrap();
        at += name + 1;
        masks.mask(&mut body[at..at + 4]);
        masks.mask(&mut body[at + 6..at + 10]);
        at += 18;
    }
}

fn shown(message: &Message) -> String {
    match message.tag {
        b'E' | b'N' => {
            let fields = message.body.split(|byte| *byte == 0);
            let fields = fields
                .filter(|field| !field.is_empty())
                .map(|field| String::from_utf8_lossy(field));
            let word = message.word();
            format!("{word} {}", fields.collect::<Vec<_>>().join(" | "))
        }
        b'T' => {
            let mut names = Vec::new();
            let mut at = 2;
            while at < message.body.len() {
                let length = message.body[at..].iter().position(|byte| *byte == 0);
                let end = at + length.unwrap();
                let name = String::from_utf8_lossy(&message.body[at..end]);
                names.push(format!("{name} {:?}", &message.body[end + 1..end + 19]));
                at = end + 19;
            }
            format!("Fields({})", names.join(", "))
        }
        b'A' => format!(
            "Notification({})",
            String::from_utf8_lossy(&message.body[4..]).replace('\0', " ")
        ),
        _ => message.word(),
    }
}
