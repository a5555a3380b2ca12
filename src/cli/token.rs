//! `sluice token`: an IAM token to log in to a database with, for machines without the AWS CLI.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Args;

use super::{FAILURE, complain};
use crate::auth::iam::region_of;
use crate::auth::source::SourceError;
use crate::auth::source::tokens::sign;
use crate::aws::{Aws, AwsOptions};

/// Options named as those of `aws rds generate-db-auth-token`.
#[derive(Clone, Debug, Args)]
pub(super) struct TokenOptions {
    /// Host name of the database's own endpoint, also where the client will dial Sluice.
    #[arg(long, value_name = "HOST")]
    hostname: String,
    /// Port of the database's own endpoint.
    #[arg(long)]
    port: u16,
    /// Database user.
    #[arg(long, value_name = "USER")]
    username: String,
    /// Region of the database [default: the one in its host name, else the usual one of AWS tools].
    #[arg(long)]
    region: Option<Arc<str>>,
    /// Profile of the AWS configuration [default: `AWS_PROFILE`].
    #[arg(long)]
    profile: Option<Arc<str>>,
}

/// Prints a token, good for 15 minutes.
pub(super) fn run(options: &TokenOptions) -> ExitCode {
    match make(options) {
        Ok(token) => {
            let mut out = std::io::stdout();
            match out.write_all(&token).and_then(|()| out.flush()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => complain(&[error], FAILURE),
            }
        }
        Err(error) => complain(&[error], FAILURE),
    }
}

fn make(options: &TokenOptions) -> Result<Vec<u8>, SourceError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(SourceError::new)?;
    let aws = Aws::new(AwsOptions {
        region: options.region.clone(),
        profile: options.profile.clone(),
        secret_refresh: Duration::ZERO,
    });
    let keys = aws.signing_keys();
    runtime.block_on(async {
        let region = match (&options.region, region_of(&options.hostname)) {
            (Some(region), _) => Arc::clone(region),
            (None, Some(region)) => region.into(),
            (None, None) => keys.region().await?,
        };
        let key = keys.key().await?;
        let endpoint = (&*options.hostname, options.port);
        let (token, _) = sign(
            &key,
            endpoint,
            &region,
            &options.username,
            SystemTime::now(),
        )?;
        let mut line = token.expose().to_vec();
        line.push(b'\n');
        Ok(line)
    })
}
