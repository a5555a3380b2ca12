//! What a server answers, and short words for it that tests compare.
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>

/// One message of a server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub tag: u8,
    pub body: Vec<u8>,
}

impl Message {
    /// The field `key` of an ErrorResponse or NoticeResponse; empty if it has none.
    pub fn field(&self, key: u8) -> String {
        assert!(matches!(self.tag, b'E' | b'N'), "{self:?} has no fields");
        self.body
            .split(|byte| *byte == 0)
            .find(|field| field.first() == Some(&key))
            .map_or(String::new(), |field| {
                String::from_utf8_lossy(&field[1..]).into_owned()
            })
    }

    /// The SQLSTATE of an error or notice.
    pub fn sqlstate(&self) -> String {
        self.field(b'C')
    }

    /// The values of a DataRow.
    pub fn values(&self) -> Vec<Option<Vec<u8>>> {
        assert_eq!(self.tag, b'D');
        let mut rest = &self.body[2..];
        let mut values = Vec::new();
        while !rest.is_empty() {
            let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
            rest = &rest[4..];
            values.push(usize::try_from(length).ok().map(|length| {
                let (value, after) = rest.split_at(length);
                rest = after;
                value.to_vec()
            }));
        }
        values
    }

    /// Short word and telling content.
    pub fn word(&self) -> String {
        let texts = || -> Vec<String> {
            self.body
                .split(|byte| *byte == 0)
                .map(|text| String::from_utf8_lossy(text).into_owned())
                .collect()
        };
        match self.tag {
            b'1' => "ParseComplete".into(),
            b'2' => "BindComplete".into(),
            b'3' => "CloseComplete".into(),
            b'A' => "Notification".into(),
            b'C' => format!("Complete({})", texts()[0]),
            b'D' => format!(
                "Row({})",
                self.values()
                    .into_iter()
                    .map(shown)
                    .collect::<Vec<_>>()
                    .join(",")
            ),
            b'E' => format!("Error({})", self.sqlstate()),
            b'G' => "CopyIn".into(),
            b'H' => "CopyOut".into(),
            b'I' => "EmptyQuery".into(),
            b'K' => "Key".into(),
            b'N' => format!("Notice({})", self.sqlstate()),
            b'R' => format!(
                "Authentication({})",
                u32::from_be_bytes(self.body[..4].try_into().unwrap())
            ),
            b'S' => format!("Parameter({}={})", texts()[0], texts()[1]),
            b'T' => "Fields".into(),
            b'V' => "FunctionResult".into(),
            b'Z' => format!("Ready({})", char::from(self.body[0])),
            b'c' => "CopyDone".into(),
            b'd' => format!(
                "CopyData({})",
                String::from_utf8_lossy(&self.body).trim_end()
            ),
            b'n' => "NoData".into(),
            b's' => "Suspended".into(),
            b't' => "ParameterTypes".into(),
            b'v' => "NegotiateVersion".into(),
            tag => format!("Unknown({tag})"),
        }
    }
}

fn shown(value: Option<Vec<u8>>) -> String {
    match value {
        None => "NULL".into(),
        Some(value) if value.len() > 60 => format!("{} bytes", value.len()),
        Some(value) => String::from_utf8_lossy(&value).into_owned(),
    }
}

/// The words of a whole reply, to compare with a list written in the test.
pub fn words(messages: &[Message]) -> Vec<String> {
    messages.iter().map(Message::word).collect()
}

/// The first column of each row, as text.
pub fn column(messages: &[Message]) -> Vec<String> {
    messages
        .iter()
        .filter(|message| message.tag == b'D')
        .map(|row| shown_whole(row.values().swap_remove(0)))
        .collect()
}

fn shown_whole(value: Option<Vec<u8>>) -> String {
    value.map_or_else(|| "NULL".into(), |value| String::from_utf8(value).unwrap())
}

/// The SQLSTATE of the first error, if there is one.
pub fn error(messages: &[Message]) -> Option<String> {
    messages
        .iter()
        .find(|message| message.tag == b'E')
        .map(Message::sqlstate)
}
