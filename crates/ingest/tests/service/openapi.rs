//! The OpenAPI document says what the server does: every path, method and status in it is met with here, and every
//! answer is as its schema says.

use std::collections::BTreeSet;
use std::time::Duration;

use ingest::service::model::Outcome;
use ingest::service::queue::Ending;
use ingest::service::server::Limits;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::database;
use crate::help::{EVENT, Server, answer, http, limits, post, request, site};

struct Document {
    document: Value,
    met: BTreeSet<(String, String, u16)>,
}

/// What a schema does not name must not be there.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.contains_key("properties") {
                object.insert("additionalProperties".to_owned(), json!(false));
            }
            object.values_mut().for_each(close);
        }
        Value::Array(all) => all.iter_mut().for_each(close),
        _ => {}
    }
}

impl Document {
    fn declared(&self) -> BTreeSet<(String, String, u16)> {
        let mut all = BTreeSet::new();
        for (path, methods) in self.document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                for status in operation["responses"].as_object().unwrap().keys() {
                    all.insert((method.clone(), path.clone(), status.parse().unwrap()));
                }
            }
        }
        all
    }

    /// Checks an answer against the schema of its status.
    fn check(&mut self, method: &str, path: &str, status: u16, media: &str, body: &Value) {
        let response = &self.document["paths"][path][method]["responses"][status.to_string()];
        assert!(response.is_object(), "{method} {path} answers {status}, of which the document says nothing: {body}");
        let content = response["content"].as_object().unwrap();
        let (declared, content) = content.iter().next().unwrap();
        assert!(media.starts_with(declared.as_str()), "{method} {path} {status}: {media}, and not {declared}");
        let mut schema = content["schema"].clone();
        schema["components"] = self.document["components"].clone();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let errors: Vec<_> = validator.iter_errors(body).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{method} {path} {status}: {errors:?} in {body:#}");
        self.met.insert((method.to_owned(), path.to_owned(), status));
    }

    async fn meet(&mut self, path: &str, call: RequestBuilder, wanted: u16) -> Value {
        let (client, request) = call.build_split();
        let request = request.unwrap();
        let method = request.method().as_str().to_lowercase();
        let response = client.execute(request).await.unwrap();
        let (status, body) = self.take(&method, path, response).await;
        assert_eq!(status, wanted, "{method} {path}: {body:#}");
        body
    }

    async fn take(&mut self, method: &str, path: &str, response: reqwest::Response) -> (u16, Value) {
        let (status, media) =
            (response.status().as_u16(), response.headers()["content-type"].to_str().unwrap().to_owned());
        assert_eq!(response.headers()["cache-control"], "no-store");
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        self.check(method, path, status, &media, &body);
        (status, body)
    }
}

const IMPORT: &str = "/api/v1/events/ingest";
const TOKEN: &str = "a-token-of-the-test";

fn get(server: &Server, path: &str) -> RequestBuilder {
    http().get(format!("{}{path}", server.url))
}

