//! The pools' behaviour against a server in memory, on a paused clock.

use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use tokio::task::JoinHandle;

use super::{
    BorrowError, Borrowed, Pool, PoolMetrics, PoolOptions, Pools, ServerLogin, TargetOptions,
};
use crate::model::{Credential, PoolKey};

mod borrowing;
mod failures;
pub(crate) mod fake;
mod giving_back;
mod reactors;
mod sharing;
mod storm;
mod trials;
mod upkeep;

use fake::{Fake, FakeOpener, FakeServer};

type Outcome = Result<Borrowed<Fake>, BorrowError>;

/// A server and the pools towards it.
struct Bed {
    server: Arc<FakeServer>,
    pools: Pools<Fake>,
    registry: Registry,
}

pub(crate) fn target_options() -> TargetOptions {
    TargetOptions {
        max_connections_percent: 100,
        max_idle_connections_percent: 100,
        max_db_connections: 0,
        max_user_connections: 0,
        login_concurrency: 8,
        login_retry: Duration::from_secs(1),
    }
}

pub(crate) fn options(size: u32) -> PoolOptions {
    PoolOptions {
        size,
        min_size: 0,
        borrow_timeout: Duration::from_secs(10),
        max_waiting: 0,
        lifetime: Duration::ZERO,
        lifetime_jitter: Duration::ZERO,
        round_robin: false,
        idle_timeout: Duration::ZERO,
        check_delay: Duration::from_secs(30),
        init_query: None,
        reset_timeout: Duration::from_secs(5),
    }
}

impl Bed {
    fn new(capacity: u32, options: TargetOptions) -> Self {
        Self::made(capacity, options, 1)
    }

    fn on_reactors(reactors: usize) -> Self {
        Self::made(100, target_options(), reactors)
    }

    fn made(capacity: u32, options: TargetOptions, reactors: usize) -> Self {
        let server = FakeServer::start(capacity);
        let registry = Registry::new();
        let metrics = PoolMetrics::register(&registry).unwrap();
        let pools = Pools::on_reactors(metrics, reactors);
        let opener = Arc::new(FakeOpener(Arc::clone(&server)));
        pools.set_target(&"main".into(), &"db:5432".into(), options, opener);
        Self {
            server,
            pools,
            registry,
        }
    }

    fn pool(&self, user: &str, options: PoolOptions) -> Arc<Pool<Fake>> {
        self.pools.pool(&key(user), login(), options).unwrap()
    }

    fn retire(&self) {
        self.pools.retire(&"main".into(), &"db:5432".into());
    }

    /// One sample, by its line in the text format up to the value.
    fn metric(&self, line: &str) -> f64 {
        let text = prometheus::TextEncoder::new();
        let text = text.encode_to_string(&self.registry.gather()).unwrap();
        let value = text.lines().find_map(|l| l.strip_prefix(line));
        value
            .unwrap_or_else(|| panic!("{line} in {text}"))
            .trim()
            .parse()
            .unwrap()
    }
}

fn key(user: &str) -> PoolKey {
    PoolKey {
        group: "main".into(),
        target: "db:5432".into(),
        user: user.into(),
        database: "app".into(),
        variant: 0,
    }
}

fn login() -> ServerLogin {
    ServerLogin::Fixed(Credential::None)
}

/// Borrows in a task of its own.
fn borrow(pool: &Arc<Pool<Fake>>) -> JoinHandle<Outcome> {
    let pool = Arc::clone(pool);
    tokio::spawn(async move { pool.borrow().await })
}

/// Lets all tasks run as far as they can without time passing.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
    settle().await;
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
