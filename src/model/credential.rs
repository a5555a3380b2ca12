//! How one side proves to the other who it is: stored verifiers, and credentials towards servers.

use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{EngineFamily, Secret};

/// Length of a SHA-256 output in bytes.
pub const SHA256_LEN: usize = 32;

/// Length of an Ed25519 public key in bytes.
pub const ED25519_LEN: usize = 32;

/// Longest token that is taken for a password, in bytes. Real ones have hundreds to two thousand.
pub const MAX_TOKEN_LEN: usize = 16 * 1024;

/// What is stored about a user so that its proof can be checked.
#[derive(Clone, Debug)]
pub enum Verifier {
    /// The password itself; verifiers of every method can be derived from it.
    Password(Secret),
    /// A SCRAM-SHA-256 verifier, as PostgreSQL keeps it in `pg_authid.rolpassword`.
    Scram(ScramVerifier),
    /// `md5` followed by 32 hex digits: the MD5 of password and user name.
    Md5(Secret),
    /// SHA-1 of the SHA-1 of the password, as `mysql_native_password` keeps it.
    Native(Secret),
    /// A salted hash of many rounds, as `caching_sha2_password` and `sha256_password` keep it.
    ShaCrypt(ShaCrypt),
    /// The public key that MariaDB's `ed25519` keeps.
    Ed25519([u8; ED25519_LEN]),
    /// What MariaDB's `parsec` keeps.
    Parsec(Parsec),
}

/// The public key of a user of MariaDB's `parsec`, and how its other half follows from the
/// password.
#[derive(Clone, Debug)]
pub struct Parsec {
    /// The binary logarithm of PBKDF2's rounds, less 10.
    pub factor: u8,
    /// PBKDF2's salt.
    pub salt: Arc<[u8]>,
    /// The public key.
    pub key: [u8; ED25519_LEN],
}

/// A hash of SHA-256 crypt with a salt longer than usual (MySQL source, `crypt_genhash_impl.cc`).
#[derive(Clone, Debug)]
pub struct ShaCrypt {
    /// How often the hash is hashed again.
    pub rounds: u32,
    /// The salt, any bytes but zero and `$`.
    pub salt: Arc<[u8]>,
    /// The hash, in crypt's own base 64.
    pub hash: Secret,
}

/// A SCRAM-SHA-256 verifier (RFC 5803; PostgreSQL documentation, `pg_authid`).
#[derive(Clone, Debug)]
pub struct ScramVerifier {
    /// PBKDF2 iterations.
    pub iterations: u32,
    /// The salt, decoded.
    pub salt: Arc<[u8]>,
    /// H(ClientKey).
    pub stored_key: Secret,
    /// HMAC(SaltedPassword, "Server Key").
    pub server_key: Secret,
}

impl ScramVerifier {
    /// Reads `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`; `None` if `text` is
    /// anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("SCRAM-SHA-256$")?;
        let (cost, keys) = rest.split_once('$')?;
        let (iterations, salt) = cost.split_once(':')?;
        let (stored, server) = keys.split_once(':')?;
        let iterations = iterations.parse().ok().filter(|n| *n > 0)?;
        let key = |text: &str| {
            let bytes = BASE64.decode(text).ok()?;
            (bytes.len() == SHA256_LEN).then(|| Secret::new(bytes))
        };
        Some(Self {
            iterations,
            salt: BASE64.decode(salt).ok()?.into(),
            stored_key: key(stored)?,
            server_key: key(server)?,
        })
    }
}

/// The two keys with which a SCRAM client can log in without knowing the password. A client that
/// logged in to Sluice by SCRAM has revealed them, if Sluice holds the verifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScramKeys {
    /// HMAC(SaltedPassword, "Client Key").
    pub client_key: Secret,
    /// HMAC(SaltedPassword, "Server Key"), to check the server's own proof.
    pub server_key: Secret,
}

/// An RSA key under which clients without TLS may send their passwords.
#[derive(Clone, Debug)]
pub struct SealingKey {
    /// The private key, PKCS #8 in DER.
    pub private: Secret,
    /// The public key, in PEM.
    pub public: Arc<[u8]>,
}

/// What Sluice itself shows to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Nothing: the server trusts us, or checks our certificate.
    None,
    /// A password, used for whichever method the server asks.
    Password(Secret),
    /// A token, shown where the server asks for a password in the clear inside TLS, and nowhere
    /// else. A login that succeeds without that fails: it would say nothing about the token.
    Token(Secret),
    /// Keys that a client revealed by its own SCRAM login (pass-through).
    ScramKeys(ScramKeys),
    /// SHA-1 of the password, which a client revealed by its own login (pass-through).
    NativeKey(Secret),
}