/// Every path with a request of it that works.
fn all(server: &Server) -> Vec<(&'static str, RequestBuilder)> {
    vec![
        (IMPORT, post(&server.url, "", &json!({"track": "t", "event_id": 1}))),
        ("/api/v1/jobs/{id}", get(server, "/api/v1/jobs/1")),
        ("/api/v1/events/{id}", get(server, "/api/v1/events/700")),
        ("/api/v1/events", get(server, "/api/v1/events")),
        ("/api/v1/requests/{key}", http().delete(format!("{}/api/v1/requests/12345678", server.url))),
        ("/metrics", get(server, "/metrics")),
        ("/api/v1/openapi.json", get(server, "/api/v1/openapi.json")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_says_what_the_server_does() {
    let (db, mock) = (database().await, site(None).await);
    let small = Limits { body: 200, body_timeout: Duration::from_millis(200), queue: 2, ..limits() };
    let idle = Server::start(&db, None, small, None).await;
    let (_, document) = answer(get(&idle, "/api/v1/openapi.json")).await;
    let mut d = Document { document, met: BTreeSet::new() };
    close(&mut d.document["components"]);
    let import = |query: &str, body: Value| post(&idle.url, query, &body);

    // imports, with nobody to work on them
    let body = json!({"track": "TestTrack", "event_id": 4711});
    let queued = d.meet(IMPORT, import("", body.clone()).header("idempotency-key", "request-1"), 202).await;
    assert_eq!(
        (&queued["track"], &queued["state"], &queued["position"]),
        (&json!("testtrack"), &json!("queued"), &json!(1))
    );
    d.meet(IMPORT, import("?wiat=1", body.clone()), 400).await;
    d.meet(IMPORT, import("", json!({"track": "t", "event_id": "700"})), 400).await;
    d.meet(IMPORT, import("", json!({"track": "t", "event_id": 1, "url": "http://x"})), 400).await;
    d.meet(IMPORT, import("", json!({"track": "other", "event_id": 4711})), 409).await;
    d.meet(IMPORT, import("", json!({"track": "t", "event_id": 1, "padding": "x".repeat(200)})), 413).await;
    d.meet(IMPORT, http().post(format!("{}{IMPORT}", idle.url)).body(body.to_string()), 415).await;
    d.meet(IMPORT, import("?wait=601", body.clone()), 422).await;
    d.meet(IMPORT, import("", body).header("idempotency-key", "a key"), 422).await;
    slow_body(&mut d, &idle).await;
    d.meet("/api/v1/requests/{key}", http().delete(format!("{}/api/v1/requests/request-1", idle.url)), 200).await;
    let gone =
        d.meet("/api/v1/requests/{key}", http().delete(format!("{}/api/v1/requests/request-2", idle.url)), 200).await;
    assert_eq!(gone, json!({"withdrawn": true}));
    d.meet("/api/v1/requests/{key}", http().delete(format!("{}/api/v1/requests/short", idle.url)), 422).await;
    let withdrawn = import("", json!({"track": "t", "event_id": 1})).header("idempotency-key", "request-2");
    assert_eq!(d.meet(IMPORT, withdrawn, 409).await["code"], "withdrawn");
    d.meet(IMPORT, import("", json!({"track": "t", "event_id": 2})), 202).await;
    assert_eq!(d.meet(IMPORT, import("", json!({"track": "t", "event_id": 3})), 503).await["code"], "queue-full");

    // jobs in every state
    let job = format!("/api/v1/jobs/{}", queued["id"]);
    d.meet("/api/v1/jobs/{id}", get(&idle, &job), 200).await;
    let claimed = idle.queue.claim("w", Duration::from_secs(60), 0).await.unwrap().unwrap();
    assert_eq!(d.meet("/api/v1/jobs/{id}", get(&idle, &job), 200).await["state"], "running");
    idle.queue.end(&claimed, &Ending::Failed(Outcome::failed(1, "no such event"))).await.unwrap();
    let failed = d.meet("/api/v1/jobs/{id}", get(&idle, &job), 200).await;
    assert_eq!((&failed["state"], &failed["outcome"]["error"]), (&json!("failed"), &json!("no such event")));
    d.meet("/api/v1/jobs/{id}", get(&idle, "/api/v1/jobs/99999"), 404).await;
    d.meet("/api/v1/jobs/{id}", get(&idle, "/api/v1/jobs/x"), 400).await;
    db.run("DELETE FROM ingest_jobs").await;

    // an event that is imported
    let busy = Server::start(&db, Some(&mock), limits(), None).await;
    let whole = json!({"track": "testtrack", "event_id": EVENT});
    let ended = d.meet(IMPORT, post(&busy.url, "?wait=60", &whole), 200).await;
    assert_eq!((&ended["state"], &ended["outcome"]["written"]), (&json!("completed"), &json!(5)), "{ended:#}");
    let again = d.meet(IMPORT, post(&busy.url, "", &whole), 200).await;
    assert_eq!(again["id"], ended["id"], "the same request is the same job");
    let state = d.meet("/api/v1/events/{id}", get(&busy, "/api/v1/events/700"), 200).await;
    assert_eq!(
        (&state["ingest_depth"], &state["written_races"], &state["job"]["id"]),
        (&json!("laps_full"), &json!(5), &ended["id"])
    );
    let state = d.meet("/api/v1/events/{id}", get(&busy, "/api/v1/events/700?request=not-a-job"), 200).await;
    assert!(state.get("job").is_none(), "a request that never came has no job: {state}");
    d.meet("/api/v1/events/{id}", get(&busy, "/api/v1/events/1"), 404).await;
    d.meet("/api/v1/events/{id}", get(&busy, "/api/v1/events/18446744073709551615"), 404).await;
    d.meet("/api/v1/jobs/{id}", get(&busy, "/api/v1/jobs/18446744073709551615"), 404).await;
    d.meet("/api/v1/events/{id}", get(&busy, "/api/v1/events/x"), 400).await;
    d.meet("/api/v1/events/{id}", get(&busy, "/api/v1/events/700?request=x"), 422).await;
    let found = d.meet("/api/v1/events", get(&busy, "/api/v1/events?query=TESTTRACK"), 200).await;
    assert_eq!((&found["events"][0]["event_id"], &found["more"]), (&json!(EVENT), &json!(false)));
    let none = d.meet("/api/v1/events", get(&busy, "/api/v1/events?query=%25"), 200).await;
    assert_eq!(none["events"], json!([]), "a percent sign is no wildcard");
    d.meet("/api/v1/events", get(&busy, "/api/v1/events?limit=x"), 400).await;
    d.meet("/api/v1/events", get(&busy, "/api/v1/events?limit=0"), 422).await;

    // operations
    d.meet("/healthz", get(&busy, "/healthz"), 200).await;
    d.meet("/readyz", get(&busy, "/readyz"), 200).await;
    d.meet("/api/v1/openapi.json", get(&busy, "/api/v1/openapi.json"), 200).await;
    let metrics = d.meet("/metrics", get(&busy, "/metrics"), 200).await;
    let metrics = metrics.as_str().unwrap();
    for line in [
        "ingest_jobs_queued 0",
        "ingest_jobs_running 0",
        "ingest_http_requests_total{method=\"POST\",route=\"/api/v1/events/ingest\",status=\"200\"} 2",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} in {metrics}");
    }
    busy.end().await;

    // what all have in common
    let closed = Server::start(&db, None, limits(), Some(TOKEN)).await;
    let full = Server::start(&db, None, Limits { rate: 1, ..limits() }, None).await;
    for (path, call) in all(&closed) {
        d.meet(path, call, 401).await;
    }
    for (path, call) in all(&full) {
        // At one request a second the second one is too many, unless this machine is very slow.
        loop {
            let response = call.try_clone().unwrap().send().await.unwrap();
            if response.status() == 429 {
                let method = call.try_clone().unwrap().build().unwrap().method().as_str().to_lowercase();
                d.take(&method, path, response).await;
                break;
            }
        }
    }
    crowded(&mut d, &db).await;
    idle.tell_to_end();
    // The connection that is open already is still served.
    assert_eq!(d.declared().difference(&d.met).collect::<Vec<_>>(), [&("get".to_owned(), "/readyz".to_owned(), 503)]);
    idle.end().await;
    unready(&mut d, &db).await;
    assert_eq!(d.declared(), d.met);
}

/// A body that does not come.
async fn slow_body(d: &mut Document, server: &Server) {
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = "POST /api/v1/events/ingest HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 40\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 408"), "{head}");
    d.check("post", IMPORT, 408, "application/problem+json", &serde_json::from_str(body).unwrap());
}

