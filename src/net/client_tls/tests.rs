use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::version::TLS12;
use tokio_rustls::rustls::{CertificateError, ClientConfig};

use super::{ClientTls, Verifier};
use crate::net::certs::{read_certs, read_key};
use crate::net::options::{TlsMode, TlsVersion};
use crate::net::testing::{
    Authority, Identity, Shaken, client_options, client_tls, connected, server_options, server_tls,
    shake, write_identity,
};
use crate::net::tls::{TlsError, TlsSetupError, provider};
use crate::net::{ServerTls, Stream, cert_facts};

const HOST: &str = "db.example.com";
const ALL_MODES: [TlsMode; 4] = [
    TlsMode::Prefer,
    TlsMode::Require,
    TlsMode::VerifyCa,
    TlsMode::VerifyFull,
];

/// Which modes accept a server with `identity`, given `ca` and the name `db.example.com`.
async fn accepting(identity: &Identity, ca: &Authority) -> Vec<TlsMode> {
    let server = server_tls(identity);
    let mut accepted = Vec::new();
    for mode in ALL_MODES {
        let shaken = shake(&server, &client_tls(mode, Some(ca.file())), HOST).await;
        match shaken.client {
            Ok(_) => accepted.push(mode),
            Err(TlsError::Certificate(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    accepted
}

#[tokio::test]
async fn the_right_authority_and_name_satisfy_every_mode() {
    let ca = Authority::new("ca");
    assert_eq!(accepting(&ca.server(HOST), &ca).await, ALL_MODES);
}

#[tokio::test]
async fn a_wrong_name_fails_verify_full_only() {
    let ca = Authority::new("ca");
    let modes = accepting(&ca.server("other.example.com"), &ca).await;
    assert_eq!(modes, ALL_MODES[..3]);
}

#[tokio::test]
async fn a_wrong_authority_fails_every_mode_that_was_given_one() {
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let modes = accepting(&other.server(HOST), &ca).await;
    assert_eq!(modes, [TlsMode::Prefer]);
}

#[tokio::test]
async fn require_without_authorities_verifies_nothing() {
    let ca = Authority::new("ca");
    let client = client_tls(TlsMode::Require, None);
    let shaken = shake(&server_tls(&ca.server("other")), &client, HOST).await;
    assert!(shaken.client.unwrap().is_tls());
}

#[tokio::test]
async fn every_certificate_of_a_bundle_counts() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let bundle = first.dir.path().join("bundle.pem");
    let read = |ca: &Authority| std::fs::read_to_string(ca.file()).unwrap();
    std::fs::write(
        &bundle,
        format!("# two\n{}\n{}", read(&first), read(&second)),
    )
    .unwrap();
    let client = client_tls(TlsMode::VerifyFull, Some(bundle));
    for ca in [&first, &second] {
        let shaken = shake(&server_tls(&ca.server(HOST)), &client, HOST).await;
        shaken.client.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_is_its_own_authority_is_trusted_if_listed() {
    let ca = Authority::new("ca");
    let mut params = rcgen::CertificateParams::new([HOST.to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    let own = write_identity(ca.dir.path(), "own", &cert, &key);
    let server = server_tls(&own);

    let listed = client_tls(TlsMode::VerifyFull, Some(own.cert.clone()));
    shake(&server, &listed, HOST).await.client.unwrap();
    let shaken = shake(&server, &listed, "other.example.com").await;
    assert!(matches!(
        shaken.client,
        Err(TlsError::Certificate(
            CertificateError::NotValidForNameContext { .. }
        ))
    ));
    let unlisted = client_tls(TlsMode::VerifyCa, Some(ca.file()));
    let shaken = shake(&server, &unlisted, HOST).await;
    assert!(matches!(shaken.client, Err(TlsError::Certificate(_))));
}

#[tokio::test]
async fn a_listed_certificate_expires_all_the_same() {
    let ca = Authority::new("ca");
    let mut params = rcgen::CertificateParams::new([HOST.to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    let own = write_identity(ca.dir.path(), "own", &cert, &key);
    let client = client_tls(TlsMode::VerifyCa, Some(own.cert.clone()));
    let shaken = shake(&server_tls(&own), &client, HOST).await;
    assert!(matches!(shaken.client, Err(TlsError::Certificate(_))));
}

#[tokio::test]
async fn an_address_is_verified_as_an_address() {
    let ca = Authority::new("ca");
    let server = server_tls(&ca.server("127.0.0.1"));
    let client = client_tls(TlsMode::VerifyFull, Some(ca.file()));
    shake(&server, &client, "127.0.0.1").await.client.unwrap();
    let shaken = shake(&server, &client, "127.0.0.2").await;
    assert!(matches!(shaken.client, Err(TlsError::Certificate(_))));
}

/// A server that shows the certificate of version 1 in `testdata` and signs with `key`.
fn version_1_server(key: PrivateKeyDer<'static>) -> (ServerTls, Vec<u8>) {
    let chain =
        read_certs(concat!(env!("CARGO_MANIFEST_DIR"), "/src/net/testdata/v1.crt").as_ref());
    let chain = chain.unwrap();
    let der = chain[0].to_vec();
    let key = provider().key_provider.load_private_key(key).unwrap();
    let mut tls = server_tls(&Authority::new("ca").server(HOST));
    let mut config = (*tls.config).clone();
    config.cert_resolver = Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)));
    tls.config = Arc::new(config);
    (tls, der)
}

#[tokio::test]
async fn a_version_1_certificate_still_has_to_sign_the_handshake() {
    let key_file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/net/testdata/v1.key");
    let (server, der) = version_1_server(read_key(key_file.as_ref()).unwrap());
    let client = client_tls(TlsMode::Require, None);
    let accepted = shake(&server, &client, HOST).await.client.unwrap();
    assert_eq!(
        accepted.tls_facts().unwrap().end_point,
        cert_facts::end_point(&der)
    );
    let authority = Authority::new("ca");
    let strict = client_tls(TlsMode::VerifyCa, Some(authority.file()));
    let shaken = shake(&server, &strict, HOST).await;
    assert!(matches!(shaken.client, Err(TlsError::Certificate(_))));

    let other_key = read_key(&authority.server(HOST).key).unwrap();
    let (impostor, _) = version_1_server(other_key);
    let shaken = shake(&impostor, &client, HOST).await;
    assert!(matches!(
        shaken.client,
        Err(TlsError::Certificate(CertificateError::BadSignature))
    ));
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_told_apart() {
    let (mut server, mut client) = connected().await;
    let tls = client_tls(TlsMode::Require, None);
    let name = tls.name_for(HOST).unwrap();
    let reply = async {
        let mut hello = [0; 64];
        server.read_exact(&mut hello).await.unwrap();
        server.write_all(b"E\0\0\0\x08sorry").await.unwrap();
        server
    };
    let (error, _server) = tokio::join!(client.upgrade_client(&tls, name), reply);
    assert!(matches!(error, Err(TlsError::NotTls(_))), "{error:?}");
    let write = client.write_all(b"password in plaintext").await;
    assert_eq!(write.unwrap_err().kind(), std::io::ErrorKind::NotConnected);
}

#[tokio::test]
async fn a_server_that_hangs_up_is_told_apart() {
    let (server, mut client) = connected().await;
    drop(server);
    let tls = client_tls(TlsMode::Require, None);
    let error = client
        .upgrade_client(&tls, tls.name_for(HOST).unwrap())
        .await;
    assert!(matches!(error, Err(TlsError::Closed)), "{error:?}");
}

#[tokio::test]
async fn sessions_are_resumed_across_dials_in_both_versions() {
    let ca = Authority::new("ca");
    let server = server_tls(&ca.server(HOST));
    for (version, name) in [(TlsVersion::V1_2, "TLSv1.2"), (TlsVersion::V1_3, "TLSv1.3")] {
        let mut client = client_tls(TlsMode::VerifyFull, Some(ca.file()));
        if version == TlsVersion::V1_2 {
            client = only_1_2(client);
        }
        let first = exchange_a_byte(shake(&server, &client, HOST).await).await;
        assert_eq!(
            (first.tls_resumed(), first.tls_version()),
            (false, Some(name))
        );
        let second = exchange_a_byte(shake(&server, &client, HOST).await).await;
        assert_eq!(
            (second.tls_resumed(), second.tls_version()),
            (true, Some(name))
        );
        let end_point = second.tls_facts().unwrap().end_point;
        assert!(end_point.is_some());
        assert_eq!(end_point, server.end_point);
    }
}

/// Rebuilds the settings for TLS 1.2, which options cannot ask for.
fn only_1_2(client: ClientTls) -> ClientTls {
    let verifier = Verifier::new(&client_options(TlsMode::Require, None)).unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    ClientTls {
        config: config.into(),
        ..client
    }
}

/// The client sees a TLS 1.3 ticket only when it reads.
async fn exchange_a_byte(shaken: Shaken) -> Stream {
    let (mut server, mut client) = (shaken.server.unwrap(), shaken.client.unwrap());
    server.write_all(b"x").await.unwrap();
    server.flush().await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'x');
    client
}

#[tokio::test]
async fn the_lowest_version_is_kept_by_both_sides() {
    let ca = Authority::new("ca");
    let mut options = server_options(&ca.server(HOST));
    options.min_version = TlsVersion::V1_3;
    let server = ServerTls::load(&options, &[]).unwrap();
    let old = only_1_2(client_tls(TlsMode::Require, None));
    let shaken = shake(&server, &old, HOST).await;
    assert!(matches!(shaken.server, Err(TlsError::Incompatible(_))));
    assert!(matches!(shaken.client, Err(TlsError::Refused(_))));
}

#[test]
fn mode_disable_has_no_settings() {
    let options = client_options(TlsMode::Disable, Some("/nonexistent".into()));
    assert!(ClientTls::load(&options, &[]).unwrap().is_none());
}

#[test]
fn names_are_hosts_addresses_or_the_configured_one() {
    let mut options = client_options(TlsMode::Require, None);
    let plain = ClientTls::load(&options, &[]).unwrap().unwrap();
    for host in [
        "db.example.com",
        "my_db",
        "192.0.2.1",
        "2001:db8::1",
        "localhost",
    ] {
        assert_eq!(plain.name_for(host).unwrap().to_str(), host);
    }
    assert!(matches!(
        plain.name_for("not a name"),
        Err(TlsSetupError::BadName(_))
    ));
    options.server_name = Some("override.example.com".into());
    let named = ClientTls::load(&options, &[]).unwrap().unwrap();
    assert_eq!(
        named.name_for("192.0.2.1").unwrap().to_str(),
        "override.example.com"
    );
}

#[test]
fn a_missing_or_empty_file_of_authorities_is_an_error() {
    let ca = Authority::new("ca");
    let missing = client_options(TlsMode::VerifyCa, Some(ca.dir.path().join("missing")));
    assert!(matches!(
        ClientTls::load(&missing, &[]),
        Err(TlsSetupError::Read { .. })
    ));
    let empty = ca.dir.path().join("empty.pem");
    std::fs::write(&empty, "nothing here").unwrap();
    let empty = client_options(TlsMode::VerifyCa, Some(empty));
    assert!(matches!(
        ClientTls::load(&empty, &[]),
        Err(TlsSetupError::NoCertificate(_))
    ));
}
