//! What it costs to classify a statement's text, and what the cache saves.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sluice::protocol::postgres::catalogue::{Form, PgReadings};
use sluice::sql::cache::{CacheLimits, VerdictCache};
use sluice::sql::fingerprint::fingerprint;
use sluice::sql::mysql;
use sluice::sql::postgres::{self, classify};
use sluice::sql::reading::Catalogue;

const SHORT: &str = "SELECT id, name, email FROM users WHERE id = $1 AND active;";
const SET: &str = "SET search_path TO \"$user\", public";
const BEGIN: &str = "BEGIN";

/// About 1 KB of the kind an object mapper writes.
fn long() -> String {
    let columns: Vec<_> = (0..24)
        .map(|n| format!("\"t0\".\"column_{n}\" AS \"t0_c{n}\""))
        .collect();
    format!(
        "SELECT {} FROM \"orders\" \"t0\" LEFT JOIN \"customers\" \"t1\" ON \"t1\".\"id\" = \
         \"t0\".\"customer_id\" WHERE \"t0\".\"state\" IN ($1, $2, 'open') AND \
         coalesce(\"t1\".\"name\", 'none') LIKE $3 ORDER BY \"t0\".\"created_at\" DESC LIMIT 50",
        columns.join(", ")
    )
}

fn texts(criterion: &mut Criterion) {
    let long = long();
    let mut group = criterion.benchmark_group("classify");
    for (name, text) in [
        ("short", SHORT),
        ("1 KB", &*long),
        ("set", SET),
        ("begin", BEGIN),
    ] {
        group.throughput(Throughput::Bytes(
            u64::try_from(text.len()).unwrap_or(u64::MAX),
        ));
        group.bench_function(name, |bencher| {
            bencher.iter(|| classify(black_box(text.as_bytes())));
        });
    }
    group.finish();
    criterion.bench_function("fingerprint/1 KB", |bencher| {
        bencher.iter(|| fingerprint(black_box(long.as_bytes())));
    });
}

fn cache(criterion: &mut Criterion) {
    let cache = VerdictCache::new(|text, ()| classify(text), CacheLimits::default());
    let long = long();
    let mut group = criterion.benchmark_group("cache");
    for (name, text) in [("hit short", SHORT), ("hit 1 KB", &*long)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| cache.get(black_box(text.as_bytes()), ()))
        });
    }
    let mut number = 0_u64;
    group.bench_function("miss short", |bencher| {
        bencher.iter(|| {
            number += 1;
            let text = format!("SELECT id, name FROM users WHERE id = {number}");
            cache.get(text.as_bytes(), ())
        });
    });
    group.finish();
}

/// The same questions about MySQL's SQL.
fn mysql(criterion: &mut Criterion) {
    let mode = mysql::Mode::new(mysql::Flavor::MySql, 90_700);
    let long = long().replace('"', "`");
    let point = "SELECT c FROM sbtest1 WHERE id=5023";
    let mut group = criterion.benchmark_group("mysql");
    for (name, text) in [
        ("point select", point),
        (
            "short",
            "SELECT id, name, email FROM users WHERE id = ? AND active",
        ),
        ("1 KB", &*long),
        ("set", "SET NAMES utf8mb4, @a = 1, time_zone = '+00:00'"),
        ("begin", BEGIN),
    ] {
        group.throughput(Throughput::Bytes(
            u64::try_from(text.len()).unwrap_or(u64::MAX),
        ));
        group.bench_function(name, |bencher| {
            bencher.iter(|| mysql::classify(black_box(text.as_bytes()), mode));
        });
    }
    let cache = VerdictCache::new(mysql::classify, CacheLimits::default());
    group.bench_function("hit point select", |bencher| {
        bencher.iter(|| cache.get(black_box(point.as_bytes()), mode));
    });
    group.finish();
}

/// Whether a text is a read: what it costs to find out, once, and to know it.
fn reading(criterion: &mut Criterion) {
    let long = long();
    let mode = mysql::Mode::new(mysql::Flavor::MySql, 90_700);
    let of_mysql = long.replace('"', "`");
    let catalogue = Catalogue::new();
    let mut group = criterion.benchmark_group("reading");
    for (name, text) in [("short", SHORT), ("1 KB", &*long)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| postgres::reading(black_box(text.as_bytes()), Some(&catalogue)));
        });
    }
    for (name, text) in [
        ("mysql short", "SELECT c FROM sbtest1 WHERE id=?"),
        ("mysql 1 KB", &*of_mysql),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| mysql::reading(black_box(text.as_bytes()), mode, Some(&catalogue)));
        });
    }
    let readings = PgReadings::new(Catalogue::new());
    group.bench_function("hit short", |bencher| {
        bencher.iter(|| readings.get(black_box(SHORT.as_bytes()), Form::Text));
    });
    group.finish();
}

criterion_group!(benches, texts, cache, mysql, reading);
criterion_main!(benches);
