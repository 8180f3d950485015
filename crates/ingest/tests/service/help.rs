//! A mock of LiveRC with one event, servers in this process, workers in others.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use contract::feed::Record;
use ingest::metrics::Metrics;
use ingest::pipeline::Source;
use ingest::probe::Probe;
use ingest::service::model::ImportRequest;
use ingest::service::queue::Queue;
use ingest::service::server::{Limits, Parts, Token, serve};
use ingest::service::worker::{Engine, WorkSettings, Workers};
use ingest::settings::{Profile, Settings};
use ingest::store::Store;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use wiremock::matchers::query_param;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::common::Db;

const EVENT_PAGE: &str = include_str!("../../fixtures/pages/event-raw.html");
const ENTRIES: &str = include_str!("../../fixtures/pages/entry-list-raw.html");
const RACE: &str = include_str!("../../fixtures/pages/race-raw.html");

/// The event that the mock has, of 5 races.
pub const EVENT: u64 = 700;

/// The races of the event page: id, number, round, and what their page calls them.
const RACES: [(&str, &str, &str, &str); 5] = [
    ("9005", "3", "Main Events", "Junior"),
    ("9004", "2", "Main Events", "Stock (17.5) Buggy A-Main"),
    ("9003", "1", "Main Events", "1/8 Truggy A3-Main"),
    ("9002", "2", "Qualifier Round 1", "1/8 Truggy (Heat 2/2)"),
    ("9001", "1", "Qualifier Round 1", "1/8 Truggy (Heat 1/2)"),
];

/// A mock of LiveRC. `bad` is a race whose page cannot be read.
pub async fn site(bad: Option<&str>) -> MockServer {
    let server = MockServer::start().await;
    let page = |text: &str| ResponseTemplate::new(200).set_body_raw(text, "text/html");
    let event = Mock::given(query_param("p", "view_event")).and(query_param("id", "700"));
    event.respond_with(page(EVENT_PAGE)).mount(&server).await;
    Mock::given(query_param("p", "view_entry_list")).respond_with(page(ENTRIES)).mount(&server).await;
    for (id, number, round, class) in RACES {
        let text = RACE
            .replace("Stock (17.5) Buggy A-Main", class)
            .replace("Round: Main Events", &format!("Round: {round}"))
            .replace("Race #2]", &format!("Race #{number}]"))
            .replace("white;\">2</div>", &format!("white;\">{number}</div>"));
        let text = if bad == Some(id) { "<html>nothing that is a race</html>" } else { text.as_str() };
        let given = Mock::given(query_param("p", "view_race_result")).and(query_param("id", id));
        given.respond_with(page(text)).mount(&server).await;
    }
    server
}

/// How often the mock was asked for the page of each race.
pub async fn asked(site: &MockServer) -> Vec<(String, usize)> {
    let requests = site.received_requests().await.unwrap();
    let of = |id: &str| {
        let is = |r: &&wiremock::Request| r.url.query().unwrap_or_default() == format!("p=view_race_result&id={id}");
        requests.iter().filter(is).count()
    };
    RACES.iter().map(|(id, ..)| ((*id).to_owned(), of(id))).collect()
}

pub fn request(event_id: u64) -> ImportRequest {
    ImportRequest { track: "testtrack".to_owned(), event_id, refresh: false }
}

pub fn queue(db: &Db) -> Queue {
    let settings = Settings::of(Profile::Fast).unwrap().database;
    Queue::new(&db.url, &settings, Arc::default()).unwrap()
}

