//! Everything of one engine: its pools, its listeners, and the desk at each.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::rand;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Plan;
use crate::config::plan::ListenerPlan;
use crate::model::{Fault, FaultKind};
use crate::net::limits::{LimitReached, Limits};
use crate::net::listener::{Accepted, Listener};
use crate::pool::Pools;
use crate::protocol::{Addressee, Engine};
use crate::session::desk::Desk;
use crate::session::feed::Feeds;
use crate::session::meter::ClientMeter;
use crate::session::metrics::ListenerMetrics;
use crate::session::registry::{CancelKeys, Registry};
use crate::session::shelf::Shelves;
use crate::session::{Hall, last_words, serve, tell};

use super::desk::ListenerDesk;
use super::process::Process;
use super::ward::Wards;
use super::workers::Workers;
use super::world::{BuildError, World};

/// One engine at work.
pub(super) struct House<E: Engine> {
    world: ArcSwap<World<E>>,
    desks: HashMap<Arc<str>, Arc<ArcSwap<ListenerDesk<E>>>>,
    pools: Pools<E>,
    feeds: Arc<Feeds<E>>,
    shelves: Arc<Shelves<E>>,
    wards: Wards<E>,
}

impl<E: Engine> House<E> {
    /// Builds what the plan says for this engine. Must run inside the runtime.
    pub(super) fn build(plan: &Arc<Plan>, process: &Process) -> Result<Self, BuildError> {
        let metrics = Arc::clone(&process.pool_metrics);
        let pools = Pools::on_reactors(metrics, process.workers.count());
        let feeds = Arc::new(Feeds::new(process.session_metrics.feeds()));
        let shelves = Arc::new(Shelves::new(process.session_metrics.clone()));
        let wards = Wards::new(
            pools.clone(),
            process.session_metrics.clone(),
            Arc::clone(&process.sessions),
            process.topology_metrics.clone(),
            Arc::clone(&process.vault),
        );
        let world = World::build(
            Arc::clone(plan),
            &pools,
            &feeds,
            &shelves,
            process,
            &wards,
            None,
        )?;
        let world = Arc::new(world);
        world.put_in_force(&wards);
        let listeners = plan.listeners.iter().filter(|l| l.engine == E::FAMILY);
        let desks = listeners
            .map(|listener| {
                let desk = ListenerDesk::new(&world, listener);
                (
                    Arc::clone(&listener.name),
                    Arc::new(ArcSwap::from_pointee(desk)),
                )
            })
            .collect();
        Ok(Self {
            world: ArcSwap::new(world),
            desks,
            pools,
            feeds,
            shelves,
            wards,
        })
    }

    /// Makes a new plan ready to be put in force.
    pub(super) fn prepare(
        &self,
        plan: &Arc<Plan>,
        process: &Process,
    ) -> Result<World<E>, BuildError> {
        World::build(
            Arc::clone(plan),
            &self.pools,
            &self.feeds,
            &self.shelves,
            process,
            &self.wards,
            Some(&self.world.load()),
        )
    }

    /// Puts a new plan in force.
    pub(super) fn reload(&self, world: World<E>) {
        let world = Arc::new(world);
        world.put_in_force(&self.wards);
        for (name, desk) in &self.desks {
            // A removed listener goes on until the restart that its removal needs.
            if let Some(listener) = world.listener(name) {
                desk.store(Arc::new(ListenerDesk::new(&world, listener)));
            }
        }
        let old = self.world.swap(Arc::clone(&world));
        world.retire_changed(&old);
    }

