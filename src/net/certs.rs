//! Reads certificates and keys from PEM files (RFC 7468).
//!
//! `rustls_pemfile` is used in this file only. It is archived (RUSTSEC-2025-0134, no
//! vulnerability); its successor is `rustls_pki_types::pem::PemObject`, on which it is built.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::net::tls::TlsSetupError;

/// Longest PEM file that is read, in bytes. Amazon's global bundle has about 170 KB.
const MAX_PEM: u64 = 4 * 1024 * 1024;

/// All certificates in a file, in order.
///
/// # Errors
/// If the file cannot be read, a section is damaged, or there is no certificate.
pub fn read_certs(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsSetupError> {
    let certs = rustls_pemfile::certs(&mut open(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| read_error(path, source))?;
    if certs.is_empty() {
        return Err(TlsSetupError::NoCertificate(path.to_owned()));
    }
    Ok(certs)
}

/// The first private key in a file: PKCS#8, PKCS#1 or SEC1, not encrypted.
///
/// # Errors
/// If the file cannot be read or holds no such key.
pub fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsSetupError> {
    rustls_pemfile::private_key(&mut open(path)?)
        .map_err(|source| read_error(path, source))?
        .ok_or_else(|| TlsSetupError::NoKey(path.to_owned()))
}

/// All certificates in a file as authorities, and the certificates themselves.
///
/// # Errors
/// If the file cannot be read, or any certificate in it cannot be used: an operator who lists an
/// authority expects it to count.
pub fn read_authorities(
    path: &Path,
) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), TlsSetupError> {
    let certs = read_certs(path)?;
    let mut roots = RootCertStore::empty();
    for cert in &certs {
        roots
            .add(cert.clone())
            .map_err(|source| TlsSetupError::BadAuthority {
                path: path.to_owned(),
                source,
            })?;
    }
    Ok((roots, certs))
}

/// The system's authorities. Ones that cannot be used are passed over, as no operator listed
/// them.
///
/// # Errors
/// If there are none.
pub fn system_authorities() -> Result<RootCertStore, TlsSetupError> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "some of the system's certificate authorities cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(TlsSetupError::NoSystemAuthorities);
    }
    Ok(roots)
}

fn open(path: &Path) -> Result<BufReader<impl Read + use<>>, TlsSetupError> {
    let file = File::open(path).map_err(|source| read_error(path, source))?;
    Ok(BufReader::new(file.take(MAX_PEM)))
}

fn read_error(path: &Path, source: std::io::Error) -> TlsSetupError {
    TlsSetupError::Read {
        path: path.to_owned(),
        source,
    }
}
