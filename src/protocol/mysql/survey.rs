//! What a server of MySQL or MariaDB says of its place in its group (MySQL manual, "SHOW REPLICA
//! STATUS Statement"; MariaDB knowledge base, "SHOW REPLICA STATUS").

use std::time::Duration;

use super::gtid::Gtids;
use super::login::{Announcement, Flavor};
use crate::model::{Observation, Position, Role};
use crate::protocol::table::Table;

const MYSQL: &str = "SELECT @@global.read_only AS read_only, \
    @@global.super_read_only AS super_read_only, \
    @@global.innodb_read_only AS innodb_read_only, \
    @@global.gtid_executed AS gtids, @@global.max_connections AS capacity";
const MARIADB: &str = "SELECT @@global.read_only AS read_only, \
    @@global.innodb_read_only AS innodb_read_only, \
    @@global.gtid_current_pos AS gtids, @@global.max_connections AS capacity";

/// The second is refused without the right to see replication, and answered by nothing where
/// there is none.
pub fn questions(server: &Announcement) -> &'static [&'static str] {
    match (server.flavor, knows_replicas(server)) {
        (Flavor::MySql, true) => &[MYSQL, "SHOW REPLICA STATUS"],
        (Flavor::MySql, false) => &[MYSQL, "SHOW SLAVE STATUS"],
        (Flavor::MariaDb, true) => &[MARIADB, "SHOW REPLICA STATUS"],
        (Flavor::MariaDb, false) => &[MARIADB, "SHOW SLAVE STATUS"],
    }
}

/// What keeps a server from writing, or lets it write again.
pub fn fence(server: &Announcement, on: bool) -> &'static [&'static str] {
    match (server.flavor, on) {
        (Flavor::MySql, true) => &["SET GLOBAL super_read_only = 1"],
        (Flavor::MariaDb, true) => &["SET GLOBAL read_only = 1"],
        (Flavor::MySql, false) => &["SET GLOBAL super_read_only = 0", "SET GLOBAL read_only = 0"],
        (Flavor::MariaDb, false) => &["SET GLOBAL read_only = 0"],
    }
}

/// What makes a replica a server that writes.
pub fn promotion(server: &Announcement) -> &'static [&'static str] {
    match (server.flavor, knows_replicas(server)) {
        (Flavor::MySql, true) => &[
            "STOP REPLICA",
            "RESET REPLICA ALL",
            "SET GLOBAL super_read_only = 0",
            "SET GLOBAL read_only = 0",
        ],
        (Flavor::MySql, false) => &[
            "STOP SLAVE",
            "RESET SLAVE ALL",
            "SET GLOBAL super_read_only = 0",
            "SET GLOBAL read_only = 0",
        ],
        (Flavor::MariaDb, _) => &["STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = 0"],
    }
}

/// The statement has this name since MySQL 8.0.22 and MariaDB 10.5.1.
fn knows_replicas(server: &Announcement) -> bool {
    let version = server.version.strip_prefix("5.5.5-");
    let version = version.unwrap_or(&server.version);
    let mut parts = version
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse().unwrap_or(0));
    let mut part = || parts.next().unwrap_or(0);
    let version: (u32, u32, u32) = (part(), part(), part());
    match server.flavor {
        Flavor::MySql => version >= (8, 0, 22),
        Flavor::MariaDb => version >= (10, 5, 1),
    }
}

