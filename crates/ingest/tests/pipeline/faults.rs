//! Lost connections, commits in doubt, locks and stalled engines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;

use contract::Step;
use ingest::probe::Probe;
use ingest::settings::Profile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::block_in_place;

use crate::common::{Db, PROFILES, World, database, settings};

/// COMMIT as the driver sends it.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Cut {
    /// The COMMIT never gets there.
    Before,
    /// It does, and the answer is lost.
    After,
}

/// A proxy that cuts the connection at the first `cuts` COMMITs of units.
async fn cutting(db: &Db, cut: Cut, nth: u32) -> (String, Arc<AtomicU32>) {
    let upstream = format!("{}:{}", db.database.engine_url().host(), db.database.engine_url().port());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = db.database.engine_url().with_address(listener.local_addr().unwrap()).expose().to_owned();
    let commits = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&commits);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&upstream).await.unwrap();
            tokio::spawn(pump(client, server, cut, nth, Arc::clone(&seen)));
        }
    });
    (url, commits)
}

async fn pump(mut client: TcpStream, mut server: TcpStream, cut: Cut, nth: u32, seen: Arc<AtomicU32>) {
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let n = read.unwrap_or(0);
                let commit = up[..n].ends_with(COMMIT) && seen.fetch_add(1, Ordering::SeqCst) + 1 == nth;
                if n == 0 || (commit && cut == Cut::Before) || server.write_all(&up[..n]).await.is_err() {
                    return;
                }
                if commit {
                    let _ = server.read(&mut down).await; // the confirmation, which nobody gets
                    return;
                }
            }
            read = server.read(&mut down) => {
                let n = read.unwrap_or(0);
                if n == 0 || client.write_all(&down[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_in_doubt_is_settled_and_nothing_is_doubled() {
    for profile in PROFILES {
        let world = World::new(4, 3, 5);
        let settings = settings(profile, &[("commit_races", "2"), ("writers", "1")]);
        let reference = database().await;
        let (undisturbed, _) = world.ingest(&reference, &settings).await;
        let (expected, _) = reference.dump().await;
        let mut db = reference;
        for cut in [Cut::Before, Cut::After] {
            let all = if profile == Profile::Fast { 5 } else { 7 };
            for nth in 1..=all {
                db.clear().await;
                let (url, commits) = cutting(&db, cut, nth).await;
                db.url = url;
                let (summary, _) = world.ingest(&db, &settings).await;
                assert_eq!(summary.exit, 0, "{profile} {cut:?} {nth}: {:?}", summary.error);
                assert_eq!(db.dump().await.0, expected, "{profile} {cut:?} {nth}");
                assert!(commits.load(Ordering::SeqCst) >= nth, "{profile} {cut:?} {nth} was reached");
                assert_eq!(summary.written, 4, "{profile} {cut:?} {nth}");
                let (rows, plain) = (summary.rows, undisturbed.rows);
                assert_eq!(rows.drivers.inserted, plain.drivers.inserted, "{profile} {cut:?} {nth}");
                assert_eq!((rows.entries, rows.races), (plain.entries, plain.races), "{profile} {cut:?} {nth}");
                assert_eq!((rows.results, rows.laps), (plain.results, plain.laps), "{profile} {cut:?} {nth}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn terminated_backends_are_survived_at_every_step() {
    for profile in PROFILES {
        let world = World::new(2, 2, 5);
        let settings = settings(profile, &[("commit_races", "1"), ("lap_batch", "6"), ("writers", "1")]);
        let reference = database().await;
        world.ingest(&reference, &settings).await;
        let (expected, _) = reference.dump().await;
        let db = reference;
        for &step in Step::ALL {
            db.clear().await;
            let admin = db.database.admin_url().expose().to_owned();
            let (ask, asked) = channel::<()>();
            let (tell, told) = channel::<()>();
            let told = std::sync::Mutex::new(told);
            // A thread of its own, since the step waits for it.
            let terminator = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                while asked.recv().is_ok() {
                    runtime.block_on(async {
                        let mut conn = <sqlx::PgConnection as sqlx::Connection>::connect(&admin).await.unwrap();
                        let sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
                                   WHERE application_name = 'ingest' AND datname = current_database()";
                        sqlx::query(sql).execute(&mut conn).await.unwrap();
                    });
                    tell.send(()).unwrap();
                }
            });
            let probe = Probe::recording(move |reached, occurrence| {
                if (reached, occurrence) == (step, 1) {
                    ask.send(()).unwrap();
                    block_in_place(|| told.lock().unwrap().recv()).unwrap();
                }
            });
            let summary = world.run(&db, &settings, probe).execute().await;
            assert_eq!(summary.exit, 0, "{profile} {step}: {:?}", summary.error);
            assert_eq!(db.dump().await.0, expected, "{profile} {step}");
            terminator.join().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_lock_is_waited_for_and_then_75() {
    let db = database().await;
    let world = World::new(1, 1, 1);
    let own = settings(Profile::Fast, &[]);
    let store = db.store(&own);
    let session = ingest::store::Session::acquire(&store).await.unwrap();
    let (lock, _session) = ingest::store::EventLock::take(&store, session, world.event).await.unwrap();
    let (summary, _) = world.ingest(&db, &own).await;
    assert_eq!(summary.exit, 75);
    assert!(summary.error.unwrap().contains("another engine holds the lock"));
    lock.release().await;
    let (summary, _) = world.ingest(&db, &own).await;
    assert_eq!(summary.exit, 0, "{:?}", summary.error);
}

/// An engine stalls in its transaction; the server ends its session, another engine does the whole event, and then the
/// first one wakes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stalled_engine_that_wakes_overwrites_nothing() {
    for step in [Step::BeforeCommit, Step::MidBatch, Step::RaceParsed] {
        let db = database().await;
        let (old, mut new) = (World::new(2, 2, 5), World::new(2, 2, 5));
        new.races[0].results[0].laps[0].time_ms += 1000;
        let (stalled, mut is_stalled) = tokio::sync::mpsc::unbounded_channel();
        let (wake, woken) = channel::<()>();
        let woken = std::sync::Mutex::new(woken);
        let probe = Probe::recording(move |reached, occurrence| {
            if (reached, occurrence) == (step, 1) {
                stalled.send(()).unwrap();
                block_in_place(|| woken.lock().unwrap().recv()).unwrap();
            }
        });
        let own = settings(Profile::Fast, &[("lock_lease", "300ms"), ("lock_wait", "10s")]);
        let first = tokio::spawn(old.run(&db, &own, probe).execute());
        is_stalled.recv().await.unwrap();
        // What the lease does to an engine whose every thread is stopped.
        db.run(
            "SELECT pg_terminate_backend(a.pid, 5000) FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid \
             WHERE l.locktype = 'advisory'",
        )
        .await;
        let summary = new.run(&db, &own, Probe::off()).execute().await;
        assert_eq!(summary.exit, 0, "{step}: {:?}", summary.error);
        let (content, _) = db.dump().await;
        wake.send(()).unwrap();
        let late = first.await.unwrap();
        assert_eq!(late.exit, 75, "{step}: {:?}", late.error);
        assert!(late.error.unwrap().contains("another engine has taken over"), "{step}");
        assert_eq!(db.dump().await.0, content, "{step}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_at_commit_is_retried_and_one_that_stays_fails_the_race_alone() {
    for profile in PROFILES {
        let db = database().await;
        // Sequences are not rolled back, so the first two COMMITs that hold race 2 fail and no other.
        db.run(
            "CREATE SEQUENCE n; GRANT ALL ON n TO PUBLIC;
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF NEW.id = 2 AND nextval('n') <= 2 THEN RAISE EXCEPTION 'made up' USING ERRCODE = '40001'; END IF;
                 IF NEW.id = 3 THEN RAISE EXCEPTION 'made up as well'; END IF; RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON races DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .await;
        let world = World::new(4, 2, 5);
        let (summary, _) = world.ingest(&db, &settings(profile, &[])).await;
        assert_eq!((summary.exit, summary.written), (1, 3), "{profile}: {:?}", summary.error);
        assert_eq!(summary.failed.iter().map(|f| f.race).collect::<Vec<_>>(), [3]);
        assert!(summary.failed[0].cause.contains("made up as well"), "{:?}", summary.failed);
        assert_eq!(db.text("SELECT count(*)::text FROM laps").await, "30");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there_is_75_and_a_schema_that_is_not_says_what_to_do() {
    let world = World::new(1, 1, 1);
    let mut db = database().await;
    db.run("DROP TABLE laps, results, races, entries, ingest_checkpoints, ingest_events, events CASCADE").await;
    let (summary, _) = world.ingest(&db, &settings(Profile::Fast, &[])).await;
    assert_eq!(summary.exit, 1, "{:?}", summary.error);
    assert!(summary.error.unwrap().contains("run `ingest migrate`"));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    db.url = db.database.engine_url().with_address(nobody).expose().to_owned();
    // Only here: on a busy machine it takes longer than that to connect.
    let own = settings(Profile::Fast, &[("acquire_timeout", "200ms"), ("retry_attempts", "2")]);
    let (summary, _) = world.ingest(&db, &own).await;
    assert_eq!(summary.exit, 75, "{:?}", summary.error);
}
