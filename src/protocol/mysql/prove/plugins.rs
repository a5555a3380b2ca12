//! What the answer of each plugin proves.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use super::super::frame::put_packet;
use super::super::plugin::{self, ed25519, native, parsec, rsa, sha2};
use super::check::Check;
use super::{
    FAST_SUCCESS, FULL_AUTHENTICATION, KEY_FOR_CACHING_SHA2, KEY_FOR_SHA256, MORE_DATA, Prove,
    Refusal, Turn,
};
use crate::model::{Fault, FaultKind, Parsec, Proof, Secret, Verifier};
use crate::protocol::Costly;

impl Prove {
    /// First the client asks for the salt, then it signs.
    pub(super) fn parsec(
        &self,
        kept: &Parsec,
        answer: &[u8],
        asked: bool,
        out: &mut BytesMut,
    ) -> Result<Turn, Refusal> {
        if answer.is_empty() && !asked {
            let salt = parsec::ext_salt(kept);
            put_packet(out, self.sequence.take(), |out| out.put_slice(&salt));
            return Ok(Turn::Answer);
        }
        if !parsec::check(kept, &self.fresh, answer) {
            return Err(Refusal::Denied);
        }
        self.assure(&[&parsec::ext_salt(kept), &kept.key[..]].concat());
        Ok(Turn::Done(Proof::default()))
    }

    pub(super) fn native(&self, answer: &[u8]) -> Result<Turn, Refusal> {
        let (stored, known) = match &self.verifier {
            Some(Verifier::Native(stored)) => (stored.expose().to_vec(), true),
            Some(Verifier::Password(password)) => {
                let key = native::key(password.expose());
                (native::stored(key.expose()).to_vec(), true)
            }
            _ => (native::stored(&self.decoy_key).to_vec(), false),
        };
        let key = native::check(&stored, &self.scramble, answer).filter(|_| known);
        let key = key.ok_or(Refusal::Denied)?;
        self.assure(&stored);
        Ok(Turn::Done(Proof {
            native_key: Some(key),
            ..self.known()
        }))
    }

    /// What the client has proven to know, where Sluice knows it too.
    fn known(&self) -> Proof {
        let password = match &self.verifier {
            Some(Verifier::Password(password)) => Some(password.clone()),
            _ => None,
        };
        Proof {
            password,
            ..Proof::default()
        }
    }

    pub(super) fn ed25519(&self, answer: &[u8]) -> Result<Turn, Refusal> {
        let (key, known) = match &self.verifier {
            Some(Verifier::Ed25519(key)) => (*key, true),
            Some(Verifier::Password(password)) => (ed25519::public_key(password.expose()), true),
            _ => (ed25519::public_key(&self.decoy_key), false),
        };
        if ed25519::check(&key, &self.fresh, answer) && known {
            self.assure(&key);
            return Ok(Turn::Done(self.known()));
        }
        Err(Refusal::Denied)
    }

    /// `kept` is what a server keeps about the password: somebody in between cannot know it, since
    /// the client shows it to nobody.
    fn assure(&self, kept: &[u8]) {
        if let Some(certificate) = &self.certificate {
            let text = plugin::assurance(kept, &self.greeting, certificate);
            // Nothing else sets it, and a login proves itself once.
            let _ = self.assurance.set(text);
        }
    }

    pub(super) fn caching_sha2(&self, answer: &[u8], out: &mut BytesMut) -> Result<Turn, Refusal> {
        let (password, known) = match &self.verifier {
            Some(Verifier::Password(password)) => (password.expose(), true),
            _ => (&self.decoy_key[..], false),
        };
        if sha2::check(password, &self.scramble, answer) && known {
            self.more(&[FAST_SUCCESS], out);
            return Ok(Turn::Done(self.known()));
        }
        if self.tls || self.sealing_key.is_some() {
            self.more(&[FULL_AUTHENTICATION], out);
            return Ok(Turn::Password);
        }
        if let Some(Verifier::ShaCrypt(_)) = self.verifier {
            return Err(Refusal::Fault(Fault::new(
                FaultKind::TlsRequired,
                "caching_sha2_password needs TLS for this user, of whose password only a hash is known. Connect with --ssl-mode=REQUIRED or stronger.",
            )));
        }
        Err(Refusal::Denied)
    }

    fn more(&self, data: &[u8], out: &mut BytesMut) {
        put_packet(out, self.sequence.take(), |out| {
            out.put_u8(MORE_DATA);
            out.put_slice(data);
        });
    }

    /// The client has sent its password: as it is inside TLS, else sealed, for which it asks for a
    /// key first.
    pub(super) fn password(&mut self, answer: &[u8], out: &mut BytesMut) -> Result<Turn, Refusal> {
        let Some(key) = &self.sealing_key else {
            let given = plugin::cleartext(answer).ok_or(Refusal::Denied)?;
            return Ok(self.checked(Secret::new(given)));
        };
        if let [KEY_FOR_CACHING_SHA2 | KEY_FOR_SHA256] = answer
            && !std::mem::replace(&mut self.key_given, true)
        {
            self.more(&key.public, out);
            return Ok(Turn::Password);
        }
        let (key, sealed) = (Arc::clone(key), Secret::new(answer));
        // What cannot be opened becomes an empty password, which nobody has.
        let open = move || rsa::open(&key, sealed.expose()).unwrap_or_else(|| Secret::new([]));
        Ok(Turn::Compute(Costly::new(open)))
    }

    /// Begins to check a password.
    fn checked(&mut self, given: Secret) -> Turn {
        self.with_password = !given.expose().is_empty();
        let (check, work) = Check::begin(given, self.verifier.take(), &self.user, &self.decoy_key);
        self.check = Some(check);
        Turn::Compute(work)
    }

    pub(super) fn hashed(&mut self, result: &Secret) -> Result<Turn, Refusal> {
        let Some(check) = self.check.take() else {
            let given = sha2::unmasked(result.expose(), &self.scramble);
            return Ok(self.checked(given.unwrap_or_else(|| Secret::new([]))));
        };
        let password = check.verdict(result);
        Ok(Turn::Done(Proof {
            password: Some(password.ok_or(Refusal::Denied)?),
            ..Proof::default()
        }))
    }
}
