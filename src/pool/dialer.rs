//! Opens connections over the network: dials, and runs the engine's login.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tokio_rustls::rustls::pki_types::ServerName;

use super::entropy;
use super::open::{Open, OpenError, Opened, Opening, ServerLogin};
use crate::model::PoolKey;
use crate::net::options::{DialOptions, TlsMode};
use crate::net::{ClientTls, DialError, Stream, TlsError, TlsRole, TlsSetupError, dial, drive};
use crate::protocol::{CancelOrder, ConnectPlan, Engine, TlsWish};

/// Reaches one target.
#[derive(Clone, Debug)]
pub struct Dialer {
    options: DialOptions,
    tls: TlsRole,
    wish: TlsWish,
}

impl Dialer {
    /// Reaches the target of `options`. Loads the certificates that these name.
    ///
    /// # Errors
    /// If they cannot be read, or the host cannot be verified by name.
    pub fn new(options: DialOptions) -> Result<Self, TlsSetupError> {
        let tls = match ClientTls::load(&options.tls, &[])? {
            Some(tls) => {
                let name: ServerName<'static> = tls.name_for(&options.host)?;
                let tls = Arc::new(tls);
                TlsRole::Client { tls, name }
            }
            None => TlsRole::Unavailable,
        };
        let wish = match options.tls.mode {
            TlsMode::Disable => TlsWish::Never,
            TlsMode::Prefer => TlsWish::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => TlsWish::Require,
        };
        Ok(Self { options, tls, wish })
    }

    /// Delivers a cancel request on a connection of its own, within the connect timeout, and waits
    /// until the server closes that: only then may the connection to be cancelled go to somebody
    /// else. Cancel-safe, but the request may or may not have been delivered.
    ///
    /// # Errors
    /// If it cannot be delivered.
    pub async fn cancel(&self, order: &CancelOrder) -> Result<(), CancelError> {
        let deadline = Instant::now() + self.options.connect_timeout;
        let deliver = async {
            let mut stream = dial(&self.options, deadline).await?;
            if let Some(request) = &order.tls_request {
                self.secure(&mut stream, request).await?;
            }
            stream.write_all(&order.bytes).await?;
            stream.flush().await?;
            // Nothing is answered; a reset tells the same as a close.
            let mut rest = [0; 16];
            while matches!(stream.read(&mut rest).await, Ok(n) if n > 0) {}
            Ok(())
        };
        tokio::time::timeout_at(deadline, deliver)
            .await
            .unwrap_or(Err(CancelError::TimedOut))
    }

    /// Finds out whether the target takes connections: dials it, says nothing, and leaves.
    /// Cancel-safe.
    ///
    /// # Errors
    /// If it does not.
    pub async fn reach(&self) -> Result<(), DialError> {
        let deadline = Instant::now() + self.options.connect_timeout;
        dial(&self.options, deadline).await.map(drop)
    }

    async fn secure(&self, stream: &mut Stream, request: &[u8]) -> Result<(), CancelError> {
        let TlsRole::Client { tls, name } = &self.tls else {
            return Err(CancelError::NoTls);
        };
        stream.write_all(request).await?;
        // `S`: the server is willing.
        if stream.read_u8().await? != b'S' {
            return Err(CancelError::NoTls);
        }
        stream.upgrade_client(tls, name.clone()).await?;
        Ok(())
    }

    async fn login<E: Engine>(
        &self,
        key: &PoolKey,
        login: &ServerLogin,
    ) -> Result<Opened<E>, OpenError> {
        let deadline = Instant::now() + self.options.connect_timeout;
        let mut stream = dial(&self.options, deadline).await?;
        let plan = ConnectPlan {
            user: Arc::clone(&key.user),
            database: Arc::clone(&key.database),
            credential: login.credential.clone(),
            tls: self.wish,
        };
        let mut exchange = E::connect(plan, entropy::fresh()?);
        let mut carry = BytesMut::new();
        let dialogue = drive(
            &mut stream,
            &mut exchange,
            &mut carry,
            &self.tls,
            LONGEST_LOGIN_MESSAGE,
        );
        let back = dialogue.await?;
        Ok(Opened {
            stream,
            back,
            carry,
        })
    }
}

impl<E: Engine> Open<E> for Dialer {
    fn open<'a>(&'a self, key: &'a PoolKey, login: &'a ServerLogin) -> Opening<'a, E> {
        Box::pin(self.login(key, login))
    }

    fn time_limit(&self) -> Duration {
        self.options.connect_timeout
    }
}

/// Why a cancel request was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// The server could not be reached.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection failed.
    #[error("connection failed: {0}")]
    Io(#[from] io::Error),
    /// The connection to be cancelled uses TLS, and now there is none.
    #[error("the server no longer offers TLS")]
    NoTls,
    /// The handshake failed.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// It took longer than the connect timeout.
    #[error("timed out")]
    TimedOut,
}

/// PostgreSQL itself takes startup packets of at most 10,000 bytes (`MAX_STARTUP_PACKET_LENGTH`,
/// `pqcomm.h`) and answers logins far shorter; notices of a login trigger may be longer.
const LONGEST_LOGIN_MESSAGE: usize = 256 * 1024;
