//! Rust's drivers in this process: mysql_async and sqlx, over verified TLS.

use std::time::Duration;

use mysql_async::{
    Opts, OptsBuilder, Pool, PoolConstraints, PoolOpts, SslOpts, TxOpts, prelude::Queryable,
};
use sqlx::{
    Connection, Row,
    mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlSslMode},
};

use crate::support::{
    certs::Certs,
    mysql::{Database, Kind},
    sluice::Sluice,
};

/// More clients at once than [`POOL`] server connections.
const CLIENTS: usize = 24;
const POOL: u32 = 4;

on_both!(
    mysql_async_queries_prepares_and_transacts,
    mysql_async_logs_in_by_every_plugin,
    a_mysql_async_pool_shares_few_server_connections,
    sqlx_queries_and_transacts,
    a_sqlx_pool_shares_few_server_connections,
);

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

fn setting(kind: Kind) -> (Database, Sluice) {
    let database = Database::new(kind);
    let proxy = Sluice::with_pool(&database, POOL);
    (database, proxy)
}

fn options(database: &Database, port: u16) -> OptsBuilder {
    let tls = SslOpts::default()
        .with_root_certs(vec![Certs::shared().ca().into()])
        .with_disable_built_in_roots(true);
    OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(port)
        .user(Some(database.user))
        .pass(Some(database.password))
        .db_name(Some(&database.name))
        .ssl_opts(tls)
        .prefer_socket(false)
}

fn mysql_async_queries_prepares_and_transacts(kind: Kind) {
    let (database, proxy) = setting(kind);
    block_on(async {
        let options = options(&database, proxy.port).stmt_cache_size(5);
        let mut client = mysql_async::Conn::new(options).await.unwrap();
        client
            .query_drop("create table t (id int primary key, word varchar(20))")
            .await
            .unwrap();
        let insert = client.prep("insert into t values (?, ?)").await.unwrap();
        for id in 0..20 {
            let word = (id % 3 != 0).then(|| format!("wörd {id}"));
            client.exec_drop(&insert, (id, word)).await.unwrap();
            assert_eq!(client.affected_rows(), 1);
        }
        let duplicate = client.exec_drop(&insert, (1, "again")).await.unwrap_err();
        assert!(matches!(duplicate, mysql_async::Error::Server(error) if error.code == 1062));
        client
            .exec_batch(&insert, (100..200).map(|id| (id, "batch")))
            .await
            .unwrap();
        for number in 0..20 {
            let text = format!("select {number} + ?");
            let sum: Option<i32> = client.exec_first(text, (1,)).await.unwrap();
            assert_eq!(sum, Some(number + 1));
        }
        let mut transaction = client.start_transaction(TxOpts::default()).await.unwrap();
        transaction.query_drop("delete from t").await.unwrap();
        transaction.rollback().await.unwrap();
        let words: Vec<Option<String>> = client
            .query("select word from t where id < 3 order by id")
            .await
            .unwrap();
        assert_eq!(words, [None, Some("wörd 1".into()), Some("wörd 2".into())]);
        let mut results = client.query_iter("select 1; select 2, 3").await.unwrap();
        assert_eq!(results.collect::<i32>().await.unwrap(), [1]);
        assert_eq!(results.collect::<(i32, i32)>().await.unwrap(), [(2, 3)]);
        drop(results);
        client.query_drop("set @a = 1").await.unwrap();
        assert!(client.reset().await.unwrap());
        let cleared: Option<Option<i32>> = client.query_first("select @a").await.unwrap();
        assert_eq!(cleared, Some(None));
        client.ping().await.unwrap();
        let large = vec![7_u8; 20_000_000];
        let length: Option<usize> = client
            .exec_first("select length(?)", (large,))
            .await
            .unwrap();
        assert_eq!(length, Some(20_000_000));
        client.disconnect().await.unwrap();
    });
}

