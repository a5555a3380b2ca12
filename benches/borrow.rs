//! What lending costs: a connection borrowed and given back, free or contended.
//!
//! The server is the one in memory of the pools' own tests; its connections are real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench may end where it cannot go on"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use prometheus::Registry;
use sluice::{model, net, pool, protocol};
use tokio::runtime::{Builder, Runtime};

use model::{Credential, PoolKey};
use pool::{Pool, PoolMetrics, PoolOptions, Pools, ServerLogin, TargetOptions};

#[path = "../src/pool/tests/fake.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod fake;

use fake::{Fake, FakeOpener, FakeServer};

fn pool_of(size: u32) -> (Pools<Fake>, Arc<Pool<Fake>>) {
    let metrics = PoolMetrics::register(&Registry::new()).expect("no name is taken");
    let pools = Pools::new(metrics);
    let key = PoolKey {
        group: "main".into(),
        target: "db:5432".into(),
        user: "app".into(),
        database: "app".into(),
        variant: 0,
    };
    let target = TargetOptions {
        max_connections_percent: 100,
        max_idle_connections_percent: 100,
        max_db_connections: 0,
        max_user_connections: 0,
        login_concurrency: 8,
        login_retry: Duration::from_secs(1),
    };
    let opener = Arc::new(FakeOpener(FakeServer::start(1000)));
    pools.set_target(&key.group, &key.target, target, opener);
    let login = ServerLogin::Fixed(Credential::None);
    let options = PoolOptions {
        size,
        min_size: 0,
        borrow_timeout: Duration::from_secs(120),
        max_waiting: 0,
        lifetime: Duration::from_secs(3600),
        lifetime_jitter: Duration::from_secs(300),
        round_robin: false,
        idle_timeout: Duration::from_secs(600),
        check_delay: Duration::from_secs(30),
        init_query: None,
        reset_timeout: Duration::from_secs(5),
    };
    let pool = pools.pool(&key, login, options).expect("just configured");
    (pools, pool)
}

fn runtime(workers: usize) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(workers).enable_all().build();
    runtime.expect("threads can be started")
}

async fn borrow_once(pool: &Arc<Pool<Fake>>) {
    let mut borrowed = pool.borrow().await.expect("the server is well");
    black_box(borrowed.conn());
    borrowed.give_back();
}

/// One client, a connection always free.
fn free(c: &mut Criterion) {
    let runtime = runtime(1);
    let (_pools, pool) = runtime.block_on(async { pool_of(1) });
    runtime.block_on(borrow_once(&pool));
    c.bench_function("borrow/free", |b| {
        b.iter(|| runtime.block_on(borrow_once(&pool)));
    });
}

/// Many clients in turn. The time is per borrow, over all clients.
fn contended(c: &mut Criterion) {
    let mut group = c.benchmark_group("borrow/64 clients on 2 threads");
    for size in [1, 16, 64] {
        let runtime = runtime(2);
        let (_pools, pool) = runtime.block_on(async { pool_of(size) });
        group.bench_function(BenchmarkId::new("connections", size), |b| {
            b.iter_custom(|times| runtime.block_on(crowd(&pool, times)));
        });
    }
    group.finish();
}

async fn crowd(pool: &Arc<Pool<Fake>>, times: u64) -> Duration {
    const CLIENTS: u64 = 64;
    let each = times.div_ceil(CLIENTS);
    let start = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let pool = Arc::clone(pool);
        clients.spawn(async move {
            for _ in 0..each {
                let borrowed = pool.borrow().await.expect("the server is well");
                tokio::task::yield_now().await;
                borrowed.give_back();
            }
        });
    }
    clients.join_all().await;
    start.elapsed()
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = free, contended
}
criterion_main!(benches);
