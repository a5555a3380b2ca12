//! What MySQL and MariaDB keep about passwords (`authentication_string` of `mysql.user`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

use super::store::VerifierError;
use crate::model::credential::ED25519_LEN;
use crate::model::{Parsec, Secret, ShaCrypt, Verifier};

/// Bytes of the salts that MySQL makes.
const SALT_LEN: usize = 20;
/// Characters of the hash behind them.
const HASH_LEN: usize = 43;
/// How `caching_sha2_password` begins; thousands of rounds follow, in three hexadecimal digits.
const CACHING_SHA2: &[u8] = b"$A$";
/// How `sha256_password` begins.
const SHA256: &[u8] = b"$5$";
/// Rounds of `sha256_password`, which does not name them.
const SHA256_ROUNDS: u32 = 5000;
/// What tells MariaDB's `ed25519` keys, which are mere base 64, from passwords. Ours.
const ED25519: &[u8] = b"ed25519:";

/// What a stored text is, if it is one of these. Hashes may stand in hexadecimal behind `0x`, as
/// `SHOW CREATE USER` prints them under `print_identified_with_as_hex`: their salts are any bytes.
pub(super) fn parse(stored: &[u8]) -> Option<Result<Verifier, VerifierError>> {
    if let Some(key) = stored.strip_prefix(ED25519) {
        let key = BASE64.decode(key).ok().and_then(|key| key.try_into().ok());
        let key: Option<[u8; ED25519_LEN]> = key;
        return Some(
            key.map(Verifier::Ed25519)
                .ok_or(VerifierError::BrokenEd25519),
        );
    }
    if let Some(kept) = parse_parsec(stored) {
        return Some(Ok(Verifier::Parsec(kept)));
    }
    if let Some(hash) = stored.strip_prefix(b"*")
        && let Some(hash) = unhex(hash).filter(|hash| hash.len() == SALT_LEN)
    {
        return Some(Ok(Verifier::Native(Secret::new(hash))));
    }
    if let Some(hash) = stored.strip_prefix(b"0x")
        && let Some(hash) = unhex(hash).filter(|hash| is_crypt(hash))
    {
        return Some(crypt(&hash));
    }
    is_crypt(stored).then(|| crypt(stored))
}

fn is_crypt(stored: &[u8]) -> bool {
    // A password may begin with a dollar sign; with all of this it is not by chance.
    let caching = stored.strip_prefix(CACHING_SHA2);
    let rounds = caching.and_then(|rest| rest.split_at_checked(3));
    let caching = rounds.is_some_and(|(rounds, rest)| {
        rest.first() == Some(&b'$') && rounds.iter().all(u8::is_ascii_hexdigit)
    });
    caching || stored.starts_with(SHA256)
}

fn crypt(stored: &[u8]) -> Result<Verifier, VerifierError> {
    let parsed = parse_caching(stored).or_else(|| parse_sha256(stored));
    parsed
        .filter(|kept| kept.rounds > 0)
        .map(Verifier::ShaCrypt)
        .ok_or(VerifierError::BrokenShaCrypt)
}

fn parse_caching(stored: &[u8]) -> Option<ShaCrypt> {
    let (rounds, rest) = stored.strip_prefix(CACHING_SHA2)?.split_at_checked(3)?;
    let rounds = std::str::from_utf8(rounds).ok()?;
    let rounds = u32::from_str_radix(rounds, 16).ok()? * 1000;
    let (salt, hash) = rest.strip_prefix(b"$")?.split_at_checked(SALT_LEN)?;
    kept(rounds, salt, hash)
}

fn parse_sha256(stored: &[u8]) -> Option<ShaCrypt> {
    let rest = stored.strip_prefix(SHA256)?;
    let (salt, hash) = rest.split_at_checked(rest.len().checked_sub(HASH_LEN)?)?;
    kept(SHA256_ROUNDS, salt.strip_suffix(b"$")?, hash)
}

/// `P0:salt:key`, where the digit is the cost (MariaDB documentation, "Authentication Plugin -
/// PARSEC").
fn parse_parsec(stored: &[u8]) -> Option<Parsec> {
    let [b'P', factor @ b'0'..=b'9', b':', rest @ ..] = stored else {
        return None;
    };
    let colon = memchr::memchr(b':', rest)?;
    let (salt, key) = rest.split_at_checked(colon)?;
    Some(Parsec {
        factor: factor - b'0',
        salt: BASE64.decode(salt).ok()?.into(),
        key: BASE64
            .decode(key.strip_prefix(b":")?)
            .ok()?
            .try_into()
            .ok()?,
    })
}