/// What a client has proven, and left behind for logging in to the server on its behalf.
#[derive(Clone, Debug, Default)]
pub struct Proof {
    /// Keys revealed by a SCRAM exchange.
    pub scram_keys: Option<ScramKeys>,
    /// The password, where it was sent in the clear inside TLS, or is stored.
    pub password: Option<Secret>,
    /// SHA-1 of the password, revealed by `mysql_native_password` to one who holds its hash.
    pub native_key: Option<Secret>,
    /// A token that nobody has judged yet. Alone it proves nothing: it must be judged before its
    /// bearer is let in.
    pub token: Option<Secret>,
    /// A token that the server itself has accepted.
    pub accepted: Option<AcceptedToken>,
}

/// A token that a server has accepted, and would accept again.
#[derive(Clone, Debug)]
pub struct AcceptedToken {
    /// The token.
    pub token: Secret,
    /// The user that it is for.
    pub user: Arc<str>,
    /// From then on it is not valid any more.
    pub until: SystemTime,
    /// The host and port of the one server that would; `None`: any of the group.
    pub signed_for: Option<(Box<str>, u16)>,
}

/// How a client must prove who it is. Names follow PgBouncer's `auth_type` and MySQL's plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthMethod {
    /// Nothing is asked. Accepted by configuration for loopback clients only.
    Trust,
    /// SCRAM-SHA-256, and SCRAM-SHA-256-PLUS inside TLS.
    Scram,
    /// The password in the clear, inside TLS only.
    Password,
    /// MD5 challenge; off unless configured.
    Md5,
    /// A verified client certificate whose common name maps to the user.
    Certificate,
    /// MySQL's `caching_sha2_password`: a SHA-256 challenge, and where the password itself is not
    /// known to Sluice, the password inside TLS.
    CachingSha2,
    /// MySQL's `mysql_native_password`: a SHA-1 challenge.
    Native,
    /// MySQL's `sha256_password`: the password inside TLS.
    Sha256,
    /// MariaDB's `client_ed25519`: a signature.
    Ed25519,
    /// An IAM database token in place of a password, inside TLS only.
    Iam,
    /// A JSON Web Token in place of a password, inside TLS only.
    Jwt,
}

impl AuthMethod {
    /// True if clients of that engine can prove themselves by it.
    pub const fn is_of(self, family: EngineFamily) -> bool {
        match self {
            Self::Trust | Self::Password | Self::Certificate | Self::Iam | Self::Jwt => true,
            Self::Scram | Self::Md5 => matches!(family, EngineFamily::Postgres),
            Self::CachingSha2 | Self::Native | Self::Sha256 | Self::Ed25519 => {
                matches!(family, EngineFamily::Mysql)
            }
        }
    }

    /// The name used in configuration, logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trust => "trust",
            Self::Scram => "scram-sha-256",
            Self::Password => "password",
            Self::Md5 => "md5",
            Self::Certificate => "cert",
            Self::CachingSha2 => "caching_sha2_password",
            Self::Native => "mysql_native_password",
            Self::Sha256 => "sha256_password",
            Self::Ed25519 => "client_ed25519",
            Self::Iam => "iam",
            Self::Jwt => "jwt",
        }
    }

    /// True if the client shows a token, which the engine only takes and others judge.
    pub const fn is_token(self) -> bool {
        matches!(self, Self::Iam | Self::Jwt)
    }

    /// What a client without TLS is told that would show a token in the clear. RDS Proxy's words,
    /// by which tools know them.
    pub const fn token_needs_tls(self) -> &'static str {
        match self {
            Self::Iam => "IAM authentication is allowed only with SSL connections.",
            _ => "Token authentication is allowed only with SSL connections.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ScramVerifier;

    #[test]
    fn a_postgresql_verifier_is_read() {
        let text = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
        let verifier = ScramVerifier::parse(text).unwrap();
        assert_eq!(verifier.iterations, 4096);
        assert_eq!(verifier.salt.len(), 16);
    }

    #[test]
    fn other_texts_are_not() {
        for text in [
            "",
            "md5abc",
            "SCRAM-SHA-256$0:AA==$AA==:AA==",
            "SCRAM-SHA-256$4096:$:",
        ] {
            assert!(ScramVerifier::parse(text).is_none(), "{text}");
        }
    }
}
