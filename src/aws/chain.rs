//! The standard chain: environment, profile, web identity, container, instance metadata. Nothing
//! is looked up before it is needed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_rds::Client as Rds;
use aws_sdk_secretsmanager::Client as SecretsManager;
use tokio::sync::OnceCell;

use super::options::AwsOptions;
use super::secrets::SecretStore;
use super::thread::Thread;
use crate::auth::source::tokens::{SigningKey, SigningKeys};
use crate::auth::source::{Asked, SourceError, Store};
use crate::model::Secret;

/// AWS as one configuration names it. Clones are the same.
#[derive(Clone, Debug)]
pub struct Aws(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: AwsOptions,
    thread: OnceCell<Thread>,
    sdk: OnceCell<SdkConfig>,
    secrets_managers: Clients<SecretsManager>,
    rds: Clients<Rds>,
    /// The credentials found last. Held by the one that looks for newer ones.
    credentials: tokio::sync::Mutex<Option<Found>>,
}

/// Clients of a service, by region.
type Clients<C> = Mutex<HashMap<String, C>>;

#[derive(Debug)]
struct Found {
    credentials: Credentials,
    when: Instant,
}

impl Aws {
    /// Looks nothing up yet.
    pub fn new(options: AwsOptions) -> Self {
        Self(Arc::new(Inner {
            options,
            thread: OnceCell::new(),
            sdk: OnceCell::new(),
            secrets_managers: Mutex::default(),
            rds: Mutex::default(),
            credentials: tokio::sync::Mutex::default(),
        }))
    }

    /// A secret of Secrets Manager, by ARN or name.
    pub fn secret(&self, id: Arc<str>) -> Box<dyn Store> {
        Box::new(SecretStore::new(self.clone(), id))
    }

    /// What requests and tokens are signed with.
    pub fn signing_keys(&self) -> Arc<dyn SigningKeys> {
        Arc::new(self.clone())
    }

    /// What the SDK needs to know to be used for other services: see [`Aws::run`].
    ///
    /// # Errors
    /// If there is no thread to look it up on.
    pub async fn sdk_config(&self) -> Result<SdkConfig, SourceError> {
        let aws = self.clone();
        let config = self.0.sdk.get_or_try_init(|| async move {
            let options = aws.0.options.clone();
            aws.run(async move { Ok(load(&options).await) }).await
        });
        config.await.cloned()
    }

    /// Runs what uses the SDK, on the SDK's thread. Cancel-safe, if `work` is.
    ///
    /// # Errors
    /// Those of `work`, or if there is no thread.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, SourceError>> + Send + 'static,
    ) -> Asked<'_, T> {
        let work = Box::pin(work);
        Box::pin(async move {
            let start = || async { Thread::start() };
            let thread = self.0.thread.get_or_try_init(start).await;
            let thread = thread.map_err(|e| SourceError::new(format_args!("no thread: {e}")))?;
            let done = thread.run(work).await;
            done.unwrap_or_else(|| Err(SourceError::new("the AWS SDK failed unexpectedly")))
        })
    }

    /// A client of Secrets Manager in that region, else in the usual one.
    pub(super) async fn secrets_manager(
        &self,
        region: Option<&str>,
    ) -> Result<SecretsManager, SourceError> {
        let make = |sdk: &SdkConfig, region| {
            let config = aws_sdk_secretsmanager::config::Builder::from(sdk).region(region);
            SecretsManager::from_conf(config.build())
        };
        self.client(&self.0.secrets_managers, region, make).await
    }

    /// The same of RDS.
    pub(super) async fn rds(&self, region: Option<&str>) -> Result<Rds, SourceError> {
        let make = |sdk: &SdkConfig, region| {
            let config = aws_sdk_rds::config::Builder::from(sdk).region(region);
            Rds::from_conf(config.build())
        };
        self.client(&self.0.rds, region, make).await
    }

    async fn client<C: Clone + Send + 'static>(
        &self,
        known: &Clients<C>,
        region: Option<&str>,
        make: fn(&SdkConfig, Region) -> C,
    ) -> Result<C, SourceError> {
        let sdk = self.sdk_config().await?;
        let region = match region {
            Some(region) => Region::new(region.to_owned()),
            None => sdk.region().cloned().ok_or_else(no_region)?,
        };
        let name = region.to_string();
        let lock = || known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = lock().get(&name).cloned();
        if let Some(client) = found {
            return Ok(client);
        }
        // Reads the system's certificates.
        let client = self.run(async move { Ok(make(&sdk, region)) }).await?;
        Ok(lock().entry(name).or_insert(client).clone())
    }

    async fn credentials(&self) -> Result<Credentials, SourceError> {
        let mut found = self.0.credentials.lock().await;
        if let Some(found) = &*found
            && found.is_good(Instant::now(), SystemTime::now())
        {
            return Ok(found.credentials.clone());
        }
        let sdk = self.sdk_config().await?;
        let provider = sdk
            .credentials_provider()
            .ok_or_else(|| SourceError::new(NOTHING))?;
        let credentials = self
            .run(async move {
                let credentials = provider.provide_credentials().await;
                credentials
                    .map_err(|error| SourceError::new(format_args!("{NOTHING}: {}", Chain(&error))))
            })
            .await?;
        *found = Some(Found {
            credentials: credentials.clone(),
            when: Instant::now(),
        });
        Ok(credentials)
    }
}

impl Found {
    /// Those that expire are used up to shortly before; others may be changed where they stand.
    fn is_good(&self, now: Instant, time: SystemTime) -> bool {
        match self.credentials.expiry() {
            Some(expiry) => time + EXPIRES_SOON < expiry,
            None => now.saturating_duration_since(self.when) < LOOK_AGAIN,
        }
    }
}

impl SigningKeys for Aws {
    fn key(&self) -> Asked<'_, SigningKey> {
        Box::pin(async move {
            let found = self.credentials().await?;
            Ok(SigningKey {
                access_key_id: found.access_key_id().into(),
                secret_access_key: Secret::new(found.secret_access_key()),
                session_token: found.session_token().map(Secret::new),
                expires: found.expiry(),
            })
        })
    }

    fn region(&self) -> Asked<'_, Arc<str>> {
        Box::pin(async move {
            let sdk = self.sdk_config().await?;
            let region = sdk.region().ok_or_else(no_region)?;
            Ok(region.as_ref().into())
        })
    }
}

async fn load(options: &AwsOptions) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).timeout_config(timeouts);
    if let Some(region) = &options.region {
        loader = loader.region(Region::new((**region).to_owned()));
    }
    if let Some(profile) = &options.profile {
        loader = loader.profile_name(&**profile);
    }
    loader.load().await
}

fn no_region() -> SourceError {
    SourceError::new(
        "no AWS region is known: set region in [aws], AWS_REGION, or the region of the profile",
    )
}

/// An error and its causes, on one line.
pub(super) struct Chain<'a>(pub(super) &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut next = Some(self.0);
        let mut between = "";
        while let Some(error) = next {
            // Some tell what they tried on lines of their own.
            for line in error.to_string().lines() {
                write!(f, "{between}{}", line.trim())?;
                between = "; ";
            }
            between = ": ";
            next = error.source();
        }
        Ok(())
    }
}

const NOTHING: &str =
    "no AWS credentials in environment, profile, web identity, container or instance";
/// A token signed with credentials is good for as long as they are, at most.
const EXPIRES_SOON: Duration = Duration::from_secs(300);
const LOOK_AGAIN: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(3);
const ATTEMPT: Duration = Duration::from_secs(5);
const OPERATION: Duration = Duration::from_secs(15);
