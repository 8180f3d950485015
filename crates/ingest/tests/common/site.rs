//! A site of one event over HTTP, and the binary that ingests it.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use contract::feed::Record;
use wiremock::matchers::query_param;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::Db;

pub const EVENT: &str = include_str!("../../fixtures/pages/event-raw.html");
pub const ENTRIES: &str = include_str!("../../fixtures/pages/entry-list-raw.html");
pub const RACE: &str = include_str!("../../fixtures/pages/race-raw.html");

/// The races of the event page: id, number, round, and what their page calls them.
pub const RACES: [(&str, &str, &str, &str); 5] = [
    ("9005", "3", "Main Events", "Junior"),
    ("9004", "2", "Main Events", "Stock (17.5) Buggy A-Main"),
    ("9003", "1", "Main Events", "1/8 Truggy A3-Main"),
    ("9002", "2", "Qualifier Round 1", "1/8 Truggy (Heat 2/2)"),
    ("9001", "1", "Qualifier Round 1", "1/8 Truggy (Heat 1/2)"),
];

pub fn race(id: &str) -> String {
    let (_, number, round, class) = RACES.iter().find(|(of, ..)| *of == id).unwrap();
    RACE.replace("Stock (17.5) Buggy A-Main", class)
        .replace("Round: Main Events", &format!("Round: {round}"))
        .replace("Race #2]", &format!("Race #{number}]"))
        .replace("white;\">2</div>", &format!("white;\">{number}</div>"))
}

pub async fn site(delay: Duration) -> MockServer {
    let server = MockServer::start().await;
    let page = |text: &str| ResponseTemplate::new(200).set_body_raw(text, "text/html").set_delay(delay);
    Mock::given(query_param("p", "view_event")).respond_with(page(EVENT)).mount(&server).await;
    Mock::given(query_param("p", "view_entry_list")).respond_with(page(ENTRIES)).mount(&server).await;
    for (id, ..) in RACES {
        let given = Mock::given(query_param("p", "view_race_result")).and(query_param("id", id));
        given.respond_with(page(&race(id))).mount(&server).await;
    }
    server
}

pub fn ingest(db: &Db, site: &MockServer, own: &[&str]) -> Command {
    let mut command = Command::new(cargo_bin!("ingest"));
    command.env("DATABASE_URL", &db.url).env("LIVERC_BASE_URL", site.uri());
    command.args(["event", "--track", "testtrack", "700"]).args(own);
    command
}

pub fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub fn feed(path: &Path) -> Vec<Record> {
    let (lines, errors) = contract::feed::read(&std::fs::read_to_string(path).unwrap());
    assert!(errors.is_empty(), "{errors:?}");
    lines.into_iter().map(|l| l.record).collect()
}

/// A page of a race that stands instead of its own until this is dropped. (wiremock's own guard takes another mock away
/// when one has a priority.)
pub struct Instead(Arc<AtomicBool>);

pub async fn instead(site: &MockServer, of: &str, answer: ResponseTemplate) -> Instead {
    let on = Arc::new(AtomicBool::new(true));
    let still = Arc::clone(&on);
    let given = Mock::given(query_param("p", "view_race_result")).and(query_param("id", of));
    let given = given.and(move |_: &wiremock::Request| still.load(Ordering::SeqCst));
    given.respond_with(answer).with_priority(1).mount(site).await;
    Instead(on)
}

impl Drop for Instead {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
