//! Authentication plugins: what one side computes and the other checks. Bytes in, bytes out;
//! packets, and when to run what takes milliseconds, are the callers'.

pub mod ed25519;
pub mod native;
pub mod parsec;
pub mod rsa;
pub mod sha2;
pub mod sha_crypt;

use std::fmt::Write as _;

use aws_lc_rs::{constant_time, digest};

/// `mysql_native_password`.
pub const NATIVE: &str = "mysql_native_password";
/// `caching_sha2_password`.
pub const CACHING_SHA2: &str = "caching_sha2_password";
/// `sha256_password`.
pub const SHA256: &str = "sha256_password";
/// `mysql_clear_password`.
pub const CLEAR: &str = "mysql_clear_password";
/// MariaDB's `client_ed25519`.
pub const ED25519: &str = "client_ed25519";

/// MariaDB's `parsec`.
pub const PARSEC: &str = "parsec";

/// Length of a SHA-1 output in bytes.
pub const SHA1_LEN: usize = 20;
/// Length of a SHA-256 output in bytes.
pub const SHA256_LEN: usize = 32;

/// SHA-1 over the parts, one after the other.
fn sha1(parts: &[&[u8]]) -> [u8; SHA1_LEN] {
    hash(&digest::SHA1_FOR_LEGACY_USE_ONLY, parts)
}

/// SHA-256 over the parts, one after the other.
fn sha256(parts: &[&[u8]]) -> [u8; SHA256_LEN] {
    hash(&digest::SHA256, parts)
}

/// SHA-512 over the parts, one after the other.
fn sha512(parts: &[&[u8]]) -> [u8; 64] {
    hash(&digest::SHA512, parts)
}

fn hash<const N: usize>(algorithm: &'static digest::Algorithm, parts: &[&[u8]]) -> [u8; N] {
    let mut context = digest::Context::new(algorithm);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; N];
    out.iter_mut()
        .zip(context.finish().as_ref())
        .for_each(|(to, from)| *to = *from);
    out
}

fn xor<const N: usize>(a: &[u8; N], b: &[u8; N]) -> [u8; N] {
    let mut out = *a;
    out.iter_mut().zip(b).for_each(|(to, from)| *to ^= *from);
    out
}

/// Compares in constant time.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// What assures a client of a certificate: SHA-256, in hexadecimal, of what is kept about its
/// password, the challenge of the greeting and the certificate's SHA-256; behind a byte that names
/// the hash function.
pub fn assurance(kept: &[u8], greeting: &[u8], certificate: &[u8; SHA256_LEN]) -> Box<[u8]> {
    let digest = sha256(&[kept, greeting, certificate]);
    let mut text = String::from("\u{1}");
    for byte in digest {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02X}");
    }
    text.into_bytes().into()
}

/// A password as it goes over the wire: with a zero byte behind it (MySQL protocol, "Clear Text
/// Authentication"). Not every client sends that byte. `None`: there is one inside.
pub fn cleartext(answer: &[u8]) -> Option<&[u8]> {
    let password = answer.strip_suffix(&[0]).unwrap_or(answer);
    (!password.contains(&0)).then_some(password)
}