    /// Opens the listeners and serves their clients until `stop`. Returns when the listeners are
    /// open; errors are about sockets.
    pub(super) fn open(
        &self,
        process: &Arc<Process>,
        serving: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> io::Result<()> {
        let keys: Arc<CancelKeys<E::CancelKey>> = Arc::default();
        let mut decoy_key = [0; 32];
        rand::fill(&mut decoy_key).map_err(|_| io::Error::other("no randomness"))?;
        for listener in &self.world.load().plan.listeners {
            let Some(desk) = self.desks.get(&listener.name) else {
                continue;
            };
            let reception = Reception {
                hall: Arc::new(Hall {
                    listener: Arc::clone(&listener.name),
                    keys: Arc::clone(&keys),
                    decoy_key,
                }),
                desk: Arc::clone(desk),
                sessions: Arc::clone(&process.sessions),
                limits: Arc::clone(&process.limits),
                workers: Arc::clone(&process.workers),
                metrics: process.session_metrics.listener(&listener.name),
            };
            let socket = socket(listener, process)?;
            info!(
                listener = %listener.name,
                address = %socket.local_addr()?,
                engine = %E::FAMILY,
                "listening"
            );
            serving.spawn(reception.run(socket, stop.clone()));
        }
        serving.spawn(let_go(Arc::clone(&self.feeds), stop.clone()));
        Ok(())
    }

    /// The pools, for status.
    pub(super) fn pools(&self) -> &Pools<E> {
        &self.pools
    }

    /// What is known of functions and views.
    pub(super) fn shelves(&self) -> &Shelves<E> {
        &self.shelves
    }

    /// The target groups under watch.
    pub(super) fn wards(&self) -> &Wards<E> {
        &self.wards
    }
}

/// The socket that systemd passed under the listener's name, else a new one.
fn socket(plan: &ListenerPlan, process: &Process) -> io::Result<Listener> {
    let name = Arc::clone(&plan.name);
    let inherited = process.take_inherited(&plan.name);
    let opened = match inherited {
        Some(socket) => Listener::adopt(name, socket, &plan.listen),
        None => Listener::bind(name, &plan.listen),
    };
    opened.map_err(|error| {
        let (name, address) = (&plan.name, plan.listen.address);
        io::Error::new(
            error.kind(),
            format!("listener \"{name}\", {address}: {error}"),
        )
    })
}

/// Has what sessions shared go when they have gone, until `stop`.
async fn let_go<E: Engine>(feeds: Arc<Feeds<E>>, stop: CancellationToken) {
    while stop
        .run_until_cancelled(sleep(LET_GO_EVERY))
        .await
        .is_some()
    {
        feeds.let_go();
    }
    feeds.let_go();
}

/// How much longer than the last session that needs it something is kept.
const LET_GO_EVERY: Duration = Duration::from_secs(1);

/// What takes clients in.
struct Reception<E: Engine> {
    hall: Arc<Hall<E>>,
    desk: Arc<ArcSwap<ListenerDesk<E>>>,
    sessions: Arc<Registry>,
    limits: Arc<Limits>,
    workers: Arc<Workers>,
    metrics: Arc<ListenerMetrics>,
}

impl<E: Engine> Reception<E> {
    async fn run(self, listener: Listener, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            self.receive(accepted);
        }
    }

    fn receive(&self, accepted: Accepted) {
        let Accepted { stream, peer, .. } = accepted;
        let meter = ClientMeter::new(Arc::clone(&self.metrics));
        let place = match self.limits.admit(&self.hall.listener, peer.ip()) {
            Ok(place) => place,
            Err(reached) => {
                warn!(listener = %self.hall.listener, %peer, %reached, "client refused");
                meter.fault(FaultKind::TooManyClients);
                let words = last_words::<E>(&refusal(&reached), Addressee::Stranger);
                tokio::spawn(tell(stream, words));
                return;
            }
        };
        let entry = self.sessions.enter(peer);
        let desk: Arc<dyn Desk<E>> = self.desk.load_full();
        let hall = Arc::clone(&self.hall);
        let task = |stream, seat| serve(hall, desk, stream, entry, meter, (place, seat));
        if let Err(error) = self.workers.employ(stream, task) {
            warn!(listener = %self.hall.listener, %peer, %error, "client lost at the door");
        }
    }
}

fn refusal(reached: &LimitReached) -> Fault {
    let message = match reached {
        LimitReached::Total(_) => "no more connections allowed (max_client_conn)",
        LimitReached::Listener(_) => {
            "no more connections allowed (max_client_conn of the listener)"
        }
        LimitReached::Address(_) => {
            "no more connections allowed from this address (max_client_conn_per_address)"
        }
    };
    Fault::new(FaultKind::TooManyClients, message)
}
