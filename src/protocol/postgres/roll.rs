//! The members of a group, as a server of PostgreSQL in Amazon's cloud lists them.

use crate::model::{Listed, Roll};
use crate::protocol::table::Table;

/// What lists them.
pub const fn question(roll: Roll) -> &'static str {
    match roll {
        // Aurora user guide, `aurora_replica_status`: the writer's session has a name of its own.
        // What has not been heard of for long has left.
        Roll::Aurora => {
            "SELECT server_id AS host, NULL AS port, session_id = 'MASTER_SESSION_ID' AS writer \
             FROM aurora_replica_status() \
             WHERE session_id = 'MASTER_SESSION_ID' \
             OR last_update_timestamp > now() - interval '5 minutes'"
        }
        // RDS user guide, "Multi-AZ DB clusters", extension rds_tools.
        Roll::MultiAz => {
            "SELECT endpoint AS host, port, id = \
             (SELECT multi_az_db_cluster_source_dbi_resource_id \
              FROM rds_tools.multi_az_db_cluster_source_dbi_resource_id()) AS writer \
             FROM rds_tools.show_topology('sluice')"
        }
    }
}

/// Reads the list.
pub fn members(table: &Table) -> Vec<Listed> {
    let row = |row| {
        Some(Listed {
            host: table.value(row, &["host"])?.into(),
            port: table
                .value(row, &["port"])
                .and_then(|port| port.parse().ok()),
            writer: table.value(row, &["writer"]) == Some("t"),
            zone: None,
            other_region: false,
        })
    };
    (0..table.len()).filter_map(row).collect()
}
