//! The databases, the races, and how each case is run and checked.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use contract::feed::Counts;
use ingest::fixture;
use ingest::metrics::Metrics;
use ingest::model::Race;
use ingest::pipeline::{Former, ReadyUnit};
use ingest::probe::Probe;
use ingest::settings::{Profile, Settings};
use ingest::store::{
    self, Depth, DriversWritten, EventLock, KnownDrivers, Session, Store, UnitContext, UnitOutcome, UnitRace,
};
use nix::time::{ClockId, clock_gettime};
use sandbox::postgres::{Choice, Database, Options, Server, ServerUrl, Templates, wal_position};
use sandbox::proxy::{Effect, Protocol, Proxy, Rule};
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres, Row};

use tokio::sync::mpsc;

use crate::case::Case;
use crate::report::Sample;

const EVENT: u64 = 77;
/// As in the scenarios very-large-event and huge-event.
const RESULTS: u64 = 10;
const LAPS: u32 = 50;
/// Who drives: ten of these in each race.
const DRIVERS: u64 = 300;
const ROUND_TRIP: Duration = Duration::from_millis(1);
const CHUNK: usize = 128 * 1024;

/// Rows of `laps` as a number each, and their digest.
const DIGEST: &str = "SELECT count(*)::text || ' ' || coalesce(sum(hashtextextended(l::text, 0)), 0) FROM laps l";

/// A database, and how it is reached.
struct Place {
    _database: Database,
    admin: ServerUrl,
    near: ServerUrl,
    far: ServerUrl,
}

/// The connections of a case. They stay from round to round, so that statements are prepared and planned and catalogues read,
/// as in a service that has been running for a while: for the engine and for the reference alike.
#[expect(clippy::large_enum_variant, reason = "there are nine of them")]
enum Party {
    Reference(PoolConnection<Postgres>),
    Engine { store: Store, metrics: Arc<Metrics>, main: Option<Session>, writers: Vec<Session>, event: u64 },
}

/// Everything that is needed to run a case.
pub struct World {
    settings: Settings,
    /// The races, and what they become when one in forty changes.
    revisions: [Vec<Race>; 2],
    /// Their laps as COPY data.
    encoded: Vec<Vec<u8>>,
    reference: Place,
    by_row: Place,
    fresh: Place,
    kept: Place,
    /// Which revision `kept` holds.
    holds: usize,
    parties: HashMap<Case, Party>,
    /// Digest of the laps of each revision, by a way of our own.
    digests: [String; 2],
    _proxy: Proxy,
}

fn races(laps: u32) -> Vec<Race> {
    let count = u64::from(laps) / (RESULTS * u64::from(LAPS));
    let drawn = |race: u64, i: u64| (race * 7 + i * 31) % DRIVERS;
    (1..=count)
        .rev()
        .map(|id| {
            let mut race = fixture::race(id, RESULTS, LAPS);
            for (i, result) in (0..).zip(&mut race.results) {
                result.driver_id = Some(1000 + drawn(id, i));
                result.name = fixture::name(1000 + drawn(id, i));
            }
            race
        })
        .collect()
}

/// One race in forty is corrected: a lap's time, and a last lap goes or comes.
fn corrected(races: &[Race]) -> Vec<Race> {
    let mut corrected = races.to_vec();
    for race in corrected.iter_mut().step_by(40) {
        race.results[3].laps[20].time_ms += 500;
        race.results[4].laps.pop();
    }
    corrected
}

/// Laps as COPY data, by an encoder of its own.
fn encoded(races: &[Race]) -> Vec<Vec<u8>> {
    let mut chunks = vec![b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec()];
    for race in races {
        for result in &race.results {
            let id = store::result_id(race.listed.id, result);
            for lap in &result.laps {
                let chunk = chunks.last_mut().unwrap();
                chunk.extend(6i16.to_be_bytes());
                chunk.extend(8i32.to_be_bytes());
                chunk.extend(id.to_be_bytes());
                let values = [Some(lap.number), Some(lap.time_ms), lap.position, lap.pace_laps, lap.pace_ms];
                for value in values.map(Option::unwrap) {
                    chunk.extend(4i32.to_be_bytes());
                    chunk.extend(value.to_be_bytes());
                }
                if chunk.len() > CHUNK {
                    chunks.push(Vec::with_capacity(CHUNK + 64));
                }
            }
        }
    }
    chunks.last_mut().unwrap().extend((-1i16).to_be_bytes());
    chunks
}

fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap().into()
}

async fn sql(conn: &mut PgConnection, text: &str) {
    sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(conn).await.unwrap();
}

