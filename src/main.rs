//! The `sluice` command.

use std::process::ExitCode;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What jemalloc is told at its start; `_RJEM_MALLOC_CONF` in the environment has the last word. A thread looks through
/// its cache for what lies unused each time it has taken so many bytes. By default that is 64 KB, which clients that log
/// in for a transaction reach with every third or fourth: 2,000 instructions for each login.
#[cfg(feature = "jemalloc")]
#[allow(unsafe_code, reason = "the name under which jemalloc looks for it")]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MALLOC_CONF: &[u8; 29] = b"tcache_gc_incr_bytes:1048576\0";

fn main() -> ExitCode {
    sluice::cli::main()
}
