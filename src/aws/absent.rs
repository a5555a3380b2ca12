//! What stands in for AWS in a build without it.

use std::sync::Arc;

use super::options::AwsOptions;
use crate::auth::source::tokens::{SigningKey, SigningKeys};
use crate::auth::source::{Asked, Depth, Reading, SourceError, Store};
use crate::model::Listed;

/// AWS, which this build does not know.
#[derive(Clone, Debug)]
pub struct Aws;

impl Aws {
    /// Of no use.
    pub fn new(_: AwsOptions) -> Self {
        Self
    }

    /// A secret that cannot be read.
    pub fn secret(&self, _: Arc<str>) -> Box<dyn Store> {
        Box::new(Self)
    }

    /// Servers that cannot be listed.
    ///
    /// # Errors
    /// Always.
    pub async fn servers(&self, _: &str) -> Result<Vec<Listed>, SourceError> {
        Err(absent())
    }

    /// Keys that cannot be found.
    pub fn signing_keys(&self) -> Arc<dyn SigningKeys> {
        Arc::new(Self)
    }
}

impl Store for Aws {
    fn read(&self, _: Depth) -> Asked<'_, Reading> {
        Box::pin(async { Err(absent()) })
    }
}

impl SigningKeys for Aws {
    fn key(&self) -> Asked<'_, SigningKey> {
        Box::pin(async { Err(absent()) })
    }

    fn region(&self) -> Asked<'_, Arc<str>> {
        Box::pin(async { Err(absent()) })
    }
}

fn absent() -> SourceError {
    SourceError::new("this build of Sluice has no support for AWS (cargo feature \"aws\")")
}
