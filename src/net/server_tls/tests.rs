use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::ServerTls;
use crate::net::options::{ClientCert, ClientTlsOptions, TlsMode};
use crate::net::testing::{
    Authority, Identity, client_options, client_tls, connected, server_options, server_tls, shake,
};
use crate::net::tls::{TlsError, TlsSetupError};
use crate::net::{ClientTls, Reloadable, Stream};

const HOST: &str = "proxy.example.com";

fn with_identity(identity: &Identity) -> ClientTls {
    let options = ClientTlsOptions {
        identity: Some((identity.cert.clone(), identity.key.clone())),
        ..client_options(TlsMode::Require, None)
    };
    ClientTls::load(&options, &[]).unwrap().unwrap()
}

/// What the server says of clients with no certificate, a good one, and a stranger's.
async fn verdicts(client_cert: ClientCert) -> [Result<Stream, TlsError>; 3] {
    let (ca, strangers) = (Authority::new("ca"), Authority::new("strangers"));
    let mut options = server_options(&ca.server(HOST));
    options.client_cert = client_cert;
    options.client_ca_file = Some(ca.file());
    let server = ServerTls::load(&options, &[]).unwrap();
    let none = client_tls(TlsMode::Require, None);
    let good = with_identity(&ca.client("alice"));
    let strange = with_identity(&strangers.client("mallory"));
    [
        shake(&server, &none, HOST).await.server,
        shake(&server, &good, HOST).await.server,
        shake(&server, &strange, HOST).await.server,
    ]
}

fn common_name(stream: &Stream) -> Option<String> {
    let facts = stream.tls_facts().unwrap();
    facts.peer_common_name.map(|name| name.to_string())
}

#[tokio::test]
async fn required_certificates_are_required_and_verified() {
    let [none, good, strange] = verdicts(ClientCert::Required).await;
    assert!(matches!(none, Err(TlsError::NoCertificate)), "{none:?}");
    assert_eq!(common_name(&good.unwrap()).as_deref(), Some("alice"));
    assert!(matches!(strange, Err(TlsError::Certificate(_))));
}

#[tokio::test]
async fn optional_certificates_are_verified_if_shown() {
    let [none, good, strange] = verdicts(ClientCert::Optional).await;
    assert_eq!(common_name(&none.unwrap()), None);
    assert_eq!(common_name(&good.unwrap()).as_deref(), Some("alice"));
    assert!(matches!(strange, Err(TlsError::Certificate(_))));
}

#[tokio::test]
async fn no_certificate_is_asked_for_when_off() {
    for verdict in verdicts(ClientCert::Off).await {
        assert_eq!(common_name(&verdict.unwrap()), None);
    }
}

#[tokio::test]
async fn a_resumed_client_keeps_its_common_name() {
    let ca = Authority::new("ca");
    let mut options = server_options(&ca.server(HOST));
    options.client_cert = ClientCert::Required;
    options.client_ca_file = Some(ca.file());
    let server = ServerTls::load(&options, &[]).unwrap();
    let client = with_identity(&ca.client("alice"));
    let mut resumed = Vec::new();
    for _ in 0..2 {
        let shaken = shake(&server, &client, HOST).await;
        let (mut server, mut client) = (shaken.server.unwrap(), shaken.client.unwrap());
        server.write_all(b"x").await.unwrap();
        client.read_u8().await.unwrap();
        assert_eq!(common_name(&server).as_deref(), Some("alice"));
        resumed.push(server.tls_resumed());
    }
    assert_eq!(resumed, [false, true]);
}

#[tokio::test]
async fn both_sides_see_the_same_end_point() {
    let ca = Authority::new("ca");
    let server = server_tls(&ca.server(HOST));
    let shaken = shake(&server, &client_tls(TlsMode::Require, None), HOST).await;
    let (at_server, at_client) = (shaken.server.unwrap(), shaken.client.unwrap());
    let ours = at_server.tls_facts().unwrap().end_point.unwrap();
    assert_eq!(ours.len(), 32);
    assert_eq!(Some(ours), at_client.tls_facts().unwrap().end_point);
    assert_eq!(at_server.tls_cipher(), at_client.tls_cipher());
    assert!(at_server.tls_cipher().unwrap().contains("GCM"));
    assert!(server.expires_at().unwrap() > std::time::SystemTime::now());
}

