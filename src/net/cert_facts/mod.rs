//! What is read out of a certificate beyond what rustls verifies: the channel binding hash, the
//! common name, the days of validity.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{self, Algorithm, SHA224, SHA256, SHA384, SHA512};
use bytes::Bytes;
use tokio_rustls::rustls::pki_types::SubjectPublicKeyInfoDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::Oid;
use x509_parser::oid_registry::{
    OID_HASH_SHA1, OID_NIST_HASH_SHA256, OID_NIST_HASH_SHA384, OID_NIST_HASH_SHA512,
    OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_RSASSAPSS, OID_PKCS1_SHA1WITHRSA, OID_PKCS1_SHA224WITHRSA,
    OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
    OID_SIG_ECDSA_WITH_SHA224, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384,
    OID_SIG_ECDSA_WITH_SHA512,
};
use x509_parser::prelude::FromDer;
use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::time::ASN1Time;
use x509_parser::x509::AlgorithmIdentifier;

/// `tls-server-end-point` (RFC 5929 section 4.1): the certificate hashed by the hash function of
/// its own signature, where MD5 and SHA-1 count as SHA-256. `None` where the signature uses no
/// single hash function (Ed25519) or one not known here.
pub fn end_point(der: &[u8]) -> Option<Bytes> {
    let cert = parse(der)?;
    let algorithm = signature_hash(&cert.signature_algorithm)?;
    Some(Bytes::copy_from_slice(
        digest::digest(algorithm, der).as_ref(),
    ))
}

/// SHA-256 of the certificate.
pub fn fingerprint(der: &[u8]) -> Option<[u8; 32]> {
    digest::digest(&SHA256, der).as_ref().try_into().ok()
}

/// The subject's common name; `None` unless there is exactly one, and it is text. Who has two
/// names could be taken for either.
pub fn common_name(der: &[u8]) -> Option<Arc<str>> {
    let cert = parse(der)?;
    let mut names = cert.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?;
    let single = names.next().is_none() && !name.is_empty() && !name.contains('\0');
    single.then(|| name.into())
}

/// The end of the certificate's validity.
pub fn expires_at(der: &[u8]) -> Option<SystemTime> {
    let seconds = parse(der)?.validity().not_after.timestamp();
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// True if `now`, in seconds since 1970, lies within the certificate's validity.
pub(super) fn is_valid_at(der: &[u8], now: u64) -> bool {
    let Some((cert, now)) = parse(der).zip(i64::try_from(now).ok()) else {
        return false;
    };
    ASN1Time::from_timestamp(now).is_ok_and(|now| cert.validity().is_valid_at(now))
}

/// The certificate's public key, whatever the certificate's version.
pub(super) fn public_key(der: &[u8]) -> Option<SubjectPublicKeyInfoDer<'static>> {
    Some(parse(der)?.public_key().raw.to_vec().into())
}

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    let (_, cert) = X509Certificate::from_der(der).ok()?;
    Some(cert)
}

fn signature_hash(signature: &AlgorithmIdentifier<'_>) -> Option<&'static Algorithm> {
    if signature.algorithm == OID_PKCS1_RSASSAPSS {
        let params = RsaSsaPssParams::try_from(signature.parameters()?).ok()?;
        return hash_by_oid(params.hash_algorithm_oid());
    }
    let by_signature: [(&Oid<'_>, &'static Algorithm); 10] = [
        (&OID_PKCS1_SHA256WITHRSA, &SHA256),
        (&OID_SIG_ECDSA_WITH_SHA256, &SHA256),
        (&OID_SIG_ECDSA_WITH_SHA384, &SHA384),
        (&OID_PKCS1_SHA384WITHRSA, &SHA384),
        (&OID_PKCS1_SHA512WITHRSA, &SHA512),
        (&OID_SIG_ECDSA_WITH_SHA512, &SHA512),
        (&OID_PKCS1_SHA224WITHRSA, &SHA224),
        (&OID_SIG_ECDSA_WITH_SHA224, &SHA224),
        (&OID_PKCS1_SHA1WITHRSA, &SHA256),
        (&OID_PKCS1_MD5WITHRSAENC, &SHA256),
    ];
    find(&by_signature, &signature.algorithm)
}

fn hash_by_oid(oid: &Oid<'_>) -> Option<&'static Algorithm> {
    let by_hash: [(&Oid<'_>, &'static Algorithm); 4] = [
        (&OID_NIST_HASH_SHA256, &SHA256),
        (&OID_NIST_HASH_SHA384, &SHA384),
        (&OID_NIST_HASH_SHA512, &SHA512),
        (&OID_HASH_SHA1, &SHA256),
    ];
    find(&by_hash, oid)
}

fn find(table: &[(&Oid<'_>, &'static Algorithm)], oid: &Oid<'_>) -> Option<&'static Algorithm> {
    let (_, algorithm) = table.iter().find(|(known, _)| *known == oid)?;
    Some(algorithm)
}

#[cfg(test)]
mod tests;
