//! A database per test on one real PostgreSQL per test program.
#![allow(dead_code)]

pub mod site;

use std::sync::Arc;

use ingest::metrics::Metrics;
use ingest::model::{Entry, Event, Race};
use ingest::pipeline::{Canned, Run, Source};
use ingest::probe::Probe;
use ingest::settings::{Profile, Settings};
use ingest::store::{Recorder, Store};
use sandbox::postgres::{Choice, Database, Options, Server, Templates};
use sqlx::{Connection, PgConnection, Row};
use tokio::sync::OnceCell;

static TEMPLATES: OnceCell<Templates> = OnceCell::const_new();

/// A migrated database of one test.
pub struct Db {
    pub database: Database,
    pub url: String,
}

pub async fn database() -> Db {
    let templates = TEMPLATES
        .get_or_init(|| async {
            let server = Server::obtain(&Choice::local_first(), &in_memory(Options::default())).await.unwrap();
            Templates::new(Arc::new(server))
        })
        .await;
    database_of(templates).await
}

/// A database on a server of its own.
pub async fn database_on(options: &Options) -> Db {
    let server = Server::obtain(&Choice::local_first(), options).await.unwrap();
    database_of(&Templates::new(Arc::new(server))).await
}

/// With the data in memory, where that has room: what is tested does not depend on the disk, and most of a test's time
/// would be spent on it.
fn in_memory(options: Options) -> Options {
    Options { temporary: sandbox::postgres::memory(), ..options }
}

async fn database_of(templates: &Templates) -> Db {
    let migrate = |url: sandbox::postgres::ServerUrl| async move {
        let settings = Settings::of(Profile::Fast).unwrap().database;
        let store = Store::new(url.expose(), settings, Arc::new(Metrics::default())).unwrap();
        store.migrate().await?;
        store.close().await;
        Ok::<_, ingest::store::StoreError>(())
    };
    let template = templates.template("ingest", migrate).await.unwrap();
    let database = templates.create(&template, "test").await.unwrap();
    let url = database.engine_url().expose().to_owned();
    Db { database, url }
}

impl Db {
    pub fn store(&self, settings: &Settings) -> Store {
        Store::new(&self.url, settings.database, Arc::new(Metrics::default())).unwrap()
    }

    /// A connection of the test's own.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(self.database.admin_url().expose()).await.unwrap()
    }

    /// The first value of the first row, as text.
    pub async fn text(&self, sql: &'static str) -> String {
        let mut conn = self.connect().await;
        let row = sqlx::query(sql).fetch_one(&mut conn).await.unwrap();
        row.try_get::<Option<String>, _>(0).unwrap().unwrap_or_default()
    }

    /// Runs statements.
    pub async fn run(&self, sql: &'static str) {
        let mut conn = self.connect().await;
        sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
    }

    /// Empties every table.
    pub async fn clear(&self) {
        self.run("TRUNCATE tracks, events, drivers, ingest_events CASCADE").await;
    }

    /// Every row of every table that holds content, as text, and each row's xmin.
    pub async fn dump(&self) -> (String, String) {
        let mut conn = self.connect().await;
        let (mut content, mut versions) = (String::new(), String::new());
        for table in ["tracks", "events", "drivers", "entries", "races", "results", "laps"] {
            let sql = format!("SELECT t::text, xmin::text FROM {table} t ORDER BY 1");
            for row in sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&mut conn).await.unwrap() {
                let (text, xmin): (String, String) = (row.get(0), row.get(1));
                content.push_str(&format!("{table} {text}\n"));
                versions.push_str(&format!("{table} {text} {xmin}\n"));
            }
        }
        (content, versions)
    }
}

/// An event in memory, that one process after the other ingests.
pub struct World {
    pub event: u64,
    pub entries: Vec<Entry>,
    pub races: Vec<Race>,
    /// Races whose page cannot be read.
    pub bad: Vec<u64>,
}

impl World {
    /// An event of so many races of `results` results of `laps` laps; ids go down as they do on the page.
    pub fn new(races: u64, results: u64, laps: u32) -> Self {
        let races = (1..=races).rev().map(|id| ingest::fixture::race(id, results, laps)).collect();
        Self { event: 77, entries: ingest::fixture::entries(results), races, bad: Vec::new() }
    }

    pub fn page(&self) -> Event {
        ingest::fixture::event(self.event, &self.races)
    }

    pub fn source(&self) -> Source {
        let canned = Canned::new(self.page(), self.entries.clone(), self.races.clone());
        {
            let mut races = canned.races.lock().unwrap();
            for &race in &self.bad {
                races.insert(race, Err("no result table".to_owned()));
            }
        }
        Source::Canned(Box::new(canned))
    }

    pub fn run(&self, db: &Db, settings: &Settings, probe: Probe) -> Run {
        Run::new(self.event, db.store(settings), self.source(), settings.clone(), Arc::new(probe))
    }

    /// Ingests it once. Returns the summary and the statements that were sent.
    pub async fn ingest(&self, db: &Db, settings: &Settings) -> (contract::feed::Summary, Vec<String>) {
        let mut store = db.store(settings);
        let recorder: Recorder = store.record_statements();
        let run = Run::new(self.event, store, self.source(), settings.clone(), Arc::new(Probe::off()));
        let summary = run.execute().await;
        let statements = recorder.lock().unwrap().clone();
        (summary, statements)
    }
}

/// Settings under which a failed attempt is not waited for.
pub fn settings(profile: Profile, own: &[(&str, &str)]) -> Settings {
    let mut all = vec![("retry_base", "1ms"), ("retry_cap", "20ms"), ("lock_wait", "200ms")];
    all.extend_from_slice(own);
    Settings::with(profile, &all).unwrap()
}

pub const PROFILES: [Profile; 3] = [Profile::Before, Profile::After, Profile::Fast];