async fn copy(conn: &mut PgConnection, chunks: &[Vec<u8>]) {
    let into = "COPY laps (result_id, number, time_ms, position, pace_laps, pace_ms) FROM STDIN (FORMAT binary)";
    let mut copy = conn.copy_in_raw(into).await.unwrap();
    for chunk in chunks {
        copy.send(chunk.as_slice()).await.unwrap();
    }
    copy.finish().await.unwrap();
}

/// `WRITE_PATH_STATEMENTS=1`: what the server says of each statement, after each case.
fn statements_wanted() -> bool {
    std::env::var_os("WRITE_PATH_STATEMENTS").is_some()
}

async fn tell_statements(admin: &mut PgConnection, case: Case, took: Duration) {
    const SQL: &str = "\
SELECT format('%6s calls %9s ms  %s', calls, round((total_exec_time + total_plan_time)::numeric, 3), left(regexp_replace(query, '\\s+', ' ', 'g'), 110))
FROM pg_stat_statements JOIN pg_database d ON d.oid = dbid WHERE d.datname = current_database() AND calls > 0
  AND query !~ 'pg_stat_statements|pg_current_wal' ORDER BY total_exec_time + total_plan_time DESC LIMIT 12";
    println!("{}: {took:?}", case.name());
    for row in sqlx::query(SQL).fetch_all(admin).await.unwrap() {
        println!("  {}", row.get::<String, _>(0));
    }
}

impl Place {
    async fn connect(&self, url: &ServerUrl) -> PgConnection {
        PgConnection::connect(url.expose()).await.unwrap()
    }

    async fn clear(&self) {
        let mut conn = self.connect(&self.admin).await;
        sql(&mut conn, "TRUNCATE tracks, events, drivers, ingest_events CASCADE").await;
        conn.close().await.unwrap();
    }

    async fn digest(&self) -> String {
        let mut conn = self.connect(&self.admin).await;
        let digest = sqlx::query(DIGEST).fetch_one(&mut conn).await.unwrap().get(0);
        conn.close().await.unwrap();
        digest
    }
}

impl World {
    /// Makes the databases.
    pub async fn new(laps: u32) -> Self {
        let settings = Settings::of(Profile::Fast).unwrap();
        let server = Server::obtain(&Choice::local_first(), &Options::default()).await.unwrap();
        let templates = Templates::new(Arc::new(server));
        let migrate = |url: ServerUrl| async move {
            let settings = Settings::of(Profile::Fast).unwrap().database;
            let store = Store::new(url.expose(), settings, Arc::default()).unwrap();
            store.migrate().await?;
            store.close().await;
            Ok::<_, ingest::store::StoreError>(())
        };
        let template = templates.template("ingest", migrate).await.unwrap();
        let upstream = templates.server().admin_url();
        let upstream = format!("{}:{}", upstream.host(), upstream.port()).parse().unwrap();
        let rules = vec![Rule::always(Effect::rtt(ROUND_TRIP))];
        let proxy = Proxy::start(upstream, Protocol::Postgres, rules, 1).await.unwrap();
        let place = async |name| {
            let database = templates.create(&template, name).await.unwrap();
            let (admin, near) = (database.admin_url(), database.engine_url());
            let far = near.with_address(proxy.addr());
            Place { _database: database, admin, near, far }
        };
        let (reference, by_row) = (place("reference").await, place("by-row").await);
        let (fresh, kept) = (place("fresh").await, place("kept").await);
        let first = races(laps);
        assert_eq!(first.iter().map(Race::lap_count).sum::<usize>(), laps as usize, "a multiple of 500");
        let revisions = [first.clone(), corrected(&first)];
        let encoded = encoded(&first);
        let mut world = Self {
            settings,
            revisions,
            encoded,
            reference,
            by_row,
            fresh,
            kept,
            holds: 0,
            parties: HashMap::new(),
            digests: Default::default(),
            _proxy: proxy,
        };
        world.prepare().await;
        world
    }

    /// Fills the databases of the references with the parents of the laps, and `kept` with everything.
    async fn prepare(&mut self) {
        for revision in [1, 0] {
            let mut party = self.engine(&self.kept.near, 2).await;
            self.write(&mut party, &self.revisions[revision]).await;
            // The digest is that of rows which our own encoder made.
            let mut conn = self.kept.connect(&self.kept.admin).await;
            sql(&mut conn, "BEGIN; DELETE FROM laps").await;
            copy(&mut conn, &encoded(&self.revisions[revision])).await;
            self.digests[revision] = sqlx::query(DIGEST).fetch_one(&mut conn).await.unwrap().get(0);
            sql(&mut conn, "ROLLBACK").await;
            sql(&mut conn, "VACUUM ANALYZE").await;
            assert_eq!(self.kept.digest().await, self.digests[revision]);
            let count = self.revisions[revision].iter().map(Race::lap_count).sum::<usize>();
            assert_eq!(self.digests[revision].split(' ').next(), Some(count.to_string().as_str()));
        }
        assert_ne!(self.digests[0], self.digests[1]);
        for place in [&self.reference, &self.by_row] {
            let mut party = self.engine(&place.near, 2).await;
            self.write(&mut party, &self.revisions[0]).await;
        }
        let mut conn = self.by_row.connect(&self.by_row.admin).await;
        sql(
            &mut conn,
            "DROP TRIGGER laps_have_results ON laps; DROP TRIGGER laps_keep_results ON laps; \
             DROP TRIGGER results_take_laps ON results; DROP TRIGGER results_keep_keys ON results; \
             DROP TRIGGER results_truncate_laps ON results; ALTER TABLE laps ADD CONSTRAINT laps_result_id_fkey \
             FOREIGN KEY (result_id) REFERENCES results ON DELETE CASCADE",
        )
        .await;
    }

