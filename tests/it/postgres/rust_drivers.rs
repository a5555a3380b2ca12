//! Rust's drivers in this process: tokio-postgres and sqlx, over verified TLS.

use std::{sync::Arc, time::Duration};

use sqlx::{
    Connection, Row,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::support::{certs::Certs, postgres::Database, sluice::Sluice};

/// More clients at once than [`POOL`] server connections.
const CLIENTS: usize = 24;
const POOL: u32 = 4;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(120), future)
            .await
            .expect("no hang")
    })
}

fn setting() -> (Database, Sluice) {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, POOL);
    (database, proxy)
}

async fn connect(database: &Database, port: u16) -> tokio_postgres::Client {
    let mut config = tokio_postgres::Config::new();
    config
        .host("localhost")
        .hostaddr([127, 0, 0, 1].into())
        .port(port);
    config
        .user(database.user)
        .password(database.password)
        .dbname(&database.name);
    config.ssl_mode(tokio_postgres::config::SslMode::Require);
    let (client, connection) = config.connect(tls()).await.unwrap();
    tokio::spawn(connection);
    client
}

fn tls() -> MakeRustlsConnect {
    MakeRustlsConnect::new((*Certs::shared().client_config(None)).clone())
}

#[test]
fn tokio_postgres_queries_prepares_and_transacts() {
    let (database, proxy) = setting();
    block_on(async {
        let mut client = connect(&database, proxy.port).await;
        client
            .batch_execute("create table t (id int primary key, words text[])")
            .await
            .unwrap();
        let insert = client
            .prepare("insert into t values ($1, $2)")
            .await
            .unwrap();
        for id in 0..20 {
            client
                .execute(&insert, &[&id, &vec![format!("word {id}")]])
                .await
                .unwrap();
        }
        let duplicate = client
            .execute(&insert, &[&1, &Vec::<String>::new()])
            .await
            .unwrap_err();
        assert_eq!(duplicate.code().unwrap().code(), "23505");
        let row = client
            .query_one("select words, null::int from t where id = $1", &[&7])
            .await
            .unwrap();
        assert_eq!(row.get::<_, Vec<String>>(0), ["word 7"]);
        assert_eq!(row.get::<_, Option<i32>>(1), None);

        let transaction = client.transaction().await.unwrap();
        transaction.execute("delete from t", &[]).await.unwrap();
        let portal = transaction
            .bind("select * from generate_series(1, 25)", &[])
            .await
            .unwrap();
        let sizes = [
            transaction.query_portal(&portal, 10).await.unwrap().len(),
            transaction.query_portal(&portal, 10).await.unwrap().len(),
            transaction.query_portal(&portal, 10).await.unwrap().len(),
        ];
        assert_eq!(sizes, [10, 10, 5]);
        transaction.rollback().await.unwrap();
        let count: i64 = client
            .query_one("select count(*) from t", &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(count, 20);

        assert!(client.simple_query("select 1; select 1/0").await.is_err());
        let reply = client.simple_query("select 'a'; select 'b'").await.unwrap();
        let rows = reply
            .iter()
            .filter(|message| matches!(message, SimpleQueryMessage::Row(_)))
            .count();
        assert_eq!(rows, 2);
        let large = "x".repeat(5_000_000);
        assert_eq!(
            client
                .query_one("select $1::text", &[&large])
                .await
                .unwrap()
                .get::<_, String>(0),
            large
        );
    });
}

#[test]
fn tokio_postgres_pipelines_and_shares_few_server_connections() {
    let (database, proxy) = setting();
    let database = Arc::new(database);
    block_on(async {
        let tasks = (0..CLIENTS).map(|number| {
            let (database, port) = (Arc::clone(&database), proxy.port);
            tokio::spawn(async move {
                let number = i32::try_from(number).unwrap();
                let client = connect(&database, port).await;
                let statement = client.prepare("select $1::int, $2::int").await.unwrap();
                for step in 0..20 {
                    // Sent before the first is answered.
                    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
                        [&number, &step];
                    let (one, two, three) = tokio::join!(
                        client.query_one(&statement, &parameters),
                        client.query_one("select pg_sleep(0.001)", &[]),
                        client.query_one(&statement, &parameters),
                    );
                    two.unwrap();
                    for row in [one.unwrap(), three.unwrap()] {
                        assert_eq!((row.get::<_, i32>(0), row.get::<_, i32>(1)), (number, step));
                    }
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
}

#[test]
fn tokio_postgres_cancels_a_query() {
    let (database, proxy) = setting();
    block_on(async {
        let client = connect(&database, proxy.port).await;
        let token = client.cancel_token();
        let sleeping = client.query_one("select pg_sleep(600)", &[]);
        let cancelling = async {
            let observer = connect(&database, proxy.port).await;
            let running = "select count(*) from pg_stat_activity where state = 'active' and query = 'select pg_sleep(600)'";
            while observer
                .query_one(running, &[])
                .await
                .unwrap()
                .get::<_, i64>(0)
                == 0
            {}
            token.cancel_query(tls()).await
        };
        let (slept, cancelled) = tokio::join!(sleeping, cancelling);
        assert_eq!(slept.unwrap_err().code().unwrap().code(), "57014");
        cancelled.unwrap();
        assert_eq!(
            client
                .query_one("select 1", &[])
                .await
                .unwrap()
                .get::<_, i32>(0),
            1
        );
    });
}

fn sqlx_options(database: &Database, port: u16) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host("localhost")
        .port(port)
        .username(database.user)
        .password(database.password)
        .database(&database.name)
        .ssl_mode(PgSslMode::VerifyFull)
        .ssl_root_cert(Certs::shared().ca())
}

#[test]
fn sqlx_queries_transacts_copies_and_listens() {
    let (database, proxy) = setting();
    block_on(async {
        let options = sqlx_options(&database, proxy.port).statement_cache_capacity(5);
        let mut client = sqlx::PgConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql("create table t (id int primary key, data bytea); create table u ()")
            .execute(&mut client)
            .await
            .unwrap();
        for id in 0..30 {
            let text = format!("insert into t values ({id}, $1)");
            sqlx::query(sqlx::AssertSqlSafe(text))
                .bind(vec![0_u8, 255])
                .execute(&mut client)
                .await
                .unwrap();
        }
        let mut transaction = client.begin().await.unwrap();
        sqlx::query("delete from t")
            .execute(&mut *transaction)
            .await
            .unwrap();
        let mut inner = transaction.begin().await.unwrap();
        assert!(
            sqlx::query("select 1 / $1::int")
                .bind(0)
                .execute(&mut *inner)
                .await
                .is_err()
        );
        inner.rollback().await.unwrap();
        transaction.rollback().await.unwrap();
        let rows = sqlx::query("select id, data from t where id < $1 order by id")
            .bind(3)
            .fetch_all(&mut client)
            .await;
        let ids: Vec<i32> = rows.unwrap().iter().map(|row| row.get(0)).collect();
        assert_eq!(ids, [0, 1, 2]);
        let mut copy = client.copy_in_raw("copy t (id) from stdin").await.unwrap();
        copy.send(&b"100\n101\n"[..]).await.unwrap();
        assert_eq!(copy.finish().await.unwrap(), 2);
        let mut copy = client.copy_in_raw("copy t (id) from stdin").await.unwrap();
        copy.send(&b"100\n"[..]).await.unwrap();
        assert!(copy.finish().await.is_err());
        let count: i64 = sqlx::query_scalar("select count(*) from t")
            .fetch_one(&mut client)
            .await
            .unwrap();
        assert_eq!(count, 32);
        client.close().await.unwrap();
    });
}

#[test]
fn a_sqlx_pool_shares_few_server_connections() {
    let (database, proxy) = setting();
    block_on(async {
        let options = PgPoolOptions::new()
            .max_connections(u32::try_from(CLIENTS).unwrap())
            .min_connections(8);
        let pool = options
            .connect_with(sqlx_options(&database, proxy.port))
            .await
            .unwrap();
        let tasks = (0..CLIENTS).map(|number| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for step in 0..20_i32 {
                    let mut transaction = pool.begin().await.unwrap();
                    let (own, same): (i64, i32) = sqlx::query_as("select $1::int8, $2::int4")
                        .bind(i64::try_from(number).unwrap())
                        .bind(step)
                        .fetch_one(&mut *transaction)
                        .await
                        .unwrap();
                    assert_eq!((usize::try_from(own).unwrap(), same), (number, step));
                    transaction.commit().await.unwrap();
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        pool.close().await;
    });
}
