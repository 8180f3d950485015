//! Corrected events: what left the page leaves the database, what came is there, and the counts say so.

use contract::feed::{Changes, Counts};
use ingest::settings::Profile;

use crate::common::{PROFILES, World, database, settings};

/// The second revision of `World::new(5, 4, 6)`.
fn corrected() -> World {
    let mut world = World::new(6, 4, 6); // race 6 added
    world.races.retain(|r| r.listed.id != 2); // withdrawn
    for race in &mut world.races {
        match race.listed.id {
            5 => race.results[0].laps[2].time_ms += 500, // a time changed
            4 => drop(race.results.remove(1)),           // disqualified
            3 => race.results[2].laps.truncate(4),       // laps removed
            1 => race.results.iter_mut().for_each(|r| r.behind = "1 Lap".into()), // results changed, laps not
            _ => {}
        }
    }
    world.entries.remove(3);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_event_equals_a_fresh_one() {
    let (old, new) = (World::new(5, 4, 6), corrected());
    for profile in PROFILES {
        let (fresh, db) = (database().await, database().await);
        for path in ["insert", "unnest", "copy"] {
            for skip in ["true", "false"] {
                let own = [("write_path", path), ("skip_unchanged", skip), ("commit_races", "2"), ("lap_batch", "9")];
                let settings = settings(profile, &own);
                fresh.clear().await;
                db.clear().await;
                new.ingest(&fresh, &settings).await;
                old.ingest(&db, &settings).await;
                let (summary, _) = new.ingest(&db, &settings).await;
                assert_eq!((summary.exit, summary.removed), (0, 1), "{profile} {own:?}: {:?}", summary.error);
                assert_eq!(db.dump().await.0, fresh.dump().await.0, "{profile} {own:?}");
                let laps = summary.rows.laps;
                assert_eq!((laps.inserted, laps.deleted), (24, 24 + 6 + 2), "{profile} {own:?}");
                assert_eq!(summary.rows.entries.deleted, 1, "{profile} {own:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fast_counts_exactly_what_differs() {
    let (old, new) = (World::new(5, 4, 6), corrected());
    for path in ["insert", "unnest", "copy"] {
        let settings = settings(Profile::Fast, &[("write_path", path)]);
        let db = database().await;
        old.ingest(&db, &settings).await;
        let (summary, _) = new.ingest(&db, &settings).await;
        let counts = |inserted, updated, deleted, unchanged| Counts { inserted, updated, deleted, unchanged };
        let expected = Changes {
            drivers: counts(0, 0, 0, 4),
            entries: counts(0, 0, 1, 3),
            races: counts(1, 0, 1, 4),
            results: counts(4, 4, 4 + 1, 11),
            laps: counts(24, 1, 24 + 6 + 2, 23 + 18 + 22 + 24),
        };
        assert_eq!(summary.rows, expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_race_of_a_corrected_event_is_not_rewritten() {
    let (old, mut new) = (World::new(5, 4, 6), World::new(5, 4, 6));
    new.races[0].results[0].laps[0].time_ms += 1;
    let settings = settings(Profile::Fast, &[]);
    let db = database().await;
    old.ingest(&db, &settings).await;
    let (_, before) = db.dump().await;
    let (summary, _) = new.ingest(&db, &settings).await;
    assert_eq!((summary.written, summary.skipped), (1, 4));
    let (_, after) = db.dump().await;
    let before: std::collections::HashSet<_> = before.lines().collect();
    let rewritten: Vec<_> = after.lines().filter(|l| !before.contains(l)).collect();
    assert_eq!(rewritten.len(), 1, "one lap and nothing else: {rewritten:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_race_that_cannot_be_read_any_more_keeps_its_old_rows() {
    for profile in PROFILES {
        let mut world = World::new(3, 2, 4);
        let settings = settings(profile, &[]);
        let db = database().await;
        world.ingest(&db, &settings).await;
        let laps = db.text("SELECT count(*)::text FROM laps").await;
        world.bad = vec![2];
        let (summary, _) = world.ingest(&db, &settings).await;
        assert_eq!(summary.exit, 1);
        assert_eq!(db.text("SELECT ingest_depth FROM events").await, "partial");
        assert_eq!(db.text("SELECT count(*)::text FROM laps").await, laps);
        world.bad.clear();
        let (summary, _) = world.ingest(&db, &settings).await;
        assert_eq!((summary.exit, summary.fetched), (0, 1), "{profile}: only what is left");
        assert_eq!(db.text("SELECT count(*)::text FROM ingest_checkpoints WHERE state = 'written'").await, "3");
    }
}
