//! Opens connections over the network: dials, and runs the engine's login.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::Instant;
use tokio_rustls::rustls::pki_types::ServerName;

use super::entropy;
use super::open::{Open, OpenError, Opened, Opening, ServerLogin};
use crate::model::PoolKey;
use crate::net::options::{DialOptions, TlsMode};
use crate::net::{ClientTls, TlsRole, TlsSetupError, dial, drive};
use crate::protocol::{ConnectPlan, Engine, TlsWish};

/// Reaches one target.
#[derive(Clone, Debug)]
pub struct Dialler {
    options: DialOptions,
    tls: TlsRole,
    wish: TlsWish,
}

impl Dialler {
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

impl<E: Engine> Open<E> for Dialler {
    fn open<'a>(&'a self, key: &'a PoolKey, login: &'a ServerLogin) -> Opening<'a, E> {
        Box::pin(self.login(key, login))
    }

    fn time_limit(&self) -> Duration {
        self.options.connect_timeout
    }
}

/// PostgreSQL itself takes startup packets of at most 10,000 bytes (`MAX_STARTUP_PACKET_LENGTH`,
/// `pqcomm.h`) and answers logins far shorter; notices of a login trigger may be longer.
const LONGEST_LOGIN_MESSAGE: usize = 256 * 1024;
