//! The servers of a DB cluster, or of a DB instance and its read replicas, as Amazon RDS lists them
//! (RDS API, `DescribeDBClusters` and `DescribeDBInstances`). Region, credentials and endpoint are
//! those of the environment, as for every program that uses AWS.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_rds::Client;
use aws_sdk_rds::error::DisplayErrorContext;
use aws_sdk_rds::types::{DbInstance, Filter};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use crate::model::Listed;

/// The servers of the cluster, or instance, of this identifier. Cancel-safe.
///
/// # Errors
/// If RDS cannot be asked, or knows no such identifier.
pub(super) async fn list(identifier: &str) -> Result<Vec<Listed>, String> {
    let identifier = identifier.to_owned();
    let runtime = Handle::current();
    // The SDK reads files and certificates without asking: not on a thread that serves clients.
    let asked = tokio::task::spawn_blocking(move || {
        runtime.block_on(async {
            let client = Client::new(config().await);
            match cluster(&client, &identifier).await? {
                Some(members) => Ok(members),
                None => instance(&client, &identifier).await,
            }
        })
    });
    asked.await.map_err(|error| error.to_string())?
}

async fn config() -> &'static SdkConfig {
    static CONFIG: OnceCell<SdkConfig> = OnceCell::const_new();
    CONFIG
        .get_or_init(|| async {
            let timeouts = TimeoutConfig::builder()
                .connect_timeout(CONNECT)
                .operation_timeout(OPERATION)
                .build();
            aws_config::defaults(BehaviorVersion::v2026_01_12())
                .timeout_config(timeouts)
                .load()
                .await
        })
        .await
}

/// `None` if there is no such cluster.
async fn cluster(client: &Client, identifier: &str) -> Result<Option<Vec<Listed>>, String> {
    let asked = client
        .describe_db_clusters()
        .db_cluster_identifier(identifier)
        .send()
        .await;
    let clusters = match asked {
        Ok(answer) => answer,
        Err(error) => {
            let unknown = error
                .as_service_error()
                .is_some_and(|error| error.is_db_cluster_not_found_fault());
            return if unknown {
                Ok(None)
            } else {
                Err(failed(error))
            };
        }
    };
    let Some(cluster) = clusters.db_clusters().first() else {
        return Ok(None);
    };
    let writers: Vec<&str> = cluster
        .db_cluster_members()
        .iter()
        .filter(|member| member.is_cluster_writer() == Some(true))
        .filter_map(|member| member.db_instance_identifier())
        .collect();
    let filter = Filter::builder()
        .name("db-cluster-id")
        .values(identifier)
        .build();
    let mut pages = client
        .describe_db_instances()
        .filters(filter)
        .into_paginator()
        .send();
    let mut listed = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(failed)?;
        listed.extend(page.db_instances().iter().filter_map(|instance| {
            let name = instance.db_instance_identifier()?;
            server(instance, writers.contains(&name))
        }));
    }
    Ok(Some(listed))
}

/// An instance that takes writes, and those that replicate it.
async fn instance(client: &Client, identifier: &str) -> Result<Vec<Listed>, String> {
    let primary = describe(client, identifier).await?;
    let mut listed: Vec<Listed> = primary.iter().filter_map(|one| server(one, true)).collect();
    let names = primary
        .iter()
        .flat_map(DbInstance::read_replica_db_instance_identifiers);
    for name in names {
        // Only their own region knows replicas that are named by ARN.
        if name.starts_with("arn:") {
            tracing::debug!(replica = name, "a replica in another region is left out");
            continue;
        }
        let replica = describe(client, name).await?;
        listed.extend(replica.iter().filter_map(|one| server(one, false)));
    }
    Ok(listed)
}

async fn describe(client: &Client, identifier: &str) -> Result<Vec<DbInstance>, String> {
    let answer = client
        .describe_db_instances()
        .db_instance_identifier(identifier)
        .send()
        .await;
    Ok(answer.map_err(failed)?.db_instances().to_vec())
}

/// One that is being made has no endpoint.
fn server(instance: &DbInstance, writer: bool) -> Option<Listed> {
    let endpoint = instance.endpoint()?;
    Some(Listed {
        host: endpoint.address()?.into(),
        port: endpoint.port().and_then(|port| u16::try_from(port).ok()),
        writer,
        zone: instance.availability_zone().map(Into::into),
        other_region: false,
    })
}

fn failed(error: impl std::error::Error) -> String {
    DisplayErrorContext(error).to_string()
}

const CONNECT: Duration = Duration::from_secs(3);
const OPERATION: Duration = Duration::from_secs(10);
