//! The servers of a DB cluster, or of a DB instance and its read replicas, as Amazon RDS lists them
//! (RDS API, `DescribeDBClusters` and `DescribeDBInstances`).

use aws_sdk_rds::Client;
use aws_sdk_rds::types::{DbInstance, Filter};

use super::chain::{Aws, Chain};
use super::region_of_arn;
use crate::auth::source::SourceError;
use crate::model::Listed;

impl Aws {
    /// The servers of the cluster, or instance, of this identifier or ARN. Cancel-safe.
    ///
    /// # Errors
    /// If RDS cannot be asked, or knows no such identifier.
    pub async fn servers(&self, identifier: &str) -> Result<Vec<Listed>, SourceError> {
        let client = self.rds(region_of_arn(identifier)).await?;
        let identifier = identifier.to_owned();
        let (listed, elsewhere) = self
            .run(async move {
                match cluster(&client, &identifier).await? {
                    Some(members) => Ok((members, Vec::new())),
                    None => instance(&client, &identifier).await,
                }
            })
            .await?;
        let mut servers = listed;
        for replica in elsewhere {
            match self.far(&replica).await {
                Ok(found) => servers.extend(found),
                // The others are served all the same.
                Err(error) => {
                    tracing::warn!(%replica, %error, "a replica in another region is left out")
                }
            }
        }
        Ok(servers)
    }

    /// A replica that another region knows, by its ARN.
    async fn far(&self, arn: &str) -> Result<Vec<Listed>, SourceError> {
        let client = self.rds(region_of_arn(arn)).await?;
        // Its own region takes the name alone (RDS API, "DescribeDBInstances").
        let name = arn.rsplit(':').next().unwrap_or(arn).to_owned();
        let found = self
            .run(async move { describe(&client, &name).await })
            .await?;
        let listed = found.iter().filter_map(|one| server(one, false));
        Ok(listed
            .map(|one| Listed {
                other_region: true,
                ..one
            })
            .collect())
    }
}

/// `None` if there is no such cluster.
async fn cluster(client: &Client, identifier: &str) -> Result<Option<Vec<Listed>>, SourceError> {
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

/// An instance that takes writes, and those that replicate it; then the ARNs of those in other regions.
async fn instance(
    client: &Client,
    identifier: &str,
) -> Result<(Vec<Listed>, Vec<String>), SourceError> {
    let primary = describe(client, identifier).await?;
    let mut listed: Vec<Listed> = primary.iter().filter_map(|one| server(one, true)).collect();
    let mut elsewhere = Vec::new();
    let names = primary
        .iter()
        .flat_map(DbInstance::read_replica_db_instance_identifiers);
    for name in names {
        // Only their own region knows replicas that are named by ARN.
        if name.starts_with("arn:") {
            elsewhere.push(name.clone());
            continue;
        }
        let replica = describe(client, name).await?;
        listed.extend(replica.iter().filter_map(|one| server(one, false)));
    }
    Ok((listed, elsewhere))
}

async fn describe(client: &Client, identifier: &str) -> Result<Vec<DbInstance>, SourceError> {
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

fn failed(error: impl std::error::Error) -> SourceError {
    SourceError::new(format_args!("RDS: {}", Chain(&error)))
}
