//! A secret of AWS Secrets Manager as a store of credentials.

use std::sync::Arc;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::{
    GetSecretValueError, GetSecretValueOutput,
};

use super::chain::{Aws, Chain};
use super::rds_secret::RdsSecret;
use super::region_of_arn;
use crate::auth::source::keyring::Stage;
use crate::auth::source::{Asked, Depth, Offer, Reading, SourceError, Store};
use crate::model::Credential;

/// One secret.
#[derive(Debug)]
pub(super) struct SecretStore {
    aws: Aws,
    id: Arc<str>,
}

/// The staging labels of a rotation (AWS documentation, "Lambda rotation functions").
const STAGES: [(Stage, &str); 3] = [
    (Stage::Current, "AWSCURRENT"),
    (Stage::Pending, "AWSPENDING"),
    (Stage::Previous, "AWSPREVIOUS"),
];

impl SecretStore {
    pub(super) const fn new(aws: Aws, id: Arc<str>) -> Self {
        Self { aws, id }
    }

    async fn get(&self, depth: Depth) -> Result<Reading, SourceError> {
        let client = self.aws.secrets_manager(region_of_arn(&self.id)).await?;
        let id = Arc::clone(&self.id);
        match depth {
            Depth::Current => {
                let current = self
                    .aws
                    .run(async move { fetch(&client, &id, "AWSCURRENT").await });
                let current = current.await?;
                let missing = || SourceError::new("the secret has no value (AWSCURRENT)");
                current.map(Reading::Current).ok_or_else(missing)
            }
            Depth::All => {
                self.aws
                    .run(async move { fetch_all(&client, &id).await })
                    .await
            }
        }
    }
}

impl Store for SecretStore {
    fn read(&self, depth: Depth) -> Asked<'_, Reading> {
        Box::pin(self.get(depth))
    }
}

async fn fetch_all(client: &Client, id: &str) -> Result<Reading, SourceError> {
    let [current, pending, previous] = STAGES.map(|(_, label)| fetch(client, id, label));
    let (current, pending, previous) = tokio::join!(current, pending, previous);
    let mut found = Vec::new();
    for ((stage, label), result) in STAGES.into_iter().zip([current, pending, previous]) {
        match result {
            Ok(Some(offer)) => found.push((stage, offer)),
            Ok(None) => {}
            Err(error) if stage == Stage::Current => return Err(error),
            // What a rotation has not finished writing need not be of use yet.
            Err(error) => tracing::debug!(secret = id, stage = label, %error, "left out"),
        }
    }
    Ok(Reading::All(found))
}

/// The version with that label, if there is one.
async fn fetch(client: &Client, id: &str, label: &str) -> Result<Option<Offer>, SourceError> {
    let request = client.get_secret_value().secret_id(id).version_stage(label);
    match request.send().await {
        Ok(value) => offer(&value).map(Some),
        // A secret that is not there has no AWSCURRENT either, which is an error of its own.
        Err(SdkError::ServiceError(error))
            if error.err().is_resource_not_found_exception() && label != "AWSCURRENT" =>
        {
            Ok(None)
        }
        Err(error) => Err(failure(&error)),
    }
}

fn offer(value: &GetSecretValueOutput) -> Result<Offer, SourceError> {
    let text = match (value.secret_string(), value.secret_binary()) {
        (Some(text), _) => text.as_bytes(),
        (None, Some(bytes)) => bytes.as_ref(),
        (None, None) => return Err(SourceError::new("the secret is empty")),
    };
    let secret = RdsSecret::parse(text).map_err(SourceError::new)?;
    Ok(Offer {
        user: secret.username.map(Into::into),
        credential: Credential::Password(secret.password),
        version: value.version_id().unwrap_or("unnamed").into(),
        verified_only: false,
    })
}

/// In the service's words, where it answered.
fn failure(error: &SdkError<GetSecretValueError>) -> SourceError {
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => SourceError::new(format_args!("{code}: {message}")),
        (Some(code), None) => SourceError::new(code),
        _ => SourceError::new(format_args!("Secrets Manager: {}", Chain(error))),
    }
}
