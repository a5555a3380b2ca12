//! A certificate authority for the tests: made once a checkout, its files shared by all of them.

use std::{fs, path::PathBuf, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::support::place;

/// PEM files of the tests' authority and what it issued.
#[derive(Clone, Debug)]
pub struct Certs {
    dir: PathBuf,
}

impl Certs {
    /// The files, made if this is the first test to ask. Servers are `localhost` and `127.0.0.1`.
    pub fn shared() -> Self {
        let dir = place::shared().join("certs");
        let _guard = place::lock("certs.lock");
        if !dir.join("complete").exists() {
            fs::create_dir_all(&dir).unwrap();
            make(&dir.join(""));
            fs::write(dir.join("complete"), "").unwrap();
        }
        Self { dir }
    }

    /// The authority that signed everything but the stranger's.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// An authority that signed nothing.
    pub fn stranger_ca(&self) -> PathBuf {
        self.dir.join("stranger.crt")
    }

    /// Certificate of `server` or of a client by its name: `app` or `intruder`.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.crt"))
    }

    /// The key that goes with [`Self::certificate`].
    pub fn key(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.key"))
    }

    /// TLS for a client of the tests that trusts the authority; `identity` names its certificate.
    pub fn client_config(&self, identity: Option<&str>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(self.ca()).unwrap())
            .unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(name) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_file(self.certificate(name)).unwrap()],
                    PrivateKeyDer::from_pem_file(self.key(name)).unwrap(),
                )
                .unwrap(),
        };
        Arc::new(config)
    }
}

fn make(dir: &std::path::Path) {
    let issuer = authority(dir, "ca", "sluice test authority");
    authority(dir, "stranger", "an authority nobody trusts");
    issue(
        dir,
        &issuer,
        "server",
        &["localhost", "127.0.0.1"],
        ExtendedKeyUsagePurpose::ServerAuth,
    );
    issue(
        dir,
        &issuer,
        "app",
        &[],
        ExtendedKeyUsagePurpose::ClientAuth,
    );
    issue(
        dir,
        &issuer,
        "intruder",
        &[],
        ExtendedKeyUsagePurpose::ClientAuth,
    );
}

fn authority(dir: &std::path::Path, file: &str, name: &str) -> Issuer<'static, KeyPair> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).unwrap();
    fs::write(dir.join(format!("{file}.crt")), certificate.pem()).unwrap();
    Issuer::new(params, key)
}

fn issue(
    dir: &std::path::Path,
    issuer: &Issuer<'static, KeyPair>,
    name: &str,
    addresses: &[&str],
    purpose: ExtendedKeyUsagePurpose,
) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![purpose];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, issuer).unwrap();
    fs::write(dir.join(format!("{name}.crt")), certificate.pem()).unwrap();
    fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}
