//! The API's own answers.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::IntoParams;

use super::Shared;
use super::problem::{Code, Problem};
use crate::liverc::host_label;
use crate::service::model::{EventList, EventState, ImportRequest, Job, Withdrawal, is_request_key};
use crate::service::queue::{Enqueued, Queue, Refused, Signal, wait_for};

/// Header with the name that a client gives its request.
pub const KEY: &str = "idempotency-key";

/// Longest wait that can be asked for, s.
const LONGEST_WAIT: u64 = 600;

/// A request that waits for its job looks for itself this often, should nobody tell it.
const LOOK: Duration = Duration::from_secs(2);

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wait {
    /// Wait up to so many seconds for the job to end.
    #[param(minimum = 0, maximum = 600)]
    wait: Option<u64>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OfRequest {
    /// The `Idempotency-Key` of an import: `job` is then what that request became, and absent if it never came.
    request: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Search {
    /// Part of the event's name, of its track, or its id. Absent or empty: all events.
    query: Option<String>,
    /// Most events that are told.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Asks for the import of an event.
///
/// When this is answered with a job, the job is durable: it is done whatever becomes of this connection or this server.
/// An event has one live job at most: asked for again, that one is told. An event that is complete is not read again
/// unless `refresh` says so. The header `Idempotency-Key` (8 to 64 letters, digits, `-`, `_`) names the request.
#[utoipa::path(
    post, path = "/api/v1/events/ingest", tag = "imports", request_body = ImportRequest,
    params(Wait, ("Idempotency-Key" = Option<String>, Header, description = "The client's name for this request")),
    responses(
        (status = 200, description = "The job has ended", body = Job),
        (status = 202, description = "The job is queued or running", body = Job),
        (status = 400, description = "The request cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The token is missing or wrong", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body did not come in time", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It contradicts what is there", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is no JSON", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value is not possible", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Full, busy, about to end, or without its database", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn import(
    State(shared): State<Arc<Shared>>,
    wait: Result<Query<Wait>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Query(Wait { wait }) = wait.map_err(malformed)?;
    let wait = wait.unwrap_or(0);
    if wait > LONGEST_WAIT {
        return Err(Problem::new(Code::Invalid, format!("wait = {wait}: at most {LONGEST_WAIT} seconds")));
    }
    let until = Instant::now() + Duration::from_secs(wait).min(shared.limits.longest_wait());
    let key = request_key(&headers)?;
    let mut request = read_request(&shared, &headers, body).await?;
    request.track = host_label(&request.track).map_err(|e| Problem::new(Code::Invalid, format!("track: {e}")))?;
    if request.event_id == 0 || i64::try_from(request.event_id).is_err() {
        let detail = format!("event_id = {}: LiveRC's ids are numbers from 1", request.event_id);
        return Err(Problem::new(Code::Invalid, detail));
    }
    if shared.stop.is_cancelled() {
        return Err(Problem::new(Code::ShuttingDown, "nothing was queued").after(5));
    }
    let mut signals = shared.signals.subscribe();
    // A task of its own: what was begun is finished, also when the client goes away.
    let (queue, most) = (shared.queue.clone(), shared.limits.queue);
    let queued = tokio::spawn(async move { queue.enqueue(&request, key.as_deref(), most).await });
    let queued =
        queued.await.map_err(|_| Problem::new(Code::Database, "queueing the job ended in an unforeseen way"))??;
    let mut job = match queued {
        Enqueued::Job(job) => *job,
        Enqueued::Refused(refused) => return Err(refusal(&refused, most)),
    };
    while !job.state.ended() && Instant::now() < until {
        tokio::select! {
            () = shared.stop.cancelled() => break,
            () = tokio::time::sleep_until(until.min(Instant::now() + LOOK)) => {}
            true = wait_for(&mut signals, |s| s == Signal::Ended(job.id)) => {}
        }
        job = known(&shared.queue, job.id).await?;
    }
    let status = if job.state.ended() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(job)).into_response())
}

/// Tells of a job.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}", tag = "imports", params(("id" = u64, Path, description = "The job's id")),
    responses(
        (status = 200, description = "The job", body = Job),
        (status = 400, description = "The id is no number", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The token is missing or wrong", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such job", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Busy, or without its database", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn job(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<u64>, PathRejection>,
) -> Result<Json<Job>, Problem> {
    let Path(id) = id.map_err(malformed)?;
    known(&shared.queue, id).await.map(Json)
}

/// Tells what is there of an event, and what is being done about it.
#[utoipa::path(
    get, path = "/api/v1/events/{id}", tag = "events",
    params(("id" = u64, Path, description = "LiveRC's id of the event"), OfRequest),
    responses(
        (status = 200, description = "The event's state", body = EventState),
        (status = 400, description = "The request cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The token is missing or wrong", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Neither the event nor a job of it is known", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value is not possible", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Busy, or without its database", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn event(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<u64>, PathRejection>,
    of: Result<Query<OfRequest>, QueryRejection>,
) -> Result<Json<EventState>, Problem> {
    let (Path(id), Query(OfRequest { request })) = (id.map_err(malformed)?, of.map_err(malformed)?);
    let key = request.map(checked_key).transpose()?;
    let state = shared.queue.event_state(id, key.as_deref()).await?;
    state.map(Json).ok_or_else(|| Problem::new(Code::NotFound, format!("event {id} is not known here")))
}

/// Finds events.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events", params(Search),
    responses(
        (status = 200, description = "The events, the newest first", body = EventList),
        (status = 400, description = "The request cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The token is missing or wrong", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value is not possible", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Busy, or without its database", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn events(
    State(shared): State<Arc<Shared>>,
    search: Result<Query<Search>, QueryRejection>,
) -> Result<Json<EventList>, Problem> {
    let Query(Search { query, limit }) = search.map_err(malformed)?;
    let (query, limit) = (query.unwrap_or_default(), limit.unwrap_or(50));
    if !(1..=200).contains(&limit) {
        return Err(Problem::new(Code::Invalid, format!("limit = {limit}: from 1 to 200")));
    }
    if query.len() > 200 || query.contains('\0') {
        return Err(Problem::new(Code::Invalid, "query: at most 200 bytes, none of them NUL"));
    }
    Ok(Json(shared.queue.find_events(&query, limit).await?))
}

/// Takes a request back that may not have come.
///
/// For a client whose connection broke: once this says `withdrawn`, the import does not happen, even if the lost request
/// is still on its way. A request that has become a job is not touched, and the job told.
#[utoipa::path(
    delete, path = "/api/v1/requests/{key}", tag = "imports",
    params(("key" = String, Path, description = "The request's `Idempotency-Key`")),
    responses(
        (status = 200, description = "What became of the request", body = Withdrawal),
        (status = 401, description = "The token is missing or wrong", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "That is no key", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Busy, or without its database", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn withdraw(State(shared): State<Arc<Shared>>, Path(key): Path<String>) -> Result<Json<Withdrawal>, Problem> {
    Ok(Json(shared.queue.withdraw(&checked_key(key)?).await?))
}

async fn known(queue: &Queue, id: u64) -> Result<Job, Problem> {
    queue.job(id).await?.ok_or_else(|| Problem::new(Code::NotFound, format!("there is no job {id}")))
}

fn refusal(refused: &Refused, most: u32) -> Problem {
    match refused {
        Refused::Full => Problem::new(Code::QueueFull, format!("{most} jobs wait, as many as may")).after(30),
        Refused::OtherTrack(track) => Problem::new(Code::OtherTrack, format!("the event is one of track `{track}`")),
        Refused::Withdrawn => Problem::new(Code::Withdrawn, "the client took this request back; make a new one"),
        Refused::KeyOfOther(event) => {
            Problem::new(Code::KeyInUse, format!("this key stands for an import of event {event}; choose another"))
        }
    }
}

fn malformed(rejection: impl std::fmt::Display) -> Problem {
    Problem::new(Code::Malformed, rejection.to_string())
}

fn checked_key(key: String) -> Result<String, Problem> {
    if is_request_key(&key) {
        Ok(key)
    } else {
        Err(Problem::new(Code::Invalid, "a request's key has 8 to 64 letters, digits, - or _"))
    }
}

fn request_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    headers.get(KEY).map(|key| checked_key(key.to_str().unwrap_or_default().to_owned())).transpose()
}

async fn read_request(shared: &Shared, headers: &HeaderMap, body: Body) -> Result<ImportRequest, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(Code::NotJson, "send the header `Content-Type: application/json`"));
    }
    let limit = shared.limits.body;
    let read = tokio::time::timeout(shared.limits.body_timeout, axum::body::to_bytes(body, limit)).await;
    let read = read.map_err(|_| Problem::new(Code::SlowBody, "the body took too long; nothing was queued"))?;
    // Whatever else goes wrong with a body, nobody is there to be answered.
    let bytes = read.map_err(|_| Problem::new(Code::TooLarge, format!("a body has at most {limit} bytes")))?;
    serde_json::from_slice(&bytes).map_err(|e| Problem::new(Code::Malformed, format!("the body: {e}")))
}
