//! The members of a group, as a server of MySQL in Amazon's cloud lists them.

use crate::model::{Listed, Roll};
use crate::protocol::table::Table;

/// What lists them.
pub const fn question(roll: Roll) -> &'static str {
    match roll {
        // Aurora user guide, `information_schema.replica_host_status`: the writer's session has a
        // name of its own. What has not been heard of for long has left.
        Roll::Aurora => {
            "SELECT server_id AS host, NULL AS port, \
             session_id = 'MASTER_SESSION_ID' AS writer \
             FROM information_schema.replica_host_status \
             WHERE session_id = 'MASTER_SESSION_ID' \
             OR last_update_timestamp > now() - interval 5 minute"
        }
        // RDS user guide, "Multi-AZ DB clusters". Who writes, each server says of itself.
        Roll::MultiAz => "SELECT endpoint AS host, port, 0 AS writer FROM mysql.rds_topology",
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
            writer: table.value(row, &["writer"]) == Some("1"),
            zone: None,
            other_region: false,
        })
    };
    (0..table.len()).filter_map(row).collect()
}
