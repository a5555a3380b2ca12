//! Messages as bytes (PostgreSQL documentation, section 55.7).

/// One message: its type and its body.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    pub kind: u8,
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({})", char::from(self.kind), self.body.escape_ascii())
    }
}

impl Message {
    pub fn new(kind: u8, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { kind, body }
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.kind);
        let length = i32::try_from(self.body.len() + 4).unwrap();
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&self.body);
    }

    pub fn wire(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// The zero-terminated strings at the front of the body after `skip` bytes.
    pub fn strings<const N: usize>(&self, skip: usize) -> [String; N] {
        let mut parts = self.body[skip..].split(|byte| *byte == 0);
        std::array::from_fn(|_| {
            let part = parts.next().expect("a string");
            String::from_utf8(part.to_vec()).expect("text")
        })
    }
}

/// Takes the whole messages off the front of `bytes`.
pub fn take(bytes: &mut Vec<u8>) -> Vec<Message> {
    let (mut messages, mut at) = (Vec::new(), 0);
    while let Some(head) = bytes[at..].first_chunk::<5>() {
        let length = i32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let end = at + 1 + usize::try_from(length).expect("a length");
        let Some(body) = bytes.get(at + 5..end) else {
            break;
        };
        messages.push(Message::new(head[0], body));
        at = end;
    }
    bytes.drain(..at);
    messages
}

/// Strings, each with its zero byte.
pub fn strings(parts: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        out.extend_from_slice(part.as_bytes());
        out.push(0);
    }
    out
}
