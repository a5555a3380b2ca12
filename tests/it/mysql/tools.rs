//! The programs that come with the servers, and sysbench, through the proxy.

use std::{
    fs,
    io::{Seek, Write},
    path::Path,
    process::Command,
    time::Duration,
};

use crate::support::{
    certs::Certs,
    mysql::{Database, Kind, program},
    place,
    program::{Finished, run_reading, succeed},
    sluice::Sluice,
};

const LIMIT: Duration = Duration::from_secs(120);

/// Server connections: fewer than sysbench has threads.
const POOL: u32 = 4;

on_both!(
    the_mysql_client_works,
    the_mariadb_client_works,
    a_dump_through_the_proxy_equals_a_direct_one_and_is_restored,
    sysbench_reads_and_writes,
    sysbench_reads_and_writes_with_prepared_statements,
    sysbench_selects_points,
    sysbench_selects_points_with_prepared_statements,
    sysbench_reads_only,
    sysbench_reads_only_with_prepared_statements,
);

fn setting(kind: Kind) -> (Database, Sluice) {
    let database = Database::new(kind);
    let proxy = Sluice::with_pool(&database, POOL);
    (database, proxy)
}

/// A program of MySQL or MariaDB that logs in over verified TLS.
fn tool(name: &str, database: &Database, port: u16, arguments: &[&str]) -> Command {
    let mut command = Command::new(program(name));
    command
        .arg("--no-defaults")
        .args(["--host=127.0.0.1", "--protocol=tcp"])
        .arg(format!("--port={port}"))
        .arg(format!("--user={}", database.user))
        .arg(format!("--ssl-ca={}", Certs::shared().ca().display()));
    if name == "mysql" {
        // Its own commands, which it no longer knows unasked.
        command.arg("--commands");
    }
    if name.starts_with("mysql") {
        // The client half of a plugin that the server of this name no longer has.
        let plugins = place::test_env().join("mysql/usr/lib/mysql/plugin");
        command.env("MYSQL_PWD", database.password);
        command.arg("--ssl-mode=VERIFY_IDENTITY");
        command.arg(format!("--plugin-dir={}", plugins.display()));
    } else {
        command.arg(format!("--password={}", database.password));
        command.arg("--ssl-verify-server-cert");
    }
    command.args(arguments);
    command
}

/// Tables with data and objects of many kinds.
const SCHEMA: &str = "
create table customer (id int auto_increment primary key, name varchar(50) not null unique, mood enum('glad', 'sad'));
create table purchase (id bigint auto_increment primary key, customer int, amount decimal(12, 2), taken blob,
    details text character set utf8mb4, at timestamp(3) null default '2026-01-01',
    foreign key (customer) references customer (id));
create view sums as select customer, sum(amount) as amount from purchase group by customer;
insert into customer (name, mood) values ('Zoë', 'glad'), ('O''Brien', 'sad'), ('back\\\\slash', null);
insert into purchase (customer, amount, taken, details) values (1, 1.5, x'00ff27', '😀\\n'), (2, -7.25, null, repeat('é', 1000));
insert into purchase (customer, amount, taken) select 1 + a.id % 3, a.id * b.id, unhex(hex(a.id))
    from purchase a, purchase b, purchase c, purchase d, purchase e, purchase f, purchase g, purchase h, purchase i;
delimiter //
create procedure both_of(in a int)
begin
    select a as first;
    select a + 1 as second;
end //
create function twice(a int) returns int deterministic
begin
    return a * 2;
end //
create trigger capital before insert on customer for each row
begin
    set new.name = concat('C ', new.name);
end //
delimiter ;
";

/// Runs a script of the client's own commands.
fn script(
    client: &str,
    database: &Database,
    port: u16,
    arguments: &[&str],
    text: &str,
) -> Finished {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    let usual = ["--batch", "--skip-column-names", "--auto-rehash"];
    let arguments = [&usual[..], arguments, &[&database.name]].concat();
    let command = tool(client, database, port, &arguments);
    run_reading(command, file.into(), LIMIT)
}

fn client_works(kind: Kind, client: &str, compressions: &[&[&str]]) {
    let (database, proxy) = setting(kind);
    let say = |arguments: &[&str], text: &str| {
        let finished = script(client, &database, proxy.port, arguments, text);
        assert!(finished.success, "{}", finished.stderr);
        finished.stdout
    };
    say(&[], SCHEMA);
    assert_eq!(
        say(&[], "select count(*), count(taken) from purchase;"),
        "514\t513\n"
    );
    assert_eq!(
        say(&[], "call both_of(20); select twice(21);"),
        "20\n21\n42\n"
    );
    assert!(say(&[], "status").contains("127.0.0.1 via TCP/IP"));
    assert!(say(&[], "show create table purchase;").contains("CONSTRAINT"));
    let warned = say(&["--show-warnings"], "select cast('12abc' as signed);");
    assert!(warned.contains("Truncated incorrect"), "{warned}");
    let session =
        "set @a = 5; start transaction; insert into customer (name) values ('lost'); rollback;
        select @a, count(*) from customer; use information_schema; select database(); ";
    assert_eq!(say(&[], session), "5\t3\ninformation_schema\n");
    // Without --force the first error ends it; with it the others are answered still.
    let erring =
        "select nothing;\nselect 'still here';\nselect * from nowhere;\nselect 'and here';\n";
    let finished = script(client, &database, proxy.port, &[], erring);
    assert!(
        !finished.success && finished.stderr.contains("1054"),
        "{finished:?}"
    );
    let finished = script(client, &database, proxy.port, &["--force"], erring);
    assert_eq!(finished.stdout, "still here\nand here\n");
    let dir = tempfile::tempdir().unwrap();
    let rows = dir.path().join("rows");
    fs::write(&rows, "10\tten\n11\televen\n").unwrap();
    let loading = format!(
        "load data local infile '{}' into table customer (id, name); select name from customer where id > 9 order by id;",
        rows.display()
    );
    assert_eq!(say(&["--local-infile=1"], &loading), "C ten\nC eleven\n");
    for compression in compressions {
        let large = "select length(repeat('x', 20000000)), repeat('y', 3000000);";
        let said = say(compression, large);
        assert!(
            said.starts_with("20000000\tyyy") && said.len() > 3_000_000,
            "{compression:?}"
        );
    }
}

