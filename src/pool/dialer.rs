//! Opens connections over the network: dials, and runs the engine's login.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tokio_rustls::rustls::pki_types::ServerName;

use super::asking::{Asker, Refusals};
use super::entropy;
use super::open::{Open, OpenError, Opened, Opening, ServerLogin};
use super::server::{self, ChoreError};
use crate::model::{Credential, PoolKey};
use crate::net::options::{DialOptions, TlsMode};
use crate::net::{ClientTls, DialError, Stream, TlsError, TlsRole, TlsSetupError, dial, drive};
use crate::protocol::{Back, CancelOrder, Chore, ConnectPlan, Engine, TlsWish};

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
    /// until the server has acted on it: only then may the connection to be cancelled go to
    /// somebody else. `key`, `login` and `user` are those of that connection. Cancel-safe, but the request
    /// may or may not have been delivered.
    ///
    /// # Errors
    /// If it cannot be delivered.
    pub async fn cancel<E: Engine>(
        &self,
        order: &CancelOrder,
        key: &PoolKey,
        login: &ServerLogin,
        user: &str,
    ) -> Result<(), CancelError> {
        let deadline = Instant::now() + self.options.connect_timeout;
        let deliver = async {
            match order {
                CancelOrder::Send { bytes, tls_request } => {
                    self.send(bytes, tls_request.as_deref(), deadline).await
                }
                CancelOrder::Chore(pid) => {
                    let Opened {
                        mut stream,
                        mut back,
                        mut carry,
                        ..
                    } = self.login::<E>(key, login, Some(user)).await?;
                    let chore = Chore::Cancel(*pid);
                    server::run::<E>(&mut stream, &mut back, &mut carry, chore).await?;
                    let mut words = Vec::new();
                    back.farewell(&mut words);
                    stream.leave(&words);
                    Ok(())
                }
            }
        };
        tokio::time::timeout_at(deadline, deliver)
            .await
            .unwrap_or(Err(CancelError::TimedOut))
    }

    async fn send(
        &self,
        bytes: &[u8],
        tls_request: Option<&[u8]>,
        deadline: Instant,
    ) -> Result<(), CancelError> {
        let mut stream = dial(&self.options, deadline).await?;
        if let Some(request) = tls_request {
            self.secure(&mut stream, request).await?;
        }
        stream.write_all(bytes).await?;
        stream.flush().await?;
        // Nothing is answered; a reset tells the same as a close.
        let mut rest = [0; 16];
        while matches!(stream.read(&mut rest).await, Ok(n) if n > 0) {}
        Ok(())
    }

    /// Finds out whether the target takes connections, and what it says to anybody: dials it,
    /// hears it, and leaves. Cancel-safe.
    ///
    /// # Errors
    /// If it does not, or does not say what it should.
    pub async fn reach<E: Engine>(&self) -> Result<E::Announcement, ReachError> {
        let deadline = Instant::now() + self.options.connect_timeout;
        let hear = async {
            let mut stream = dial(&self.options, deadline).await?;
            let (mut probe, mut input) = (E::probe(), BytesMut::new());
            let tls = TlsRole::Unavailable;
            let heard = drive(
                &mut stream,
                &mut probe,
                &mut input,
                &tls,
                LONGEST_LOGIN_MESSAGE,
            );
            heard.await.map_err(|e| ReachError::Silent(e.to_string()))
        };
        tokio::time::timeout_at(deadline, hear)
            .await
            .unwrap_or(Err(ReachError::TimedOut))
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

    pub(super) const fn connect_timeout(&self) -> Duration {
        self.options.connect_timeout
    }

    pub(super) async fn login<E: Engine>(
        &self,
        key: &PoolKey,
        login: &ServerLogin,
        only: Option<&str>,
    ) -> Result<Opened<E>, OpenError> {
        let source = match login {
            ServerLogin::Fixed(credential) => {
                return self.log_in_as(key, &key.user, credential).await;
            }
            ServerLogin::From(source) => source,
        };
        let mut asker = Asker {
            source: &**source,
            endpoint: self.options.signed_for(),
            user: &key.user,
            only,
            verified: self.options.tls.mode == TlsMode::VerifyFull,
            // A store that does not answer speaks against itself, not against the target, whose
            // time to complete a login is the same.
            patience: self.options.connect_timeout / 2,
            refusals: Refusals::default(),
        };
        loop {
            let offer = asker.next().await?;
            let user = offer.user.as_ref().unwrap_or(&key.user);
            match self.log_in_as(key, user, &offer.credential).await {
                Ok(opened) => {
                    source.accepted(&offer);
                    return Ok(opened);
                }
                Err(error) => asker.failed(offer, error)?,
            }
        }
    }

    async fn log_in_as<E: Engine>(
        &self,
        key: &PoolKey,
        user: &Arc<str>,
        credential: &Credential,
    ) -> Result<Opened<E>, OpenError> {
        let deadline = Instant::now() + self.options.connect_timeout;
        let mut stream = dial(&self.options, deadline).await?;
        let plan = ConnectPlan {
            user: Arc::clone(user),
            database: Arc::clone(&key.database),
            variant: key.variant,
            credential: credential.clone(),
            tls: self.wish,
            ask_public_key: self.options.ask_public_key,
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
            user: Arc::clone(user),
        })
    }
}

/// Equal if they reach the same server in the same way, certificates read anew apart.
impl PartialEq for Dialer {
    fn eq(&self, other: &Self) -> bool {
        self.options == other.options
    }
}

impl<E: Engine> Open<E> for Dialer {
    fn open<'a>(&'a self, key: &'a PoolKey, login: &'a ServerLogin) -> Opening<'a, E> {
        Box::pin(self.login(key, login, None))
    }

    fn time_limit(&self) -> Duration {
        self.options.connect_timeout
    }
}

/// Why a target does not count as reachable.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// It takes no connections.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// It does not say what it should.
    #[error("it does not answer as it should: {0}")]
    Silent(String),
    /// It took longer than the connect timeout.
    #[error("timed out")]
    TimedOut,
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
    /// The login failed.
    #[error(transparent)]
    Login(#[from] OpenError),
    /// The server would not.
    #[error(transparent)]
    Chore(#[from] ChoreError),
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
