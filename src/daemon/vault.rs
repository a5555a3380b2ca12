//! Where passwords that may change are kept, and Sluice's own tokens: one source each for the life
//! of the process, whoever uses it. A reload adds and drops sources; what is known of those that
//! stay is kept.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::auth::options::{BringerOptions, Place, UserOptions};
use crate::auth::source::tokens::TokenSource;
use crate::auth::source::{
    FileStore, KeptSource, Pace, PasswordKeeper, Rotating, SourceMetrics, Store,
};
use crate::aws::Aws;
use crate::aws::options::AwsOptions;
use crate::config::Plan;

/// The sources of the process.
pub(super) struct Vault {
    metrics: Arc<SourceMetrics>,
    state: Mutex<State>,
}

struct State {
    options: AwsOptions,
    aws: Aws,
    kept: HashMap<Place, Arc<KeptSource>>,
    /// By the region that is configured.
    tokens: HashMap<Option<Arc<str>>, Arc<TokenSource>>,
    bringers: Arc<[Bringer]>,
}

/// A secret that brings a user.
struct Bringer {
    options: BringerOptions,
    source: Arc<KeptSource>,
    /// The user whose name pools have, although users may take turns.
    alias: OnceLock<Arc<str>>,
}

impl Vault {
    /// With the sources that a plan names. Must run inside the runtime.
    pub(super) fn new(plan: &Plan, metrics: Arc<SourceMetrics>) -> Self {
        let options = plan.aws.options.clone();
        let vault = Self {
            metrics,
            state: Mutex::new(State {
                aws: Aws::new(options.clone()),
                options,
                kept: HashMap::new(),
                tokens: HashMap::new(),
                bringers: Arc::default(),
            }),
        };
        vault.adopt(plan);
        vault
    }

    /// Takes the sources that a new plan names, and drops the others once nobody uses them.
    pub(super) fn adopt(&self, plan: &Plan) {
        let mut state = self.state();
        if state.options != plan.aws.options {
            state.options = plan.aws.options.clone();
            state.aws = Aws::new(state.options.clone());
            state.tokens.clear();
            state
                .kept
                .retain(|place, _| !matches!(place, Place::Secret(_)));
        }
        let named = places(plan);
        state.kept.retain(|place, _| named.contains(place));
        for place in &named {
            state.source(place, &self.metrics);
        }
        let bringers = plan.aws.bringers.iter().map(|options| {
            let place = Place::Secret(Arc::clone(&options.secret));
            Bringer {
                options: options.clone(),
                source: state.source(&place, &self.metrics),
                alias: OnceLock::new(),
            }
        });
        state.bringers = bringers.collect();
    }

    /// The source over that place.
    pub(super) fn kept(&self, place: &Place) -> Arc<KeptSource> {
        self.state().source(place, &self.metrics)
    }

    /// Sluice's own tokens, for servers in that region, else in the one that their names tell.
    pub(super) fn tokens(&self, region: Option<&Arc<str>>) -> Arc<TokenSource> {
        let mut state = self.state();
        let region = region.cloned();
        if let Some(known) = state.tokens.get(&region) {
            return Arc::clone(known);
        }
        let keys = state.aws.signing_keys();
        let source = TokenSource::new(keys, region.clone(), Arc::clone(&self.metrics));
        let source = Arc::new(source);
        state.tokens.insert(region, Arc::clone(&source));
        source
    }

    /// AWS as it is configured.
    pub(super) fn aws(&self) -> Aws {
        self.state().aws.clone()
    }

    /// The user of this name that a secret brings, as far as the secrets are known.
    pub(super) fn brought(&self, name: &Arc<str>) -> Option<Arc<UserOptions>> {
        let bringers = Arc::clone(&self.state().bringers);
        let bringer = bringers
            .iter()
            .find(|bringer| bringer.source.users().contains(name))?;
        let place = Place::Secret(Arc::clone(&bringer.options.secret));
        Some(Arc::new(UserOptions {
            auth_method: bringer.options.auth_method,
            server_user: bringer.alias(),
            password_place: Some(place.clone()),
            server_place: Some(place),
            ..UserOptions::known_by(Arc::clone(name), None)
        }))
    }

    /// Waits until each secret that brings a user has been read once, or could not be. Cancel-safe.
    pub(super) async fn know_users(&self) {
        let bringers = Arc::clone(&self.state().bringers);
        let mut readings = JoinSet::new();
        for bringer in bringers.iter().filter(|bringer| !bringer.source.is_tried()) {
            let source = Arc::clone(&bringer.source);
            readings.spawn(async move { source.try_once().await });
        }
        while readings.join_next().await.is_some() {}
    }

    /// Somebody has named a user whom nobody knows: perhaps a secret names it by now. It will be
    /// known at the next attempt; who waited here could tell users who exist from others.
    pub(super) fn look_for_users(&self) {
        let bringers = Arc::clone(&self.state().bringers);
        for bringer in &*bringers {
            bringer.source.doubt();
        }
    }

    /// The state of every source, for `/status`.
    pub(super) fn metrics(&self) -> &SourceMetrics {
        &self.metrics
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn source(&mut self, place: &Place, metrics: &SourceMetrics) -> Arc<KeptSource> {
        if let Some(known) = self.kept.get(place) {
            return Arc::clone(known);
        }
        let (store, pace, meter): (Box<dyn Store>, _, _) = match place {
            Place::File(path) => (
                Box::new(FileStore::new(Arc::clone(path))),
                FileStore::PACE,
                metrics.meter("file", &path.display().to_string()),
            ),
            Place::Secret(id) => (
                self.aws.secret(Arc::clone(id)),
                Pace {
                    max_age: self.options.secret_refresh,
                    min_gap: SECRET_GAP.min(self.options.secret_refresh),
                    at_login: false,
                },
                metrics.meter("secrets_manager", id),
            ),
        };
        let source = Arc::new(Rotating::new(store, pace, meter));
        if matches!(place, Place::Secret(_)) {
            tokio::spawn(Rotating::keep_fresh(Arc::downgrade(&source)));
        }
        self.kept.insert(place.clone(), Arc::clone(&source));
        source
    }
}

impl Bringer {
    /// The shortest of the names that are known at first: the other of two users that take turns
    /// is called after it.
    fn alias(&self) -> Arc<str> {
        let name = self.alias.get_or_init(|| {
            let users = self.source.users();
            let shortest = users.into_iter().min_by_key(|name| name.len());
            shortest.unwrap_or_else(|| Arc::clone(&self.options.secret))
        });
        Arc::clone(name)
    }
}

/// All places that a plan names.
fn places(plan: &Plan) -> HashSet<Place> {
    let users = plan.users.all();
    let of_users = users.flat_map(|user| [&user.password_place, &user.server_place]);
    let bringers = plan.aws.bringers.iter();
    let of_bringers = bringers.map(|bringer| Place::Secret(Arc::clone(&bringer.secret)));
    of_users.flatten().cloned().chain(of_bringers).collect()
}

/// Secrets Manager answers thousands of requests in a second and bills each; a rotation takes
/// seconds.
const SECRET_GAP: Duration = Duration::from_secs(1);
