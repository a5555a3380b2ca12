//! The operators' HTTP endpoint: `/metrics`, `/livez`, `/readyz`, `/status` and `/explain-route`, and, where the
//! configuration allows orders, `/pause`, `/resume` and `/switchover`.
//!
//! Nothing is asked of whoever reads it, so the address belongs on loopback or an inner network.
//! Orders are JSON by POST: a page in somebody's browser cannot give them, since a browser asks
//! for leave before it sends that type to another site. What there is to say comes from closures; this module decides
//! only how it is served. Each connection serves one request (RFC 9112 section 9.6, `close`),
//! within the bounds of [`bounded`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::commands::{CommandError, Verb, Words};
use super::explaining::Question;
use crate::telemetry::MetricRegistry;
use crate::telemetry::registry::TEXT_CONTENT_TYPE;

mod bounded;
#[cfg(test)]
mod tests;

use bounded::BoundedListener;

/// Where the endpoint's answers come from. The closures are called for each request and must
/// neither block nor take long.
#[derive(Clone)]
pub struct Admin {
    /// What `/metrics` shows.
    pub metrics: MetricRegistry,
    /// What `/readyz` says.
    pub readiness: Arc<dyn Fn() -> Readiness + Send + Sync>,
    /// What `/status` shows: pools, clients, server connections, pinned sessions.
    pub status: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// What `/explain-route` answers.
    pub explain: Explain,
    /// Who carries out orders; `None`: nobody.
    pub commands: Option<Obey>,
}

/// Tells where a statement would go.
pub type Explain = Arc<dyn Fn(&Question) -> Result<serde_json::Value, CommandError> + Send + Sync>;

/// Carries out an order.
pub type Obey = Arc<dyn Fn(Verb, Words) -> Obeying + Send + Sync>;

/// An order that is being carried out.
pub type Obeying = Pin<Box<dyn Future<Output = Result<serde_json::Value, CommandError>> + Send>>;

/// Whether clients should be sent here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// They should.
    Ready,
    /// Not all listeners are open yet.
    Starting,
    /// The process is about to end and takes no new clients.
    Draining,
    /// No target has been reachable yet, or none is now.
    NoTarget,
}

impl Readiness {
    /// The text of `/readyz`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::Draining => "draining",
            Self::NoTarget => "no target reachable",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Ready => StatusCode::OK,
            Self::Starting | Self::Draining | Self::NoTarget => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Serves until `stop` is cancelled, and a moment longer for answers under way. Not cancel safe:
/// dropped, it leaves the answers under way to themselves.
///
/// # Errors
/// None at present: failures to accept are retried.
pub async fn serve(listener: TcpListener, admin: Admin, stop: CancellationToken) -> io::Result<()> {
    serve_within(DEADLINE, listener, admin, stop).await
}

/// From accept to close: longer than Prometheus's default scrape timeout of 10 seconds.
const DEADLINE: Duration = Duration::from_secs(15);

/// How long answers under way may take after the end was ordered.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

async fn serve_within(
    deadline: Duration,
    listener: TcpListener,
    admin: Admin,
    stop: CancellationToken,
) -> io::Result<()> {
    let server = axum::serve(BoundedListener::new(listener, deadline), router(admin))
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let too_late = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        ended = server => ended,
        () = too_late => Ok(()),
    }
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get("ok\n"))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .route("/explain-route", post(explain))
        .route(
            "/pause",
            post(|admin, words| order(Verb::Pause, admin, words)),
        )
        .route(
            "/resume",
            post(|admin, words| order(Verb::Resume, admin, words)),
        )
        .route(
            "/switchover",
            post(|admin, words| order(Verb::Switchover, admin, words)),
        )
        .layer(map_response(finish))
        .with_state(admin)
}

async fn metrics(State(admin): State<Admin>) -> Response {
    match admin.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT_CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            warn!(%error, "metrics cannot be shown");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let readiness = (admin.readiness)();
    (readiness.status(), format!("{}\n", readiness.as_str())).into_response()
}

async fn status(State(admin): State<Admin>) -> Response {
    // `#` lays the object out for people, who read it with curl.
    let text = format!("{:#}\n", (admin.status)());
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// Tells where a statement would go; JSON by POST, like orders.
async fn explain(
    State(admin): State<Admin>,
    question: Result<Json<Question>, JsonRejection>,
) -> Response {
    let explained = match question {
        Ok(Json(question)) => {
            // A parser works on a text for up to milliseconds.
            let explain = move || (admin.explain)(&question);
            match tokio::task::spawn_blocking(explain).await {
                Ok(explained) => explained,
                Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            }
        }
        Err(rejection) => return told(rejection.status(), &rejection.body_text()),
    };
    answered(explained)
}

fn told(code: StatusCode, what: &str) -> Response {
    (code, format!("{what}\n")).into_response()
}

fn answered(result: Result<serde_json::Value, CommandError>) -> Response {
    match result {
        Ok(report) => {
            let text = format!("{report:#}\n");
            ([(header::CONTENT_TYPE, "application/json")], text).into_response()
        }
        Err(CommandError::Mistaken(what)) => told(StatusCode::BAD_REQUEST, &what),
        Err(CommandError::Failed(what)) => told(StatusCode::CONFLICT, &what),
    }
}

/// Carries out an order. One that takes longer than an answer may is gone on with all the same.
async fn order(
    verb: Verb,
    State(admin): State<Admin>,
    words: Result<Json<Words>, JsonRejection>,
) -> Response {
    let Some(obey) = admin.commands else {
        let what = "orders are not allowed: admin_commands in [general] is not set";
        return told(StatusCode::FORBIDDEN, what);
    };
    let Json(words) = match words {
        Ok(words) => words,
        Err(rejection) => return told(rejection.status(), &rejection.body_text()),
    };
    // In a task of its own: whoever asked may leave.
    let done = tokio::spawn(obey(verb, words));
    match tokio::time::timeout(LONGEST_ORDER, done).await {
        Ok(Ok(result)) => answered(result),
        Ok(Err(_)) => told(StatusCode::INTERNAL_SERVER_ERROR, "the order broke off"),
        Err(_) => told(
            StatusCode::ACCEPTED,
            "under way; /status tells what has come of it",
        ),
    }
}

/// Below [`DEADLINE`].
const LONGEST_ORDER: Duration = Duration::from_secs(13);

/// Adds what every answer carries.
async fn finish(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}