fn mysql_async_logs_in_by_every_plugin(kind: Kind) {
    let (database, proxy) = setting(kind);
    block_on(async {
        for ((user, password), plugin) in kind.users() {
            // A plugin that this driver does not have.
            if *plugin == "sha256_password" {
                continue;
            }
            let options = options(&database, proxy.port)
                .user(Some(*user))
                .pass(Some(*password));
            let mut client = mysql_async::Conn::new(options)
                .await
                .unwrap_or_else(|error| panic!("{plugin}: {error}"));
            let name: Option<String> = client.query_first("select user()").await.unwrap();
            assert_eq!(name, Some(format!("{user}@127.0.0.1")));
            client.disconnect().await.unwrap();
        }
    });
}

fn a_mysql_async_pool_shares_few_server_connections(kind: Kind) {
    let (database, proxy) = setting(kind);
    block_on(async {
        let constraints = PoolConstraints::new(4, CLIENTS).unwrap();
        let pool_options = PoolOpts::default().with_constraints(constraints);
        let options: Opts = options(&database, proxy.port)
            .pool_opts(pool_options)
            .into();
        let pool = Pool::new(options);
        let tasks = (0..CLIENTS).map(|number| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for step in 0..20_usize {
                    let mut client = pool.get_conn().await.unwrap();
                    let mut transaction =
                        client.start_transaction(TxOpts::default()).await.unwrap();
                    let same: Option<(usize, usize)> = transaction
                        .exec_first("select ?, ?", (number, step))
                        .await
                        .unwrap();
                    assert_eq!(same, Some((number, step)));
                    transaction.commit().await.unwrap();
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        pool.disconnect().await.unwrap();
    });
}

fn sqlx_options(database: &Database, port: u16) -> MySqlConnectOptions {
    MySqlConnectOptions::new()
        .host("127.0.0.1")
        .port(port)
        .username(database.user)
        .password(database.password)
        .database(&database.name)
        .ssl_mode(MySqlSslMode::VerifyIdentity)
        .ssl_ca(Certs::shared().ca())
}

fn sqlx_queries_and_transacts(kind: Kind) {
    let (database, proxy) = setting(kind);
    block_on(async {
        let options = sqlx_options(&database, proxy.port).statement_cache_capacity(5);
        let mut client = sqlx::MySqlConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql("create table t (id int primary key, data blob); create table u (id int)")
            .execute(&mut client)
            .await
            .unwrap();
        for id in 0..30 {
            let text = format!("insert into t values ({id}, ?)");
            let done = sqlx::query(sqlx::AssertSqlSafe(text))
                .bind(vec![0_u8, 255])
                .execute(&mut client)
                .await
                .unwrap();
            assert_eq!(done.rows_affected(), 1);
        }
        let mut transaction = client.begin().await.unwrap();
        sqlx::query("delete from t")
            .execute(&mut *transaction)
            .await
            .unwrap();
        let mut inner = transaction.begin().await.unwrap();
        let duplicate = sqlx::query("insert into u values (nothing)")
            .execute(&mut *inner)
            .await;
        assert!(duplicate.is_err());
        inner.rollback().await.unwrap();
        transaction.rollback().await.unwrap();
        let rows = sqlx::query("select id, data from t where id < ? order by id")
            .bind(3)
            .fetch_all(&mut client)
            .await
            .unwrap();
        let ids: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(ids, [0, 1, 2]);
        assert_eq!(rows[0].get::<Vec<u8>, _>(1), [0, 255]);
        client.ping().await.unwrap();
        client.close().await.unwrap();
    });
}

fn a_sqlx_pool_shares_few_server_connections(kind: Kind) {
    let (database, proxy) = setting(kind);
    block_on(async {
        let options = MySqlPoolOptions::new()
            .max_connections(u32::try_from(CLIENTS).unwrap())
            .min_connections(8);
        let pool = options
            .connect_with(sqlx_options(&database, proxy.port))
            .await
            .unwrap();
        let tasks = (0..CLIENTS).map(|number| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for step in 0..20_i64 {
                    let mut transaction = pool.begin().await.unwrap();
                    let (own, same): (i64, i64) =
                        sqlx::query_as("select cast(? as signed), cast(? as signed)")
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
