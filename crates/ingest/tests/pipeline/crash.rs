//! Crashes at every step, and what is done after them.

use contract::Step;
use ingest::probe::Probe;
use ingest::settings::Profile;

use crate::common::{PROFILES, World, database, settings};
use crate::killer::{committed, kill_at};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crash_at_any_step_loses_nothing_and_doubles_nothing() {
    for profile in PROFILES {
        let world = World::new(4, 2, 5);
        let settings = settings(profile, &[("commit_races", "2"), ("lap_batch", "6"), ("writers", "1")]);
        let db = database().await;
        world.ingest(&db, &settings).await;
        let (expected, _) = db.dump().await;
        let mut crashes = 0;
        for &step in Step::ALL {
            for occurrence in [1, 2] {
                db.clear().await;
                let Some(lines) = kill_at(&world, &db, &settings, (step, occurrence)).await else { continue };
                crashes += 1;
                let acknowledged = committed(&lines);
                let stored = db.text("SELECT string_agg(id::text, ',' ORDER BY id DESC) FROM races").await;
                let acknowledged: Vec<_> = acknowledged.iter().map(u64::to_string).collect();
                assert_eq!(stored, acknowledged.join(","), "{profile} {step}#{occurrence}: atomic and durable");
                let full = db.text("SELECT coalesce((SELECT ingest_depth FROM events), 'absent')").await == "laps_full";
                assert_eq!(full, step == Step::EventCompleted, "{profile} {step}#{occurrence}");

                let run = world.run(&db, &settings, Probe::off());
                let summary = run.execute().await;
                assert_eq!(summary.exit, 0, "{profile} {step}#{occurrence}: {:?}", summary.error);
                let left = if full { 4 } else { 4 - acknowledged.len() as u64 };
                assert_eq!(summary.fetched, left, "{profile} {step}#{occurrence}: only what is left");
                assert_eq!(db.dump().await.0, expected, "{profile} {step}#{occurrence}");
            }
        }
        assert!(crashes >= 20, "{profile}: {crashes}");
    }
}

/// A finished event is corrected, and the engine crashes while it takes the correction in: also the races that had
/// already been stored must be looked at again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crash_amid_a_correction_loses_sight_of_no_race() {
    for profile in PROFILES {
        let old = World::new(6, 2, 5);
        let mut new = World::new(7, 2, 5);
        new.races.last_mut().unwrap().results[0].laps.pop(); // race 1, the last to be written
        let settings = settings(profile, &[("commit_races", "2"), ("writers", "1")]);
        let reference = database().await;
        new.ingest(&reference, &settings).await;
        let (expected, _) = reference.dump().await;
        let db = reference;
        for at in [(Step::EventFetched, 1), (Step::UnitBegun, 1), (Step::AfterCommit, 1), (Step::BeforeComplete, 1)] {
            db.clear().await;
            old.ingest(&db, &settings).await;
            kill_at(&new, &db, &settings, at).await.unwrap();
            let summary = new.run(&db, &settings, Probe::off()).execute().await;
            assert_eq!(summary.exit, 0, "{profile} {at:?}: {:?}", summary.error);
            assert_eq!(db.dump().await.0, expected, "{profile} {at:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_writers_crash_as_well_as_one() {
    let world = World::new(8, 2, 5);
    let settings = settings(Profile::Fast, &[("commit_races", "1"), ("writers", "3")]);
    for at in [(Step::MidBatch, 3), (Step::BeforeCommit, 4), (Step::AfterCommit, 2)] {
        let db = database().await;
        let lines = kill_at(&world, &db, &settings, at).await.unwrap();
        for race in committed(&lines) {
            let stored = db.dump().await.0;
            assert!(stored.contains(&format!("races ({race},")), "{at:?}: race {race} was acknowledged");
        }
        let summary = world.run(&db, &settings, Probe::off()).execute().await;
        assert_eq!(summary.exit, 0, "{at:?}: {:?}", summary.error);
        assert_eq!(db.text("SELECT count(*)::text FROM laps").await, "80", "{at:?}");
    }
}
