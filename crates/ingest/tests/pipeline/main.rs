//! The pipeline against a real PostgreSQL, with races from memory.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

#[path = "../common/mod.rs"]
mod common;
mod crash;
mod faults;
mod golden;
mod killer;
mod revisions;
mod steps;

use common::{PROFILES, World, database, settings};
use contract::feed::Counts;
use ingest::model::Entry;
use ingest::settings::Profile;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_complete_and_again_makes_no_second_row() {
    for profile in PROFILES {
        let db = database().await;
        let world = World::new(5, 4, 6);
        let settings = settings(profile, &[("commit_races", "2")]);
        let (summary, _) = world.ingest(&db, &settings).await;
        assert_eq!((summary.exit, summary.error), (0, None), "{profile}");
        assert_eq!((summary.listed, summary.written, summary.skipped), (5, 5, 0));
        let inserted = |n| Counts { inserted: n, ..Counts::default() };
        assert_eq!(summary.rows.laps, inserted(120), "{profile}");
        assert_eq!(summary.rows.results, inserted(20), "{profile}");
        assert_eq!(summary.rows.entries.inserted, 4, "{profile}");
        assert_eq!(db.text("SELECT ingest_depth FROM events").await, "laps_full");
        assert_eq!(db.text("SELECT count(*)::text FROM entries WHERE driver_id IS NOT NULL").await, "4");
        let (content, versions) = db.dump().await;

        let (again, _) = world.ingest(&db, &settings).await;
        assert_eq!((again.exit, again.fetched), (0, 5), "{profile}");
        let (content_after, versions_after) = db.dump().await;
        assert_eq!(content_after, content, "{profile}");
        if profile == Profile::Fast {
            assert_eq!(versions_after, versions, "no row is rewritten");
            assert_eq!((again.written, again.skipped), (0, 5));
            assert_eq!(again.rows.laps.unchanged, 120);
        } else {
            assert_eq!(again.rows.laps, Counts { updated: 120, ..Counts::default() }, "{profile}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_path_stores_the_same() {
    let world = World::new(3, 4, 11);
    let mut first: Option<String> = None;
    for path in ["insert", "unnest", "copy"] {
        for rows in ["one-by-one", "batched"] {
            for (batch, select, accumulate) in [("7", "true", "true"), ("auto", "false", "false")] {
                let db = database().await;
                let own = [
                    ("write_path", path),
                    ("row_writes", rows),
                    ("lap_batch", batch),
                    ("select_existing", select),
                    ("accumulate_laps", accumulate),
                ];
                let (summary, _) = world.ingest(&db, &settings(Profile::Fast, &own)).await;
                assert_eq!((summary.exit, &summary.error), (0, &None), "{own:?}");
                assert_eq!(summary.rows.laps.inserted, 132, "{own:?}");
                let (content, _) = db.dump().await;
                assert_eq!(&content, first.get_or_insert_with(|| content.clone()), "{own:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_drivers_of_one_name_stay_two_and_their_entries_are_left_alone() {
    for profile in PROFILES {
        let db = database().await;
        let mut world = World::new(2, 4, 3);
        let twin = world.races[0].results[0].name.clone();
        for race in &mut world.races {
            race.results[1].name.clone_from(&twin); // drivers 1000 and 1001
        }
        // One entry of that name twice raced, and one name with two entries and one driver.
        world.entries[1].name = world.entries[2].name.clone();
        let settings = settings(profile, &[]);
        let (summary, _) = world.ingest(&db, &settings).await;
        assert_eq!((summary.exit, summary.ambiguous_entries), (0, 3), "{profile}: {:?}", summary.error);
        assert_eq!(db.text("SELECT count(*)::text FROM drivers").await, "4");
        assert_eq!(db.text("SELECT count(*)::text FROM results").await, "8");
        let linked = "SELECT string_agg(driver_id::text, ',' ORDER BY driver_id) FROM entries";
        assert_eq!(db.text(linked).await, "1003", "{profile}");
        let (before, _) = db.dump().await;
        world.ingest(&db, &settings).await;
        assert_eq!(db.dump().await.0, before, "{profile}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_without_a_driver_are_told_apart_and_read_back() {
    for profile in PROFILES {
        let db = database().await;
        let mut world = World::new(1, 4, 3);
        let race = &mut world.races[0];
        for (i, nth) in [(2, 0), (3, 1)] {
            let result = &mut race.results[i];
            (result.driver_id, result.nth) = (None, nth);
            result.name = "SAME NAME".to_owned();
            result.laps.clear();
            (result.position, result.total_ms) = (None, None);
        }
        race.warnings = vec!["lap sum 1.000 s off".to_owned(), "Pos is `-`".to_owned()];
        race.listed.completed_at = None;
        let (summary, _) = world.ingest(&db, &settings(profile, &[])).await;
        assert_eq!(summary.exit, 0, "{:?}", summary.error);
        let store = db.store(&settings(profile, &[]));
        let mut session = ingest::store::Session::acquire(&store).await.unwrap();
        let mut stored = ingest::store::load_race(&mut session, 1).await.unwrap().unwrap();
        stored.results.sort_by_key(|r| (r.car_number.clone(), r.nth));
        assert_eq!(stored, world.races[0], "{profile}");
        let status = ingest::store::status(&mut session, 77, true).await.unwrap();
        assert!(status.races.iter().all(|r| r.recomputed.is_some() && r.recomputed == r.hash), "{status:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_race_leaves_the_others_and_only_it_is_fetched_next() {
    for profile in PROFILES {
        let db = database().await;
        let mut world = World::new(4, 3, 5);
        world.bad = vec![2];
        let settings = settings(profile, &[("commit_races", "2")]);
        let (summary, _) = world.ingest(&db, &settings).await;
        assert_eq!((summary.exit, summary.written), (1, 3), "{:?}", summary.error);
        let failed = &summary.failed[0];
        assert_eq!((failed.race, failed.url.as_str(), failed.retry), (2, "memory:race/2", false));
        assert!(failed.cause.contains("no result table"), "{failed:?}");
        assert_eq!(db.text("SELECT ingest_depth FROM events").await, "partial");
        assert_eq!(
            db.text("SELECT state || ' ' || url || ' ' || error FROM ingest_checkpoints WHERE race_id = 2").await,
            "failed memory:race/2 no result table"
        );
        world.bad.clear();
        let run = world.run(&db, &settings, ingest::probe::Probe::off());
        let stop = run.stop();
        let summary = run.execute().await;
        drop(stop);
        assert_eq!((summary.exit, summary.fetched, summary.written, summary.skipped), (0, 1, 1, 3));
        assert_eq!(db.text("SELECT ingest_depth FROM events").await, "laps_full");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_race_that_the_database_refuses_is_left_behind_alone() {
    for profile in PROFILES {
        let db = database().await;
        let mut world = World::new(4, 3, 5);
        let bad = world.races.iter_mut().find(|r| r.listed.id == 3).unwrap();
        bad.length = "30:00\0Timed".to_owned(); // text cannot hold NUL
        let (summary, _) = world.ingest(&db, &settings(profile, &[])).await;
        assert_eq!((summary.exit, summary.written), (1, 3), "{profile}: {:?}", summary.error);
        assert_eq!(summary.failed.iter().map(|f| f.race).collect::<Vec<_>>(), [3]);
        assert_eq!(db.text("SELECT string_agg(id::text, ',' ORDER BY id) FROM races").await, "1,2,4");
        assert_eq!(db.text("SELECT state FROM ingest_checkpoints WHERE race_id = 3").await, "failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_races_or_entries_is_complete() {
    for profile in PROFILES {
        let db = database().await;
        let mut world = World::new(0, 0, 0);
        world.entries = vec![Entry {
            class: "Buggy".to_owned(),
            car_number: "1".to_owned(),
            name: "ANNA EXAMPLE".to_owned(),
            transponder: String::new(),
        }];
        let (summary, _) = world.ingest(&db, &settings(profile, &[])).await;
        assert_eq!((summary.exit, summary.rows.entries.inserted), (0, 1), "{:?}", summary.error);
        assert_eq!(db.text("SELECT ingest_depth FROM events").await, "laps_full");
        let full = World { races: World::new(1, 1, 0).races, ..world };
        let (summary, _) = full.ingest(&db, &settings(profile, &[])).await;
        assert_eq!((summary.exit, summary.written), (0, 1), "a race without laps: {:?}", summary.error);
    }
}