/// Looks until something is so.
pub async fn until<F: Future<Output = bool>>(what: &str, mut is: impl FnMut() -> F) {
    let begun = std::time::Instant::now();
    while !is().await {
        assert!(begun.elapsed() < Duration::from_secs(120), "never came: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A server in this process, with so many workers.
pub struct Server {
    pub url: String,
    pub queue: Queue,
    stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// Limits that no test meets by chance.
pub fn limits() -> Limits {
    Limits { rate: 0, ..Limits::default() }
}

pub const QUICK: WorkSettings = WorkSettings {
    jobs: 1,
    lease: Duration::from_secs(20),
    attempts: 3,
    backoff: Duration::from_millis(20),
    backoff_cap: Duration::from_millis(50),
    takeovers: 3,
    track_jobs: 0,
    keep: Duration::from_secs(86_400),
};

pub fn engine_settings(site: &str) -> Settings {
    let own = [
        ("liverc.base_url", site),
        ("retry_base", "1ms"),
        ("retry_cap", "10ms"),
        ("lock_wait", "500ms"),
        ("lock_lease", "2s"),
    ];
    Settings::with(Profile::Fast, &own).unwrap()
}

impl Server {
    pub async fn start(db: &Db, site: Option<&MockServer>, limits: Limits, token: Option<&str>) -> Self {
        Self::start_at(db, site, limits, token, "127.0.0.1:0").await
    }

    pub async fn start_at(db: &Db, site: Option<&MockServer>, limits: Limits, token: Option<&str>, at: &str) -> Self {
        let settings = engine_settings(&site.map_or("http://127.0.0.1:9".to_owned(), MockServer::uri));
        let metrics = Arc::new(Metrics::default());
        let store = Store::new(&db.url, settings.database, Arc::clone(&metrics)).unwrap();
        let client = Source::client(&settings.liverc, &settings.retry).unwrap();
        let queue = queue(db);
        let engine = Engine { store, client, settings, probe: Arc::new(Probe::off()) };
        let work = WorkSettings { jobs: u32::from(site.is_some()), ..QUICK };
        let workers = Workers::new(queue.clone(), engine, work);
        let signals = Arc::new(queue.listen());
        let listener = tokio::net::TcpListener::bind(at).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let parts = Parts {
            queue: queue.clone(),
            signals: Arc::clone(&signals),
            workers: Arc::clone(&workers),
            metrics,
            limits,
            token: token.map(|t| Token::new(t).unwrap()),
        };
        let serving = tokio::spawn(serve(listener, parts, stop.clone()));
        let working = tokio::spawn({
            let stop = stop.clone();
            async move { workers.work(&signals, stop).await.unwrap() }
        });
        Self { url, queue, stop, tasks: vec![serving, working] }
    }

    /// Tells it to end, without waiting for that.
    pub fn tell_to_end(&self) {
        self.stop.cancel();
    }

    pub async fn end(mut self) {
        self.stop.cancel();
        for task in self.tasks.drain(..) {
            task.await.unwrap();
        }
    }
}

pub fn http() -> reqwest::Client {
    ingest::liverc::client::install_tls_provider();
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

/// Status and body of an answer.
pub async fn answer(call: reqwest::RequestBuilder) -> (u16, Value) {
    let response = call.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

pub fn post(server: &str, query: &str, body: &Value) -> reqwest::RequestBuilder {
    let url = format!("{server}/api/v1/events/ingest{query}");
    http().post(url).header("content-type", "application/json").body(body.to_string())
}

/// The program in a process of its own.
pub struct Process {
    child: Child,
    feed: PathBuf,
    _dir: tempfile::TempDir,
    /// Its first line.
    pub said: String,
}

impl Process {
    pub fn start(db: &Db, site: &MockServer, args: &[&str], env: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let feed = dir.path().join("feed");
        let mut command = Command::new(cargo_bin!("ingest"));
        command.env("DATABASE_URL", &db.url).env("LIVERC_BASE_URL", site.uri()).env("HARNESS_FEED", &feed);
        command.args(args).args(["--commit-races", "1", "--writers", "1", "--lock-wait", "2s", "--lock-lease", "2s"]);
        command.args(["--job-backoff", "20ms", "--jobs", "1"]).envs(env.iter().copied());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        Self { child, feed, _dir: dir, said: said.trim().to_owned() }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.said.strip_prefix("listening on ").unwrap().to_owned()
    }

    pub fn records(&self) -> Vec<Record> {
        let text = std::fs::read_to_string(&self.feed).unwrap_or_default();
        contract::feed::read(&text).0.into_iter().map(|l| l.record).collect()
    }

    /// Waits until it has stopped or killed itself at the step that it was armed with.
    pub async fn armed_step(&self) {
        let reached = || self.records().iter().any(|r| matches!(r, Record::Step(s) if s.armed.is_some()));
        until("the armed step", async || reached()).await;
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