#[tokio::test]
async fn alpn_is_agreed_on_missing_or_refused() {
    let ca = Authority::new("ca");
    let server = server_tls(&ca.server(HOST));
    let client = |alpn: &[&[u8]]| {
        let options = client_options(TlsMode::Require, None);
        ClientTls::load(&options, alpn).unwrap().unwrap()
    };
    let shaken = shake(&server, &client(&[b"postgresql"]), HOST).await;
    assert_eq!(shaken.server.unwrap().alpn(), Some(&b"postgresql"[..]));
    let shaken = shake(&server, &client(&[]), HOST).await;
    assert_eq!(shaken.server.unwrap().alpn(), None);
    let shaken = shake(&server, &client(&[b"h2"]), HOST).await;
    assert!(matches!(shaken.server, Err(TlsError::AlpnMismatch)));
    assert!(matches!(shaken.client, Err(TlsError::Refused(_))));
}

#[tokio::test]
async fn direct_tls_needs_alpn() {
    let ca = Authority::new("ca");
    let tls = server_tls(&ca.server(HOST));
    for (alpn, accepted) in [(&[&b"postgresql"[..]][..], true), (&[], false)] {
        let options = client_options(TlsMode::Require, None);
        let client_tls = ClientTls::load(&options, alpn).unwrap().unwrap();
        let (mut server, mut client) = connected().await;
        let name = client_tls.name_for(HOST).unwrap();
        let (at_server, _) = tokio::join!(
            server.upgrade_server_direct(&tls, &[]),
            client.upgrade_client(&client_tls, name)
        );
        match at_server {
            Ok(_) => assert!(accepted && server.is_tls()),
            Err(error) => {
                assert!(matches!(error, TlsError::AlpnMissing) && !accepted);
                assert!(server.write_all(b"x").await.is_err());
            }
        }
    }
}

#[tokio::test]
async fn a_reload_serves_the_next_client_and_leaves_the_old_one() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let identity = old.server(HOST);
    let load = || ServerTls::load(&server_options(&identity), &[]);
    let tls = Reloadable::new(load().unwrap());
    let trusts = |ca: &Authority| client_tls(TlsMode::VerifyFull, Some(ca.file()));

    let shaken = shake(&tls.current(), &trusts(&old), HOST).await;
    let (mut server, mut client) = (shaken.server.unwrap(), shaken.client.unwrap());

    std::fs::write(&identity.cert, "damaged").unwrap();
    assert!(matches!(
        tls.reload(load),
        Err(TlsSetupError::NoCertificate(_))
    ));
    let replacement = new.server(HOST);
    std::fs::copy(&replacement.cert, &identity.cert).unwrap();
    assert!(matches!(
        tls.reload(load),
        Err(TlsSetupError::BadIdentity { .. })
    ));
    let shaken = shake(&tls.current(), &trusts(&old), HOST).await;
    shaken.client.unwrap();

    std::fs::copy(&replacement.key, &identity.key).unwrap();
    tls.reload(load).unwrap();
    let shaken = shake(&tls.current(), &trusts(&old), HOST).await;
    assert!(matches!(shaken.client, Err(TlsError::Certificate(_))));
    let shaken = shake(&tls.current(), &trusts(&new), HOST).await;
    shaken.client.unwrap();

    server.write_all(b"still here").await.unwrap();
    let mut read = [0; 10];
    client.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"still here");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let ca = Authority::new("ca");
    let mut options = server_options(&ca.server(HOST));
    options.client_cert = ClientCert::Required;
    assert!(matches!(
        ServerTls::load(&options, &[]),
        Err(TlsSetupError::NoClientAuthorities)
    ));
    options.client_cert = ClientCert::Off;
    options.key_file = options.cert_file.clone();
    assert!(matches!(
        ServerTls::load(&options, &[]),
        Err(TlsSetupError::NoKey(_))
    ));
}