fn the_mysql_client_works(kind: Kind) {
    let zlib: &[&str] = &["--compression-algorithms=zlib"];
    let zstd: &[&str] = &["--compression-algorithms=zstd,uncompressed"];
    client_works(kind, "mysql", &[zlib, zstd]);
}

fn the_mariadb_client_works(kind: Kind) {
    client_works(kind, "mariadb", &[&["--compress"]]);
}

fn dump(database: &Database, port: u16) -> String {
    let name = match database.kind {
        Kind::MySql => "mysqldump",
        Kind::MariaDb => "mariadb-dump",
    };
    let mut arguments = vec![
        "--routines",
        "--triggers",
        "--single-transaction",
        "--hex-blob",
    ];
    if database.kind == Kind::MySql {
        // What else is dumped only an administrator may restore.
        arguments.push("--set-gtid-purged=OFF");
    }
    arguments.extend(["--skip-dump-date", "--no-tablespaces", &database.name]);
    succeed(tool(name, database, port, &arguments), LIMIT)
}

fn a_dump_through_the_proxy_equals_a_direct_one_and_is_restored(kind: Kind) {
    let (database, proxy) = setting(kind);
    let client = match kind {
        Kind::MySql => "mysql",
        Kind::MariaDb => "mariadb",
    };
    let finished = script(client, &database, proxy.port, &[], SCHEMA);
    assert!(finished.success, "{}", finished.stderr);
    let dumped = dump(&database, proxy.port);
    assert!(
        dumped.to_lowercase().contains("procedure `both_of`"),
        "{dumped}"
    );
    let place = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with("-- Host:"));
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        place(&dumped),
        place(&dump(&database, database.server_port))
    );
    let copy = Database::new(kind);
    let finished = script(client, &copy, proxy.port, &[], &dumped);
    assert!(finished.success, "{}", finished.stderr);
    let sums = "select count(*), sum(crc32(concat_ws('|', id, customer, amount, hex(taken), details))) from purchase;";
    let sums =
        |database: &Database| script(client, database, database.server_port, &[], sums).stdout;
    assert_eq!(sums(&copy), sums(&database));
}

/// Files where sysbench looks for them: in its working directory.
fn lay_certificates(dir: &Path) {
    let certs = Certs::shared();
    for (from, to) in [
        (certs.ca(), "cacert.pem"),
        (certs.certificate("app"), "client-cert.pem"),
        (certs.key("app"), "client-key.pem"),
    ] {
        fs::copy(from, dir.join(to)).unwrap();
    }
}

fn sysbench(kind: Kind, test: &str, prepared: &str, events: u32) {
    let (database, proxy) = setting(kind);
    let dir = tempfile::tempdir().unwrap();
    lay_certificates(dir.path());
    let bench = |what: &str, threads: u32| {
        let mut command = Command::new("sysbench");
        command
            .current_dir(dir.path())
            .args([
                "--db-driver=mysql",
                "--mysql-host=127.0.0.1",
                "--mysql-ssl=on",
            ])
            .arg(format!("--mysql-port={}", proxy.port))
            .arg(format!("--mysql-user={}", database.user))
            .arg(format!("--mysql-password={}", database.password))
            .arg(format!("--mysql-db={}", database.name))
            .args(["--tables=2", "--table-size=5000", "--time=0"])
            .arg(format!("--events={events}"))
            .arg(format!("--threads={threads}"))
            .arg(format!("--db-ps-mode={prepared}"))
            .args([test, what]);
        succeed(command, LIMIT)
    };
    bench("prepare", 1);
    let output = bench("run", 16);
    let done = |line: &&str| line.trim_start().starts_with("transactions:");
    let line = output.lines().find(done).unwrap();
    let count = line.split_whitespace().nth(1).unwrap();
    assert_eq!(count, events.to_string(), "{output}");
    assert!(
        output.contains("reconnects:                          0"),
        "{output}"
    );
}

fn sysbench_reads_and_writes(kind: Kind) {
    sysbench(kind, "oltp_read_write", "disable", 400);
}

fn sysbench_reads_and_writes_with_prepared_statements(kind: Kind) {
    sysbench(kind, "oltp_read_write", "auto", 400);
}

fn sysbench_selects_points(kind: Kind) {
    sysbench(kind, "oltp_point_select", "disable", 6000);
}

fn sysbench_selects_points_with_prepared_statements(kind: Kind) {
    sysbench(kind, "oltp_point_select", "auto", 6000);
}

fn sysbench_reads_only(kind: Kind) {
    sysbench(kind, "oltp_read_only", "disable", 400);
}

fn sysbench_reads_only_with_prepared_statements(kind: Kind) {
    sysbench(kind, "oltp_read_only", "auto", 400);
}
