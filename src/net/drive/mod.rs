//! Runs a scripted dialogue ([`Exchange`]) over a stream: does its waiting, its TLS handshake and
//! its expensive computations. What is said, the exchange decides.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, LazyLock};
use std::task::ready;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncWriteExt, ReadBuf};
use tokio::sync::Semaphore;
use tokio_rustls::rustls::pki_types::ServerName;
use zeroize::Zeroize;

use crate::model::Secret;
use crate::net::client_tls::ClientTls;
use crate::net::scratch::with_scratch;
use crate::net::server_tls::ServerTls;
use crate::net::stream::Stream;
use crate::net::tls::TlsError;
use crate::protocol::exchange::{Costly, Exchange, Step};

/// Which side of a TLS handshake we take if the exchange asks for one.
#[derive(Clone, Debug)]
pub enum TlsRole {
    /// None: TLS is not configured. The exchange must know, and not ask.
    Unavailable,
    /// The server's.
    Server(Arc<ServerTls>),
    /// The client's, towards a server of this name.
    Client {
        /// Settings.
        tls: Arc<ClientTls>,
        /// Name to verify and to send.
        name: ServerName<'static>,
    },
}

/// Why a dialogue ended early.
#[derive(Debug, thiserror::Error)]
pub enum DriveError<E> {
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    Closed,
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Io(io::Error),
    /// The peer sent more than the cap without completing a message.
    #[error("the peer sent {0} bytes without completing a message")]
    InputTooLong(usize),
    /// A server sent bytes before the TLS handshake that could pass for part of the encrypted
    /// dialogue (CVE-2021-23222).
    #[error("the peer sent plaintext before the TLS handshake")]
    BytesBeforeTls,
    /// The exchange asked for TLS, which is not configured.
    #[error("TLS is not configured")]
    TlsUnavailable,
    /// The handshake failed.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A computation was lost: it panicked, or the runtime is shutting down.
    #[error("a computation was lost")]
    ComputeFailed,
    /// The exchange itself says no. What it had to say to the peer has been sent.
    #[error("{0}")]
    Exchange(E),
}

/// Runs `exchange` to its end over `stream`.
///
/// `input` holds bytes received and not yet consumed, from before and afterwards: what the peer
/// sent beyond the end of the dialogue stays in it. At most `cap` unconsumed bytes are taken.
/// There is no time limit here; the caller has one.
///
/// # Errors
/// Any [`DriveError`]; the stream is good for at most a parting message then.
///
/// Not cancel safe: dropped midway, the state of the dialogue is lost, and a message may be half
/// written.
pub async fn drive<X: Exchange>(
    stream: &mut Stream,
    exchange: &mut X,
    input: &mut BytesMut,
    tls: &TlsRole,
    cap: usize,
) -> Result<X::Done, DriveError<X::Error>> {
    let mut unsaid = BytesMut::with_capacity(USUAL_SPEECH);
    let done = drive_unsaid(stream, exchange, input, &mut unsaid, tls, cap).await?;
    send(stream, &mut unsaid).await.map_err(from_io)?;
    Ok(done)
}

