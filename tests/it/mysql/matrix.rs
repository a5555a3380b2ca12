//! Every mix of what a client and a server connection may have agreed on: packets that the client no longer
//! expects, changes of the session that it wants to hear of, TLS and compression on its side, TLS on the server's.

use crate::support::{
    mysql::{
        APP, Database, Kind,
        login::Login,
        message::{Reply, capability, status},
        wire::Wire,
    },
    sluice::{Settings, Sluice, Target},
};

on_both!(every_mix_of_capabilities_is_served);

fn every_mix_of_capabilities_is_served(kind: Kind) {
    for server_tls in ["disable", "require"] {
        let database = Database::new(kind);
        database.admin().succeed(
            "create table t (id int primary key auto_increment, name varchar(20), big mediumtext)",
        );
        let settings: Settings = Target::settings(&database);
        let proxy = Sluice::start(
            &settings
                .group("server_tls_mode", server_tls)
                .group("default_pool_size", 2)
                .group("server_round_robin", true),
        );
        for mix in 0..16_u32 {
            let on = |bit: u32| mix & (1 << bit) != 0;
            let mut login = Login::new(proxy.port, &database.name, APP);
            login = if on(0) {
                login.with(capability::DEPRECATE_EOF)
            } else {
                login.without(capability::DEPRECATE_EOF)
            };
            login = if on(1) {
                login.with(capability::SESSION_TRACK)
            } else {
                login.without(capability::SESSION_TRACK)
            };
            if on(2) {
                login = login.with_tls();
            }
            if on(3) {
                login = login.with(capability::COMPRESS);
            }
            let what = format!("{kind:?}, server_tls_mode {server_tls}, mix {mix:04b}");
            // The first login of a user by caching_sha2_password needs TLS.
            let mut first = Wire::connect(&login.clone().with_tls()).unwrap();
            first.succeed("delete from t");
            works(&login, &what);
        }
        assert_eq!(
            proxy.metric("sluice_pins_total", ""),
            0.0,
            "{}",
            proxy.log()
        );
    }
}

fn works(login: &Login, what: &str) {
    let mut one = Wire::connect(login).unwrap();
    let mut other = Wire::connect(login).unwrap();
    let wanted = login.capabilities
        & (capability::DEPRECATE_EOF | capability::SESSION_TRACK | capability::COMPRESS);
    assert_eq!(one.capabilities & wanted, wanted, "{what}");
    for (client, zone) in [(&mut one, "+03:00"), (&mut other, "+04:00")] {
        let Reply::Ok(set) = client.ask(&format!("set time_zone = '{zone}'")) else {
            panic!("{what}");
        };
        let tracked = set
            .changes
            .iter()
            .any(|(_, data)| data.ends_with(zone.as_bytes()));
        assert_eq!(
            tracked,
            client.capabilities & capability::SESSION_TRACK != 0,
            "{what}: {set:?}"
        );
        let big = "x".repeat(100_000);
        let Reply::Ok(inserted) = client.ask(&format!(
            "insert into t (name, big) values ('{zone}', '{big}')"
        )) else {
            panic!("{what}");
        };
        assert_eq!(inserted.affected, 1, "{what}");
    }
    for (client, zone) in [(&mut one, "+03:00"), (&mut other, "+04:00")] {
        assert_eq!(client.value("select @@time_zone"), zone, "{what}");
        let names = client.column("select name from t order by id");
        assert_eq!(names, ["+03:00", "+04:00"], "{what}");
        assert_eq!(
            client.value("select name from t where id = last_insert_id()"),
            zone,
            "{what}"
        );
        assert_eq!(
            client.value("select sum(length(big)) from t"),
            "200000",
            "{what}"
        );
        assert_eq!(
            client.column("select big from t")[1].len(),
            100_000,
            "{what}"
        );
        let replies = client.succeed("select 1; do 1; select 2 from t");
        assert_eq!(
            (replies.len(), replies[2].first_column().len()),
            (3, 2),
            "{what}"
        );
        let statement = client.prepare("select name, ? from t where name = ?");
        assert_eq!((statement.columns, statement.parameters), (2, 2), "{what}");
        let found = client
            .execute(statement.id, &[Some("a"), Some(zone)])
            .unwrap();
        assert_eq!(found.len(), 1, "{what}");
        assert_eq!(client.fail("select nothing").code, 1054, "{what}");
        client.succeed("begin");
        assert_ne!(
            client.ask("select 1").status() & status::IN_TRANSACTION,
            0,
            "{what}"
        );
        client.succeed("rollback");
    }
}