/// As many requests as may be are being answered: one waits for a job that nobody works on.
async fn crowded(d: &mut Document, db: &crate::common::Db) {
    db.run("DELETE FROM ingest_jobs").await;
    let server = Server::start(db, None, Limits { in_flight: 1, ..limits() }, None).await;
    let waits = tokio::spawn(answer(post(&server.url, "?wait=600", &json!({"track": "t", "event_id": 1}))));
    crate::help::until("the job", async || db.text("SELECT count(*)::text FROM ingest_jobs").await == "1").await;
    for (path, call) in all(&server) {
        assert_eq!(d.meet(path, call, 503).await["code"], "busy");
    }
    assert_eq!(answer(get(&server, "/healthz")).await.0, 200, "whoever asks how it is, is answered");
    server.tell_to_end();
    let (status, job) = waits.await.unwrap();
    assert_eq!((status, &job["state"]), (202, &json!("queued")), "who waits is told how it stands");
    server.end().await;
}

async fn unready(d: &mut Document, db: &crate::common::Db) {
    let server = Server::start(db, None, limits(), None).await;
    db.run("ALTER TABLE ingest_jobs RENAME TO other").await;
    let problem = d.meet("/readyz", get(&server, "/readyz"), 503).await;
    assert_eq!(problem["code"], "database");
    let problem = d.meet(IMPORT, post(&server.url, "", &json!(request(1))), 503).await;
    assert_eq!(problem["code"], "database");
    server.end().await;
}
