use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, digest};
use rcgen::{
    CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize, SignatureAlgorithm,
};

use super::{common_name, end_point, expires_at, is_valid_at, public_key};
use crate::net::certs::read_certs;

fn self_signed(key: &KeyPair) -> Vec<u8> {
    let params = CertificateParams::new(["db.example.com".to_owned()]).unwrap();
    params.self_signed(key).unwrap().der().to_vec()
}

fn from_file(name: &str) -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/net/testdata/").to_owned() + name;
    read_certs(path.as_ref()).unwrap()[0].to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[test]
fn the_end_point_is_hashed_by_the_hash_of_the_signature() {
    let ecdsa = |algorithm: &'static SignatureAlgorithm| KeyPair::generate_for(algorithm).unwrap();
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let cases: [(KeyPair, &'static Algorithm); 3] = [
        (ecdsa(&PKCS_ECDSA_P256_SHA256), &SHA256),
        (ecdsa(&PKCS_ECDSA_P384_SHA384), &SHA384),
        (rsa, &SHA256),
    ];
    for (key, algorithm) in cases {
        let der = self_signed(&key);
        let expected = digest(algorithm, &der);
        assert_eq!(end_point(&der).unwrap(), expected.as_ref(), "{key:?}");
    }
}

/// Expected values are what `openssl x509 -fingerprint` prints for the files.
#[test]
fn end_points_equal_the_fingerprints_of_openssl() {
    let pss = end_point(&from_file("pss-sha384.crt")).unwrap();
    assert_eq!(hex(&pss), PSS_SHA384);
    let sha1 = end_point(&from_file("rsa-sha1.crt")).unwrap();
    assert_eq!(hex(&sha1), SHA1_AS_SHA256);
}

#[test]
fn a_signature_without_hash_function_has_no_end_point() {
    let der = self_signed(&KeyPair::generate_for(&PKCS_ED25519).unwrap());
    assert_eq!(end_point(&der), None);
}

#[test]
fn only_a_single_common_name_without_nul_counts() {
    let name_of = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        common_name(params.self_signed(&key).unwrap().der())
    };
    assert_eq!(name_of("alice").as_deref(), Some("alice"));
    assert_eq!(name_of(""), None);
    assert_eq!(name_of("alice\0.example.com"), None);
    assert_eq!(common_name(&from_file("two-names.crt")), None);
}

#[test]
fn bytes_that_are_no_certificate_have_no_facts() {
    for bytes in [&b""[..], b"\x30\x80", b"certificate"] {
        assert_eq!(end_point(bytes), None);
        assert_eq!(common_name(bytes), None);
        assert_eq!(expires_at(bytes), None);
        assert!(public_key(bytes).is_none());
        assert!(!is_valid_at(bytes, 0));
    }
}

#[test]
fn validity_ends_at_its_end() {
    let der = from_file("rsa-sha1.crt");
    let end = expires_at(&der)
        .unwrap()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert!(is_valid_at(&der, end));
    assert!(!is_valid_at(&der, end + 1));
    assert!(!is_valid_at(&der, 0));
    assert!(!is_valid_at(&der, u64::MAX));
}

const PSS_SHA384: &str = "A9ECB7750D2B3E530C3147E3FC4F4416FAB65E64DF8B1803\
    34AF2F2748299EF847D8DC3104CB7A825776D9D43F3CE428";
const SHA1_AS_SHA256: &str = "DF6E0592DE2765258E866611C039FA2CE4B73E935ADFC14AC4365CFBC12E5D3A";