/// Reads the answers; `None` if they are none.
pub fn observe(answers: &[Table]) -> Option<Observation> {
    let variables = answers.first()?;
    let value = |name| variables.value(0, &[name]);
    let is_on = |name| value(name).is_some_and(|text| !matches!(text, "0" | "OFF"));
    value("read_only")?;
    let shares_storage = is_on("innodb_read_only");
    let replica = is_on("read_only") || is_on("super_read_only") || shares_storage;
    let status = answers.get(1);
    let of = |names| status.and_then(|table| table.value(0, names));
    let (receives, applies) = (
        of(&["Replica_IO_Running", "Slave_IO_Running"]),
        of(&["Replica_SQL_Running", "Slave_SQL_Running"]),
    );
    let lag = of(&["Seconds_Behind_Source", "Seconds_Behind_Master"]);
    let gtids = value("gtids").map(|text| text.replace(char::is_whitespace, ""));
    let counted = gtids.as_deref().filter(|text| !text.is_empty());
    Some(Observation {
        role: Some(if replica {
            Role::Replica
        } else {
            Role::Primary
        }),
        timeline: None,
        progress: counted.and_then(Gtids::parse).map(|gtids| gtids.count()),
        position: counted.map(|text| Position(text.into())),
        lag: lag
            .filter(|_| replica)
            .and_then(|text| text.parse().ok())
            .map(Duration::from_secs),
        streaming: status
            .filter(|_| replica)
            .map(|_| receives == Some("Yes") && applies == Some("Yes")),
        follows: receives.is_some_and(|running| running != "No"),
        shares_storage,
        capacity: value("capacity").and_then(|text| text.parse().ok()),
        lineage: None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{knows_replicas, observe};
    use crate::model::Role;
    use crate::protocol::mysql::capability::Capabilities;
    use crate::protocol::mysql::login::{Announcement, Flavor};
    use crate::protocol::table::Table;

    fn table(columns: &[(&str, &str)]) -> Table {
        let mut table = Table::default();
        for (name, _) in columns {
            table.name(name.as_bytes());
        }
        if !columns.is_empty() {
            table.row(columns.iter().map(|(_, value)| Some(value.as_bytes())));
        }
        table
    }

    #[test]
    fn any_kind_of_read_only_makes_a_replica() {
        let role = |columns: &[(&str, &str)]| {
            let seen = observe(&[table(columns), Table::default()]);
            seen.and_then(|seen| seen.role)
        };
        assert_eq!(role(&[("read_only", "0")]), Some(Role::Primary));
        assert_eq!(role(&[("read_only", "OFF")]), Some(Role::Primary));
        assert_eq!(role(&[("read_only", "1")]), Some(Role::Replica));
        for name in ["super_read_only", "innodb_read_only"] {
            assert_eq!(
                role(&[("read_only", "0"), (name, "1")]),
                Some(Role::Replica)
            );
        }
        assert_eq!(role(&[]), None);
    }

    #[test]
    fn a_replica_tells_of_its_replication_by_old_and_new_names() {
        let variables = table(&[("read_only", "1"), ("gtids", "0-1-42"), ("capacity", "151")]);
        for (io, sql, lag) in [
            (
                "Replica_IO_Running",
                "Replica_SQL_Running",
                "Seconds_Behind_Source",
            ),
            (
                "Slave_IO_Running",
                "Slave_SQL_Running",
                "Seconds_Behind_Master",
            ),
        ] {
            let status = table(&[(io, "Yes"), (sql, "Yes"), (lag, "3")]);
            let seen = observe(&[variables.clone(), status]).unwrap();
            assert_eq!(seen.lag, Some(Duration::from_secs(3)));
            assert_eq!((seen.streaming, seen.follows), (Some(true), true));
            assert_eq!((seen.progress, seen.capacity), (Some(42), Some(151)));
            let status = table(&[(io, "Connecting"), (sql, "Yes")]);
            let seen = observe(&[variables.clone(), status]).unwrap();
            assert_eq!(
                (seen.streaming, seen.follows, seen.lag),
                (Some(false), true, None)
            );
        }
    }

    #[test]
    fn the_statement_has_its_newer_name_where_the_server_knows_it() {
        let knows = |flavor, version: &str| {
            knows_replicas(&Announcement {
                version: version.into(),
                flavor,
                capabilities: Capabilities::default(),
                collation: 0,
            })
        };
        assert!(knows(Flavor::MySql, "9.7.1"));
        assert!(knows(Flavor::MySql, "8.0.22-13"));
        assert!(!knows(Flavor::MySql, "8.0.21"));
        assert!(knows(Flavor::MariaDb, "5.5.5-10.11.6-MariaDB-1"));
        assert!(!knows(Flavor::MariaDb, "5.5.5-10.4.30-MariaDB"));
        assert!(knows(Flavor::MariaDb, "11.8.2-MariaDB"));
    }
}
