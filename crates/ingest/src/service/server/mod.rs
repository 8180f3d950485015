//! The HTTP API: axum over hyper, HTTP/1.1.
//!
//! The connections are accepted here rather than by `axum::serve`, which bounds neither their number nor the time that
//! the head of a request may take.

mod figures;
mod guard;
mod ops;
mod problem;
mod routes;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use figures::Figures;
use guard::{Guard, Peer};
pub use guard::{Limits, Token};
pub use ops::Health;
pub use problem::{Code, Problem};
pub use routes::KEY;

use super::queue::{Queue, Signals};
use super::worker::Workers;
use crate::metrics::Metrics;

/// Longest time for the head of a request to come.
const HEAD: Duration = Duration::from_secs(10);
/// Longest time for answers that are being made when the server is told to end.
const LAST_ANSWERS: Duration = Duration::from_secs(20);

/// What a server is made of.
pub struct Parts {
    /// The jobs.
    pub queue: Queue,
    /// What happens to them.
    pub signals: Arc<Signals>,
    /// The workers of this process, there to be told of.
    pub workers: Arc<Workers>,
    /// The metrics of this process.
    pub metrics: Arc<Metrics>,
    /// How much it takes on.
    pub limits: Limits,
    /// The token that a request must bear, if any.
    pub token: Option<Token>,
}

/// What all requests share.
struct Shared {
    queue: Queue,
    signals: Arc<Signals>,
    workers: Arc<Workers>,
    metrics: Arc<Metrics>,
    limits: Limits,
    guard: Guard,
    figures: Figures,
    openapi: String,
    stop: CancellationToken,
}

#[derive(OpenApi)]
#[openapi(info(
    title = "ingest",
    description = "Imports race meetings from LiveRC into PostgreSQL. Errors are problem documents (RFC 9457). \
                   Where the server has a token, all but /healthz and /readyz need it."
), security((), ("bearer" = [])))]
struct Document;

fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(routes::import))
        .routes(routes!(routes::job))
        .routes(routes!(routes::event))
        .routes(routes!(routes::events))
        .routes(routes!(routes::withdraw))
        .routes(routes!(ops::healthz))
        .routes(routes!(ops::readyz))
        .routes(routes!(ops::metrics))
        .routes(routes!(ops::openapi))
}

/// The API, ready to be served, and its OpenAPI document.
fn router(parts: Parts, stop: CancellationToken) -> Router {
    let (router, mut document) = routes().split_for_parts();
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    document.components.get_or_insert_default().add_security_scheme("bearer", bearer);
    let Parts { queue, signals, workers, metrics, limits, token } = parts;
    let shared = Arc::new(Shared {
        queue,
        signals,
        workers,
        metrics,
        limits,
        guard: Guard::new(limits, token),
        figures: Figures::new(),
        openapi: document.to_pretty_json().unwrap_or_default(),
        stop,
    });
    router
        .fallback(async || Problem::new(Code::NotFound, "there is nothing here; see /api/v1/openapi.json"))
        .method_not_allowed_fallback(async || {
            Problem::new(Code::MethodNotAllowed, "see /api/v1/openapi.json for what can be done here")
        })
        .layer(from_fn_with_state(Arc::clone(&shared), guard::pass))
        .with_state(shared)
}

/// Serves until told to stop. Then no connection is accepted any more, requests that wait for a job are answered with
/// the job as it is, and the others are finished.
pub async fn serve(listener: TcpListener, parts: Parts, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(parts.limits.connections as usize));
    let router = router(parts, stop.clone());
    let mut connections = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { break };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (router, stop) = (router.clone(), stop.clone());
                connections.spawn(async move {
                    connection(stream, Peer(peer), router, stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let last = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(LAST_ANSWERS, last).await.is_err() {
        tracing::warn!("some requests were not answered in time and are cut off");
    }
}

async fn connection(stream: TcpStream, peer: Peer, router: Router, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let inner = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        inner.call(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(64 * 1024);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}
