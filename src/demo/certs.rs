//! A throwaway certificate authority, and certificates by it for the servers and for Sluice.
//! ECDSA P-256, good for `localhost` and `127.0.0.1`.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::error::DemoError;
use super::scratch::Scratch;

/// The authority's certificate.
pub const CA: &str = "ca.crt";
/// PostgreSQL's certificate and key.
pub const POSTGRES: (&str, &str) = ("postgres.crt", "postgres.key");
/// MySQL's certificate and key.
pub const MYSQL: (&str, &str) = ("mysql.crt", "mysql.key");
/// Sluice's certificate and key.
pub const SLUICE: (&str, &str) = ("sluice.crt", "sluice.key");

/// Makes them and writes them. The authority's key is forgotten.
pub fn write(scratch: &Scratch) -> Result<(), DemoError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    name(&mut params, "Sluice demo authority");
    let key = KeyPair::generate()?;
    scratch.write(CA, &params.self_signed(&key)?.pem())?;
    let issuer = Issuer::new(params, key);

    let (certificate, key) = leaf("Sluice demo PostgreSQL", &issuer)?;
    scratch.write(POSTGRES.0, &certificate)?;
    scratch.write_for_postgres(POSTGRES.1, &key)?;
    let (certificate, key) = leaf("Sluice demo MySQL", &issuer)?;
    scratch.write(MYSQL.0, &certificate)?;
    scratch.write_private(MYSQL.1, &key)?;
    let (certificate, key) = leaf("Sluice demo", &issuer)?;
    scratch.write(SLUICE.0, &certificate)?;
    scratch.write_private(SLUICE.1, &key)?;
    Ok(())
}

fn leaf(common: &str, issuer: &Issuer<'_, KeyPair>) -> Result<(String, String), DemoError> {
    let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    name(&mut params, common);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn name(params: &mut CertificateParams, common: &str) {
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common);
}
