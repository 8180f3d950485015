//! What those who run the server ask it.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Shared;
use super::problem::{Code, Problem};
use crate::metrics;

/// How the server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// Version of the program.
    pub version: String,
    /// Workers of this process: host, process id, and something that no other process has.
    pub worker: String,
    /// Jobs that they are at.
    pub busy: u32,
}

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, description = "It does", body = Health)))]
pub async fn healthz(State(shared): State<Arc<Shared>>) -> Json<Health> {
    Json(health(&shared))
}

/// Whether the server can take requests: its database answers, has the tables, and nobody has told it to end.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses(
        (status = 200, description = "It can", body = Health),
        (status = 503, description = "It cannot", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn readyz(State(shared): State<Arc<Shared>>) -> Result<Json<Health>, Problem> {
    if shared.stop.is_cancelled() {
        return Err(Problem::new(Code::ShuttingDown, "it was told to end").after(5));
    }
    match tokio::time::timeout(Duration::from_secs(5), shared.queue.gauges()).await {
        Ok(gauges) => gauges.map(|_| Json(health(&shared))).map_err(Problem::from),
        Err(_) => Err(Problem::new(Code::Database, "no answer from the database within 5 s").after(5)),
    }
}

fn health(shared: &Shared) -> Health {
    Health {
        status: "ok".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        worker: shared.workers.name().to_owned(),
        busy: shared.workers.busy(),
    }
}

/// The metrics of this process, and those of the queue that all share, as Prometheus text.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses(
        (status = 200, description = "Prometheus text, format 0.0.4", body = String, content_type = "text/plain"),
        (status = 401, description = "The token is missing or wrong", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Busy", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let gauges = tokio::time::timeout(Duration::from_secs(2), shared.queue.gauges()).await;
    let own = shared.figures.render(gauges.ok().and_then(Result::ok), shared.guard.in_flight());
    let text = shared.metrics.render() + &own;
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

/// This document.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "operations",
    responses(
        (status = 200, description = "The OpenAPI document", body = serde_json::Value),
        (status = 401, description = "The token is missing or wrong", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Busy", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn openapi(State(shared): State<Arc<Shared>>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], shared.openapi.clone()).into_response()
}
