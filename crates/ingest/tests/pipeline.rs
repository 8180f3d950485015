//! The pipeline against a real PostgreSQL, with races from memory.

mod common;

use common::{PROFILES, World, database, settings};
use contract::feed::Counts;
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