    fn place(&self, case: Case) -> &Place {
        match case {
            Case::Reference | Case::FarReference => &self.reference,
            Case::RowKeyReference => &self.by_row,
            Case::Fresh | Case::FreshTwo | Case::FarFresh | Case::FarFreshTwo => &self.fresh,
            Case::Unchanged | Case::Changed => &self.kept,
        }
    }

    /// Runs a case once, and checks what it left.
    pub async fn measure(&mut self, case: Case) -> Sample {
        let party = self.parties.remove(&case);
        let place = self.place(case);
        let mut admin = place.connect(&place.admin).await;
        if case.is_reference() {
            sql(&mut admin, "TRUNCATE laps").await;
        } else if place.admin == self.fresh.admin {
            place.clear().await;
        }
        let url = if case.is_far() { &place.far } else { &place.near };
        let revision = if case == Case::Changed {
            1 - self.holds
        } else if case == Case::Unchanged {
            self.holds
        } else {
            0
        };
        let mut party = match party {
            Some(party) => party,
            None if case.is_reference() => {
                // Of the engine's own pool: with the same session settings, and sockets that send at once.
                let store = Store::new(url.expose(), self.settings.database, Arc::default()).unwrap();
                Party::Reference(store.pool().acquire().await.unwrap())
            }
            None => self.engine(url, case.writers()).await,
        };
        self.warm_up(&mut party, &mut admin).await;
        sql(&mut admin, "CHECKPOINT").await;
        if statements_wanted() {
            sql(&mut admin, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements; SELECT pg_stat_statements_reset()")
                .await;
        }
        let before = wal_position(&mut admin).await.unwrap();
        let (took, cpu, statements) = match &mut party {
            Party::Reference(conn) => {
                let (begun, used) = (Instant::now(), cpu());
                sql(conn, "BEGIN").await;
                copy(conn, &self.encoded).await;
                sql(conn, "COMMIT").await;
                (begun.elapsed(), cpu() - used, 3)
            }
            Party::Engine { .. } => self.write(&mut party, &self.revisions[revision]).await,
        };
        let wal = wal_position(&mut admin).await.unwrap().bytes_since(before);
        if statements_wanted() {
            tell_statements(&mut admin, case, took).await;
        }
        admin.close().await.unwrap();
        assert_eq!(place.digest().await, self.digests[revision], "{case:?} left other rows");
        if case == Case::Changed {
            self.holds = revision;
        }
        self.parties.insert(case, party);
        Sample { took, cpu, statements, wal }
    }

    async fn engine(&self, url: &ServerUrl, writers: usize) -> Party {
        let metrics = Arc::new(Metrics::default());
        let store = Store::new(url.expose(), self.settings.database, Arc::clone(&metrics)).unwrap();
        let main = Session::acquire(&store).await.unwrap();
        let mut sessions = Vec::new();
        for _ in 0..writers {
            sessions.push(Session::acquire(&store).await.unwrap());
        }
        Party::Engine { store, metrics, main: Some(main), writers: sessions, event: EVENT }
    }

    /// Everything once over the connections that are measured, in tables that have just been emptied: an event of a few
    /// laps, and its correction, for the engine, a lap for the reference. Nothing of it stays.
    async fn warm_up(&self, party: &mut Party, admin: &mut PgConnection) {
        match party {
            Party::Reference(conn) => {
                let mut lap = self.encoded[0][..19 + 2 + 12 + 5 * 8].to_vec();
                lap.extend((-1i16).to_be_bytes());
                sql(conn, "BEGIN").await;
                copy(conn, &[lap]).await;
                sql(conn, "ROLLBACK").await;
            }
            Party::Engine { event, writers, .. } => {
                *event = EVENT + 1;
                let id = |n| 1_000_000 + n;
                // Each writer gets a unit, or more.
                let count = 20 * writers.len() as u64 * 3;
                let mut races: Vec<_> = (0..count).map(|n| fixture::race(id(n), 1, 2)).collect();
                for _ in 0..3 {
                    self.write(party, &races).await;
                    races.iter_mut().for_each(|race| race.results[0].laps[0].time_ms += 1);
                }
                let Party::Engine { event, .. } = party else { unreachable!() };
                *event = EVENT;
                sql(admin, &format!("DELETE FROM events WHERE id = {}", EVENT + 1)).await;
            }
        }
    }

    /// Brings a database to a revision as the pipeline does; the time, that on the processor, and the statements.
    async fn write(&self, party: &mut Party, races: &[Race]) -> (Duration, Duration, u64) {
        let Party::Engine { store, metrics, main, writers, event } = party else { unreachable!() };
        let (races, id) = (races.to_vec(), *event);
        let page = fixture::event(id, &races);
        let laps = races.iter().map(Race::lap_count).sum::<usize>() as u64;
        let (lock, mut session) = EventLock::take(store, main.take().unwrap(), id).await.unwrap();
        let fence = lock.fence();
        let statements = metrics.statements.get();
        let drivers = Arc::new(KnownDrivers::default());
        let (begun, used) = (Instant::now(), cpu());
        let recorded = store::record_event(&mut session, &page, fence, &Mutex::default()).await.unwrap();
        let (units, queue) = mpsc::channel::<ReadyUnit>(1);
        let queue = Arc::new(tokio::sync::Mutex::new(queue));
        let writing: Vec<_> = std::mem::take(writers)
            .into_iter()
            .map(|session| {
                let (queue, drivers, metrics) = (Arc::clone(&queue), Arc::clone(&drivers), Arc::clone(metrics));
                tokio::spawn(write_units(session, queue, (id, fence), drivers, metrics))
            })
            .collect();
        let mut former = Former::new(self.settings.unit);
        for race in races {
            let mut race = UnitRace::new(race, false).unwrap();
            let checkpoint = recorded.checkpoints.get(&race.race().listed.id);
            race.set_stored(checkpoint.is_some_and(|c| c.stored));
            if !checkpoint.is_some_and(|c| c.speaks_of(&race)) {
                for unit in former.push(race) {
                    units.send(unit).await.unwrap();
                }
            }
        }
        if let Some(unit) = former.finish() {
            units.send(unit).await.unwrap();
        }
        drop(units);
        let mut counts = Counts::default();
        for writer in writing {
            let (session, written) = writer.await.unwrap();
            writers.push(session);
            counts += written;
        }
        let (none, before) = (HashSet::new(), AtomicU64::new(0));
        let done = store::complete(&mut session, &page, fence, recorded.depth, &none, &before).await.unwrap();
        let measured = (begun.elapsed(), cpu() - used, metrics.statements.get() - statements);
        assert!(done.full);
        if recorded.depth == Depth::None {
            assert_eq!(counts, Counts { inserted: laps, ..Counts::default() });
        } else if id == EVENT {
            assert!(counts.inserted <= laps / 500 && counts.updated <= laps / 500 && counts.deleted <= laps / 500);
        }
        *main = Some(session);
        lock.release().await;
        measured
    }

    /// `ingest verify` on what was written.
    pub async fn verify(&self) {
        for place in [&self.fresh, &self.kept] {
            let store = Store::new(place.near.expose(), self.settings.database, Arc::default()).unwrap();
            let mut session = Session::acquire(&store).await.unwrap();
            let verification = store::verify(&mut session, Some(EVENT)).await.unwrap();
            assert_eq!(verification.findings, []);
            assert_eq!(verification.looked.hashed, self.revisions[0].len() as u64);
            session.close().await;
            store.close().await;
        }
    }
}

/// A writer of the pipeline, without its retries: here nothing fails.
async fn write_units(
    mut session: Session,
    queue: Arc<tokio::sync::Mutex<mpsc::Receiver<ReadyUnit>>>,
    (event, fence): (u64, i64),
    known: Arc<KnownDrivers>,
    metrics: Arc<Metrics>,
) -> (Session, Counts) {
    let (probe, mut counts) = (Probe::off(), Counts::default());
    loop {
        let unit = queue.lock().await.recv().await;
        let Some(ReadyUnit { number, settings, races }) = unit else { break };
        let context = UnitContext { event, fence, unit: number, settings, probe: &probe, metrics: &metrics };
        let (mut drivers, mut outcome) = (DriversWritten::default(), UnitOutcome::default());
        store::write_drivers(&mut session, &settings, &races, &known, &mut drivers).await.unwrap();
        store::write_unit(&mut session, &context, &races, drivers.counts, &mut outcome).await.unwrap();
        counts += outcome.changes.laps;
    }
    (session, counts)
}
