//! `sluice demo`: what Sluice does, shown on the user's own machine in a minute.
//!
//! A throwaway PostgreSQL with TLS, and MySQL and MariaDB where they are installed, each with a replica; Sluice in
//! front as a process of its own with a configuration like any other, and pgbench and its like as clients: hundreds of them
//! over a handful of server connections, their reads at the replicas, told live from Sluice's own metrics. Everything stays on loopback, and
//! nothing outlasts the demo: neither process nor file.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tracing::debug;

mod certs;
mod error;
mod load;
mod mysql;
mod mysql_pair;
mod ports;
mod postgres;
mod process;
mod proxy;
mod replica;
mod report;
mod scrape;
mod scratch;
mod servers;
mod token;

use error::DemoError;
use load::Load;
use mysql_pair::Pair;
use postgres::Postgres;
use proxy::Proxy;
use replica::Replica;
use report::Screen;
use scratch::Scratch;
use servers::Servers;
use token::Signer;

/// Arguments of `sluice demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoOptions {
    /// End after the load; exit code 0 only if all of it worked.
    #[arg(long)]
    pub once: bool,
    /// How long the load runs once all clients are there.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: u32,
    /// Clients of the load, most of them idle most of the time.
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub clients: u32,
    /// Port that Sluice listens on; by default 6432, or a free one if that is taken.
    #[arg(long, value_name = "P")]
    pub port: Option<u16>,
}

/// Runs the demo to its end, and prints what happens to standard output.
pub fn run(options: &DemoOptions) -> ExitCode {
    match start(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sluice demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(options: &DemoOptions) -> Result<(), DemoError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(DemoError::io("cannot start the runtime"))?;
    runtime.block_on(async {
        // What the stage holds ends when it is dropped, whichever way this function is left.
        let mut stage = Stage::default();
        tokio::select! {
            shown = show(options, &mut stage) => shown,
            ended = interruption() => match ended {
                Ok(()) if options.once => Err(DemoError::Interrupted),
                Ok(()) => stage.screen.say("\nStopping."),
                Err(error) => Err(DemoError::io("cannot wait for signals")(error)),
            },
        }
    })
}

/// All that must end with the demo; dropped in this order.
#[derive(Default)]
struct Stage {
    load: Load,
    proxy: Option<Proxy>,
    servers: Option<Servers>,
    scratch: Option<Scratch>,
    screen: Screen,
}

/// Cancel safe in so far as everything started is in `stage`.
async fn show(options: &DemoOptions, stage: &mut Stage) -> Result<(), DemoError> {
    let screen = &mut stage.screen;
    raise_file_limit();
    let tools = postgres::Tools::find()?;
    let scratch = stage.scratch.insert(Scratch::new()?);
    certs::write(scratch)?;

    let mysql_tools = mysql::Tools::find();
    let beside = mysql_tools
        .iter()
        .map(|tools| format!(", {}", tools.name()));
    let beside: String = beside.collect();
    screen.say(&format!(
        "Starting throwaway servers, each with a replica (PostgreSQL{beside}), and Sluice in front, on 127.0.0.1 alone."
    ))?;
    let postgres = Postgres::start(&tools, scratch).await?;
    let servers = stage.servers.insert(Servers {
        postgres,
        replica: None,
        mysql: Vec::new(),
    });
    for tools in &mysql_tools {
        servers.mysql.push(Pair::start(tools, scratch).await?);
    }
    servers.postgres.prepare(&tools, scratch).await?;
    let replica = Replica::start(&tools, scratch, &servers.postgres).await?;
    servers.replica = Some(replica);
    let port = ports::choose(options.port)?;
    let proxy = Proxy::start(scratch, servers, port)?;
    let proxy = stage.proxy.insert(proxy);
    let server = proxy.first_query(&tools, scratch).await?;
    screen.say(&introduction(
        &server,
        &servers.postgres,
        proxy,
        scratch,
        &tools,
    ))?;
    stage.load.start(options, &tools, scratch, proxy)?;
    for (tools, port) in mysql_tools.iter().zip(proxy.mysql_ports().to_vec()) {
        let server = proxy.first_mysql_query(tools, port, scratch).await?;
        let shown = tools.shown(scratch, port);
        let sign = Signer::command(port, postgres::ROLE);
        screen.say(&format!(
            "And {server}, through Sluice on port {port}, with the same key:\n  \
             LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN=1 MYSQL_PWD=\"$({sign})\" {shown}\n"
        ))?;
        let token = proxy.token(port)?;
        stage.load.join(tools.load(scratch, port, &token)?);
    }
    let peak = report::watch(screen, &mut stage.load, proxy, servers, options).await?;
    let wanted = options.clients + servers.more_clients();
    let groups = 1 + servers.mysql.len();
    screen.say(&peak.verdict(wanted, servers.pools(), groups)?)?;
    if !options.once {
        screen.say("The load is over. Sluice stays up until Ctrl-C.")?;
        return report::attend(screen, proxy, servers).await;
    }
    proxy.finish().await
}

/// What a user can do now, ready to be pasted.
fn introduction(
    server: &str,
    postgres: &Postgres,
    proxy: &Proxy,
    scratch: &Scratch,
    tools: &postgres::Tools,
) -> String {
    let (url, reads) = (proxy.url(scratch), proxy.reads_url(scratch));
    let exports = proxy.signer().exports();
    let sign = Signer::command(proxy.port(), postgres::ROLE);
    let sign_reads = Signer::command(proxy.reads_port(), postgres::ROLE);
    let (psql, pgbench) = (tools.shown("psql"), tools.shown("pgbench"));
    format!(
        "  {server} on port {} takes {} connections at most\n  \
           Sluice on port {} shares {} of them among its clients\n\n\
         Clients log in with tokens that expire, as Lambda functions do; the key lives as long as the demo.\n\
         Try it from another terminal:\n  \
           {exports}\n  \
           PGPASSWORD=\"$({sign})\" {psql} '{url}'\n  \
           PGPASSWORD=\"$({sign_reads})\" {psql} '{reads}'   # who may only read\n  \
           PGPASSWORD=\"$({sign})\" {pgbench} -n -S -c 200 -j 2 -T 10 -P 1 '{url}'\n  \
           curl http://127.0.0.1:{}/metrics\n",
        postgres.port(),
        postgres::MAX_CONNECTIONS,
        proxy.port(),
        proxy::POOL_SIZE,
        proxy.admin_port(),
    )
}

/// Waits for a signal that ends the demo. Cancel safe.
async fn interruption() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

/// Thousands of clients need as many files, here in pgbench and in Sluice, which inherit our limit.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        debug!(%error, "the limit of open files stays");
    }
}

/// How often a process that should come up or end is looked at.
const GLANCE: Duration = Duration::from_millis(20);