/// The same, but what the exchange has to say with its last step is left in `unsaid`, to be
/// written with what comes next. An error leaves nothing there.
///
/// # Errors
/// As [`drive`]. Not cancel safe either.
pub async fn drive_unsaid<X: Exchange>(
    stream: &mut Stream,
    exchange: &mut X,
    input: &mut BytesMut,
    unsaid: &mut BytesMut,
    tls: &TlsRole,
    cap: usize,
) -> Result<X::Done, DriveError<X::Error>> {
    loop {
        // What it yields is not kept while it waits for something: the future is the smaller for it.
        let step: Step<Infallible> = match exchange.advance(input, unsaid) {
            Ok(Step::Done(done)) => return Ok(done),
            Ok(Step::Read) => Step::Read,
            Ok(Step::UpgradeTls) => Step::UpgradeTls,
            Ok(Step::Compute(costly)) => Step::Compute(costly),
            Err(error) => {
                // Where the exchange says no, its reason counts, whether or not the peer could hear it.
                let _ = send(stream, unsaid).await;
                return Err(DriveError::Exchange(error));
            }
        };
        send(stream, unsaid).await.map_err(from_io)?;
        match step {
            Step::Read => {
                if input.len() >= cap {
                    return Err(DriveError::InputTooLong(input.len()));
                }
                if receive(stream, input, cap).await.map_err(from_io)? == 0 {
                    return Err(DriveError::Closed);
                }
            }
            Step::UpgradeTls => {
                let facts = match tls {
                    TlsRole::Unavailable => return Err(DriveError::TlsUnavailable),
                    TlsRole::Server(tls) => {
                        let early = input.split();
                        stream.upgrade_server(tls, &early).await?
                    }
                    TlsRole::Client { .. } if !input.is_empty() => {
                        return Err(DriveError::BytesBeforeTls);
                    }
                    TlsRole::Client { tls, name } => {
                        stream.upgrade_client(tls, name.clone()).await?
                    }
                };
                exchange.secured(&facts);
            }
            Step::Compute(costly) => {
                let Some(result) = compute(costly).await else {
                    return Err(DriveError::ComputeFailed);
                };
                exchange.computed(result);
            }
        }
    }
}

/// True if the client begins with a TLS handshake rather than a message of its own protocol:
/// the first byte is then the record type `handshake` (RFC 8446 section 5.1). Waits for what the
/// client says first, at most `cap` bytes, and leaves it in `input`; answers false at the end of
/// the stream.
///
/// # Errors
/// If the socket fails.
///
/// Cancel safe.
pub async fn begins_with_tls(
    stream: &mut Stream,
    input: &mut BytesMut,
    cap: usize,
) -> io::Result<bool> {
    /// `ContentType::handshake`.
    const HANDSHAKE_RECORD: u8 = 22;
    receive(stream, input, cap).await?;
    Ok(input.first() == Some(&HANDSHAKE_RECORD))
}

/// Room for what is usually said in a dialogue, in bytes.
const USUAL_SPEECH: usize = 512;

/// Writes all of `out`, leaving it empty, and flushes. Does nothing if it is empty.
///
/// Not cancel safe: part of `out` may have been written.
async fn send(stream: &mut Stream, out: &mut BytesMut) -> io::Result<()> {
    if out.is_empty() {
        return Ok(());
    }
    // It is in one piece: `write_all_buf` would make room for 64 first.
    while !out.is_empty() {
        match stream.write(out).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            sent => out.advance(sent),
        }
    }
    stream.flush().await
}

/// Reads once and appends to `input`, which grows to `cap` bytes at most; returns how many bytes
/// came. No buffer is held while waiting, and logins leave no passwords behind in the scratch.
///
/// Cancel safe.
async fn receive(stream: &mut Stream, input: &mut BytesMut, cap: usize) -> io::Result<usize> {
    let room = cap.saturating_sub(input.len());
    poll_fn(|cx| {
        with_scratch(|scratch| {
            let room = room.min(scratch.len());
            let mut buf = ReadBuf::new(scratch.get_mut(..room).unwrap_or_default());
            ready!(stream.poll_read(cx, &mut buf))?;
            let len = buf.filled().len();
            input.extend_from_slice(buf.filled());
            buf.filled_mut().zeroize();
            Ok(len).into()
        })
    })
    .await
}

/// Runs a computation on a thread of its own; at most as many at once as there are cores, so that
/// a storm of logins leaves time for sessions that are at work. `None` if it was lost.
///
/// If dropped midway, the computation still ends, and counts until then.
async fn compute(costly: Costly) -> Option<Secret> {
    static SLOTS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Arc::new(Semaphore::new(cores))
    });
    let slot = Arc::clone(&SLOTS).acquire_owned().await.ok()?;
    let work = tokio::task::spawn_blocking(move || {
        let result = costly.run();
        drop(slot);
        result
    });
    work.await.ok()
}

/// A reset is how a peer that is gone shows when it left with our bytes unread.
fn from_io<E>(error: io::Error) -> DriveError<E> {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    match error.kind() {
        BrokenPipe | ConnectionReset => DriveError::Closed,
        _ => DriveError::Io(error),
    }
}

#[cfg(test)]
mod tests;
