//! Who a user is here: what is known of it, what its proof is checked against, and what Sluice shows
//! to servers on its behalf.

use std::sync::Arc;

use crate::auth::options::{ServerAuth, UserOptions};
use crate::auth::source::{CredentialSource, PasswordKeeper};
use crate::auth::store::verifier;
use crate::model::{Credential, Fault, FaultKind, Proof, Verifier};
use crate::pool::ServerLogin;
use crate::protocol::Engine;

use super::world::{Group, World};

impl<E: Engine> World<E> {
    /// The user of this name, from the configuration or from a secret that has been read.
    pub(super) fn user(&self, name: &Arc<str>) -> Option<Arc<UserOptions>> {
        let configured = self.plan.users.user(name);
        configured.or_else(|| self.vault.brought(name))
    }

    /// The same, once every secret that brings users has been read. Cancel-safe.
    pub(super) async fn look_up(&self, name: &Arc<str>) -> Option<Arc<UserOptions>> {
        let known = self.user(name);
        if known.is_some() || self.plan.aws.bringers.is_empty() {
            return known;
        }
        self.vault.know_users().await;
        self.user(name)
    }

    /// What a user's proof is checked against, as it is kept now. Cancel-safe.
    pub(super) async fn verifier(&self, user: &UserOptions) -> Result<Option<Verifier>, Fault> {
        let Some(place) = &user.password_place else {
            return Ok(user.verifier.clone());
        };
        match self.vault.kept(place).password(&user.name).await {
            Ok(stored) => Ok(verifier(&stored).ok()),
            // What was read at start is better than nothing.
            Err(_) if user.verifier.is_some() => Ok(user.verifier.clone()),
            Err(error) => {
                tracing::warn!(user = %user.name, %error, "the user's password is not to be had");
                let what = "The proxy cannot read the password of this user now.";
                Err(Fault::new(FaultKind::TargetUnavailable, what))
            }
        }
    }

    /// A client has not proven that it is this user: if the password may have changed, it is read
    /// again, for the next attempt. Returns at once.
    pub(super) fn disproved(&self, name: &Arc<str>) {
        let user = self.user(name);
        if let Some(place) = user.and_then(|user| user.password_place.clone()) {
            self.vault.kept(&place).doubt();
        }
    }

    /// What servers of a group are shown on behalf of a user who has proven this.
    pub(super) fn server_login(
        &self,
        group: &Group<E>,
        user: Option<&UserOptions>,
        proof: &Proof,
    ) -> ServerLogin {
        let own = user.and_then(|user| user.server_auth);
        let source: Arc<dyn CredentialSource> = match own.unwrap_or(group.plan.server_auth) {
            ServerAuth::Iam => self.vault.tokens(group.plan.iam_region.as_ref()),
            ServerAuth::Stored => match user.and_then(|user| user.server_place.as_ref()) {
                Some(place) => self.vault.kept(place),
                None => return self.fixed_or_shown(group, user, proof),
            },
        };
        ServerLogin::From(source)
    }
}

impl<E: Engine> World<E> {
    /// Where Sluice has nothing of its own to show, what the server has accepted from the client.
    fn fixed_or_shown(
        &self,
        group: &Group<E>,
        user: Option<&UserOptions>,
        proof: &Proof,
    ) -> ServerLogin {
        let own = user.and_then(|user| user.server_credential.as_ref());
        match (own, &proof.accepted) {
            (None, Some(token)) => ServerLogin::From(self.tokens.shown(&group.plan.name, token)),
            _ => ServerLogin::Fixed(credential(user, proof)),
        }
    }
}

/// What does not change: what is configured, else what the client has proven.
fn credential(user: Option<&UserOptions>, proof: &Proof) -> Credential {
    if let Some(configured) = user.and_then(|user| user.server_credential.clone()) {
        return configured;
    }
    // The password is good for every method, the others for one.
    let password = proof.password.clone().map(Credential::Password);
    let native_key = proof.native_key.clone().map(Credential::NativeKey);
    let scram_keys = proof.scram_keys.clone().map(Credential::ScramKeys);
    let known = password.or(native_key).or(scram_keys);
    known.unwrap_or(Credential::None)
}
