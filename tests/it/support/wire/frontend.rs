//! Builders of what a client may send, byte for byte.
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>

/// Protocol 3.0 as a startup packet says it.
pub const VERSION_3_0: u32 = 196_608;
/// The request code of SSLRequest.
pub const SSL_REQUEST: u32 = 80_877_103;
/// The request code of GSSENCRequest.
pub const GSS_REQUEST: u32 = 80_877_104;
/// The request code of CancelRequest.
pub const CANCEL_REQUEST: u32 = 80_877_102;

/// A message with any tag and body, its length right.
pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A packet without tag: code, then body.
pub fn untagged(code: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len() + 8)
        .unwrap()
        .to_be_bytes()
        .to_vec();
    bytes.extend(code.to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A startup packet.
pub fn startup(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in parameters {
        body.extend(text(name));
        body.extend(text(value));
    }
    body.push(0);
    untagged(version, &body)
}

pub fn cancel_request(pid: u32, secret: &[u8]) -> Vec<u8> {
    untagged(CANCEL_REQUEST, &[&pid.to_be_bytes()[..], secret].concat())
}

pub fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &text(sql))
}

pub fn parse(name: &str, sql: &str) -> Vec<u8> {
    parse_typed(name, sql, &[])
}

/// A Parse that says the types of its parameters.
pub fn parse_typed(name: &str, sql: &str, types: &[u32]) -> Vec<u8> {
    let mut body = [text(name), text(sql)].concat();
    body.extend(u16::try_from(types.len()).unwrap().to_be_bytes());
    body.extend(types.iter().flat_map(|oid| oid.to_be_bytes()));
    message(b'P', &body)
}

/// A Bind with all parameters and results in text.
pub fn bind(portal: &str, statement: &str, parameters: &[Option<&[u8]>]) -> Vec<u8> {
    let mut body = [text(portal), text(statement), vec![0, 0]].concat();
    body.extend(u16::try_from(parameters.len()).unwrap().to_be_bytes());
    for parameter in parameters {
        match parameter {
            None => body.extend((-1_i32).to_be_bytes()),
            Some(value) => {
                body.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
                body.extend(*value);
            }
        }
    }
    body.extend([0, 0]);
    message(b'B', &body)
}

pub fn describe_statement(name: &str) -> Vec<u8> {
    message(b'D', &[b"S".to_vec(), text(name)].concat())
}

pub fn describe_portal(name: &str) -> Vec<u8> {
    message(b'D', &[b"P".to_vec(), text(name)].concat())
}

pub fn close_statement(name: &str) -> Vec<u8> {
    message(b'C', &[b"S".to_vec(), text(name)].concat())
}

pub fn close_portal(name: &str) -> Vec<u8> {
    message(b'C', &[b"P".to_vec(), text(name)].concat())
}

/// Execute; zero rows means all of them.
pub fn execute(portal: &str, rows: u32) -> Vec<u8> {
    message(b'E', &[text(portal), rows.to_be_bytes().to_vec()].concat())
}

pub fn sync() -> Vec<u8> {
    message(b'S', &[])
}

pub fn flush() -> Vec<u8> {
    message(b'H', &[])
}

pub fn copy_data(data: &[u8]) -> Vec<u8> {
    message(b'd', data)
}

pub fn copy_done() -> Vec<u8> {
    message(b'c', &[])
}

pub fn copy_fail(reason: &str) -> Vec<u8> {
    message(b'f', &text(reason))
}

pub fn terminate() -> Vec<u8> {
    message(b'X', &[])
}

/// A function call with text arguments and a text result.
pub fn function_call(oid: u32, arguments: &[&str]) -> Vec<u8> {
    let mut body = oid.to_be_bytes().to_vec();
    body.extend([0, 0]);
    body.extend(u16::try_from(arguments.len()).unwrap().to_be_bytes());
    for argument in arguments {
        body.extend(u32::try_from(argument.len()).unwrap().to_be_bytes());
        body.extend(argument.as_bytes());
    }
    body.extend([0, 0]);
    message(b'F', &body)
}

/// The unnamed statement, parsed, bound to text values and run, without the Sync.
pub fn run_unnamed(sql: &str, parameters: &[&str]) -> Vec<u8> {
    [parse("", sql), run_named("", parameters)].concat()
}

/// A prepared statement bound to text values and run, without the Sync.
pub fn run_named(statement: &str, parameters: &[&str]) -> Vec<u8> {
    let parameters: Vec<Option<&[u8]>> = parameters
        .iter()
        .map(|value| Some(value.as_bytes()))
        .collect();
    [bind("", statement, &parameters), execute("", 0)].concat()
}

fn text(value: &str) -> Vec<u8> {
    [value.as_bytes(), &[0]].concat()
}