fn kept(rounds: u32, salt: &[u8], hash: &[u8]) -> Option<ShaCrypt> {
    let is_hash = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    let right = hash.len() == HASH_LEN && hash.iter().all(is_hash) && !salt.contains(&b'$');
    right.then(|| ShaCrypt {
        rounds,
        salt: salt.into(),
        hash: Secret::new(hash),
    })
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let (pairs, []) = text.as_chunks::<2>() else {
        return None;
    };
    let pair = |[high, low]: &[u8; 2]| u8::try_from(digit(high)? << 4 | digit(low)?).ok();
    pairs.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::parse;
    use crate::auth::store::VerifierError;
    use crate::model::{Secret, Verifier};

    /// Of a user of MySQL 9.7 whose password is `pencil`: `caching_sha2_password` with 10,000
    /// rounds, and `sha256_password`.
    const CACHING: &str = "24412430304124034C2879627E6C5F4D22366802023D3D547D67474D797144576A2E39364F6953797338525968314F6D662F664C465379656234584F486C562E706A3863702F";
    const SHA256: &str = "2435242D1F356C7865353C3B0F163860170E174B5C644E244E4C4C546F343353537A5736614E4D572F4E467565334A707759414133754834466A70326F4D6E42387330";

    fn raw(hex: &str) -> Vec<u8> {
        super::unhex(hex.as_bytes()).unwrap()
    }

    #[test]
    fn hashes_are_read_raw_and_in_hexadecimal() {
        for (hex, rounds) in [(CACHING, 10_000), (SHA256, 5000)] {
            for stored in [raw(hex), format!("0x{hex}").into_bytes()] {
                let Some(Ok(Verifier::ShaCrypt(kept))) = parse(&stored) else {
                    panic!("{hex}");
                };
                assert_eq!((kept.rounds, kept.salt.len()), (rounds, 20));
            }
        }
        let native = parse(b"*7614BE58636C810A9D8970A50B3B2A78450413E4");
        assert!(
            matches!(native, Some(Ok(Verifier::Native(hash))) if hash.expose()[..2] == [0x76, 0x14])
        );
        let key = parse(b"ed25519:x1YAMCvR7TI3XkfIDrsGUiePkxOybYVG94ctSSWCDSc");
        assert!(matches!(key, Some(Ok(Verifier::Ed25519(key))) if key[0] == 0xC7));
        let parsec = b"P0:wlJWBSbKR24yWW429DCZSn+F:En1CHxoFLgLmfOu6zF2LD3QET3nRc2yxMEJ0Gc62uxI";
        let parsec = parse(parsec);
        assert!(matches!(parsec, Some(Ok(Verifier::Parsec(kept))) if kept.salt.len() == 18));
    }

    #[test]
    fn damaged_hashes_are_no_passwords() {
        for hex in [CACHING, SHA256] {
            let whole = raw(hex);
            for len in 7..whole.len() {
                let parsed = parse(&whole[..len]);
                assert!(
                    matches!(parsed, Some(Err(VerifierError::BrokenShaCrypt))),
                    "{len}"
                );
            }
        }
        let parsed = parse(b"ed25519:x1YA");
        assert!(matches!(parsed, Some(Err(VerifierError::BrokenEd25519))));
        let zero = raw(&CACHING.replacen("303041", "303030", 1));
        assert!(matches!(
            parse(&zero),
            Some(Err(VerifierError::BrokenShaCrypt))
        ));
    }

    #[test]
    fn passwords_are_not_hashes() {
        for password in [
            &b"$A$ is no hash"[..],
            b"*secret*",
            b"*7614BE58636C810A9D8970A50B3B2A78450413",
            b"0x00",
            b"0xzz",
            b"P0:a:b",
            b"P0:wlJWBSbKR24yWW429DCZSn+F",
            b"x1YAMCvR7TI3XkfIDrsGUiePkxOybYVG94ctSSWCDSc",
        ] {
            assert!(parse(password).is_none());
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(start in 0_usize..5, rest: Vec<u8>) {
            let start = [&b""[..], b"$A$005$", b"$5$", b"0x", b"P0:"][start];
            let _ = parse(&[start, &rest].concat()).map(|parsed| parsed.map(|_| Secret::new(rest)));
        }
    }
}
