//! For the tests of `net`: throwaway certificates, and both ends of a loopback connection.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::ServerName;

use crate::net::options::{
    ClientCert, ClientTlsOptions, DialOptions, Keepalive, ServerTlsOptions, TlsMode, TlsVersion,
};
use crate::net::{ClientTls, ServerTls, Stream, TlsError};

/// A certificate authority whose certificates lie in files of a folder that goes with it.
pub(super) struct Authority {
    pub(super) dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// Files of a certificate and its key.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        std::fs::write(dir.path().join("ca.crt"), cert.pem()).unwrap();
        Self {
            dir,
            issuer: Issuer::new(params, key),
        }
    }

    pub(super) fn file(&self) -> PathBuf {
        self.dir.path().join("ca.crt")
    }

    pub(super) fn server(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params, name)
    }

    pub(super) fn client(&self, common_name: &str) -> Identity {
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        self.issue(params, common_name)
    }

    fn issue(&self, params: CertificateParams, file: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        write_identity(self.dir.path(), file, &cert, &key)
    }
}

pub(super) fn write_identity(
    dir: &Path,
    name: &str,
    cert: &Certificate,
    key: &KeyPair,
) -> Identity {
    let identity = Identity {
        cert: dir.join(format!("{name}.crt")),
        key: dir.join(format!("{name}.key")),
    };
    std::fs::write(&identity.cert, cert.pem()).unwrap();
    std::fs::write(&identity.key, key.serialize_pem()).unwrap();
    identity
}

pub(super) fn server_options(identity: &Identity) -> ServerTlsOptions {
    ServerTlsOptions {
        cert_file: identity.cert.clone(),
        key_file: identity.key.clone(),
        client_ca_file: None,
        client_cert: ClientCert::Off,
        min_version: TlsVersion::V1_2,
    }
}

pub(super) fn server_tls(identity: &Identity) -> ServerTls {
    ServerTls::load(&server_options(identity), &[b"postgresql"]).unwrap()
}

pub(super) fn client_options(mode: TlsMode, ca: Option<PathBuf>) -> ClientTlsOptions {
    ClientTlsOptions {
        mode,
        ca_file: ca,
        identity: None,
        server_name: None,
        min_version: TlsVersion::V1_2,
    }
}

pub(super) fn client_tls(mode: TlsMode, ca: Option<PathBuf>) -> ClientTls {
    ClientTls::load(&client_options(mode, ca), &[])
        .unwrap()
        .unwrap()
}

pub(super) fn no_keepalive() -> Keepalive {
    Keepalive {
        idle: Duration::ZERO,
        interval: Duration::ZERO,
        count: 0,
        user_timeout: Duration::ZERO,
    }
}

pub(crate) fn dial_options(host: &str, port: u16) -> DialOptions {
    DialOptions {
        host: host.into(),
        port,
        iam_endpoint: None,
        connect_timeout: Duration::from_secs(5),
        keepalive: no_keepalive(),
        tls: client_options(TlsMode::Disable, None),
        ask_public_key: false,
    }
}

/// Both ends of a connection: ours as a server, and the client's.
pub(super) async fn connected() -> (Stream, Stream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (accepted, dialled) = tokio::join!(listener.accept(), TcpStream::connect(address));
    (
        Stream::plain(accepted.unwrap().0),
        Stream::plain(dialled.unwrap()),
    )
}

/// What each end says of a handshake; the streams of those that succeed.
pub(super) struct Shaken {
    pub(super) server: Result<Stream, TlsError>,
    pub(super) client: Result<Stream, TlsError>,
}

pub(super) async fn shake(server_tls: &ServerTls, client_tls: &ClientTls, name: &str) -> Shaken {
    let (mut server, mut client) = connected().await;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let (at_server, at_client) = tokio::join!(
        server.upgrade_server(server_tls, &[]),
        client.upgrade_client(client_tls, name)
    );
    Shaken {
        server: at_server.map(|_| server),
        client: at_client.map(|_| client),
    }
}
