//! The SQL. Rows travel as JSON, which PostgreSQL takes apart: a column's name is then all that need be said of it.

/// A table that rows are written to.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    name: &'static str,
    key: &'static str,
    columns: &'static str,
}

/// How rows are written that may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// New ones, and those whose content differs.
    Changed,
    /// All, equal ones as well.
    Always,
    /// All, as if none were there.
    Plain,
}

/// Drivers.
pub const DRIVERS: Table = Table { name: "drivers", key: "id", columns: "id, name" };

/// Races.
pub const RACES: Table = Table {
    name: "races",
    key: "id",
    columns: "id, event_id, round, number, class, label, completed_at, length, warnings",
};

/// Results.
pub const RESULTS: Table = Table {
    name: "results",
    key: "id",
    columns: "id, race_id, driver_id, name, nth, car_number, position, qualifying, grid, laps_completed, total_ms, behind, \
              fastest_ms, fastest_lap, average_ms, average_top5_ms, average_top10_ms, average_top15_ms, top3_ms, \
              deviation_ms, consistency_bp",
};

/// Laps.
pub const LAPS: Table = Table {
    name: "laps",
    key: "result_id, number",
    columns: "result_id, number, time_ms, position, pace_laps, pace_ms",
};

/// Checkpoints.
pub const CHECKPOINTS: Table = Table {
    name: "ingest_checkpoints",
    key: "race_id",
    columns: "race_id, event_id, state, hash_version, hash, lap_count, fence, url, error",
};

/// Checkpoints without their hash.
pub const HASHLESS: Table = Table {
    name: "ingest_checkpoints",
    key: "race_id",
    columns: "race_id, event_id, state, hash_version, lap_count, fence, url, error",
};

/// Events. `ingest_depth` goes with them.
pub const EVENTS: Table = Table {
    name: "events",
    key: "id",
    columns: "id, track, name, first_day, last_day, entries, drivers, total_laps, ingest_depth, listed_races",
};

impl Table {
    /// Writes the rows of `$1`, a JSON array of objects; answers how many were new and how many changed.
    #[must_use]
    pub fn write(self, how: How) -> String {
        let Self { name, key, columns } = self;
        let from = |prefix: &str| columns.split(", ").map(|c| format!("{prefix}.{c}")).collect::<Vec<_>>().join(", ");
        let set: Vec<String> = columns.split(", ").map(|c| format!("{c} = EXCLUDED.{c}")).collect();
        let update = format!("ON CONFLICT ({key}) DO UPDATE SET {}", set.join(", "));
        let conflict = match how {
            How::Plain => String::new(),
            How::Always => update,
            How::Changed => format!("{update} WHERE ({}) IS DISTINCT FROM ({})", from(name), from("EXCLUDED")),
        };
        format!(
            "WITH written AS (INSERT INTO {name} ({columns}) \
             SELECT {columns} FROM jsonb_populate_recordset(NULL::{name}, $1::jsonb) {conflict} RETURNING xmax = 0 AS new) \
             SELECT count(*) FILTER (WHERE new), count(*) FILTER (WHERE NOT new) FROM written"
        )
    }
}

/// Takes away the races of event `$1` that are not in `$2`; answers races, results and laps.
pub const RACES_GONE: &str = "\
WITH gone AS MATERIALIZED (SELECT id FROM races WHERE event_id = $1 AND id <> ALL ($2)),
gone_of AS MATERIALIZED (SELECT r.id FROM results r JOIN gone g ON r.race_id = g.id),
checkpoints AS (DELETE FROM ingest_checkpoints WHERE event_id = $1 AND race_id <> ALL ($2)),
gone_laps AS (DELETE FROM laps l USING gone_of g WHERE l.result_id = g.id RETURNING 1),
gone_results AS (DELETE FROM results r USING gone_of g WHERE r.id = g.id RETURNING 1),
gone_races AS (DELETE FROM races r USING gone g WHERE r.id = g.id RETURNING 1)
SELECT (SELECT count(*) FROM gone_races), (SELECT count(*) FROM gone_results), (SELECT count(*) FROM gone_laps)";

/// Takes away the results of race `$1` that are not in `$2`; answers results and laps.
pub const RESULTS_GONE: &str = "\
WITH gone AS MATERIALIZED (SELECT id FROM results WHERE race_id = $1 AND id <> ALL ($2)),
gone_laps AS (DELETE FROM laps l USING gone g WHERE l.result_id = g.id RETURNING 1),
gone_results AS (DELETE FROM results r USING gone g WHERE r.id = g.id RETURNING 1)
SELECT (SELECT count(*) FROM gone_results), (SELECT count(*) FROM gone_laps)";

/// Takes away the laps of the results `$1` beyond the last ones, `$2`; answers how many.
pub const LAPS_GONE: &str = "\
WITH gone AS (DELETE FROM laps l USING unnest($1::bigint[], $2::integer[]) AS k (result_id, last)
              WHERE l.result_id = k.result_id AND l.number > k.last RETURNING 1)
SELECT count(*) FROM gone";

/// Adds the entries of `$2`, a JSON array of objects, to event `$1`; answers how many were new.
pub const ENTRIES: &str = "\
WITH added AS (INSERT INTO entries (event_id, class, car_number, name, transponder)
               SELECT DISTINCT $1::bigint, class, car_number, name, transponder
               FROM jsonb_populate_recordset(NULL::entries, $2::jsonb) ON CONFLICT DO NOTHING RETURNING 1)
SELECT count(*) FROM added";

/// Takes away the entries of event `$1` that are not in `$2`; answers how many.
pub const ENTRIES_GONE: &str = "\
WITH gone AS (DELETE FROM entries e WHERE event_id = $1 AND (class, car_number, name, transponder) NOT IN (
                  SELECT class, car_number, name, transponder FROM jsonb_populate_recordset(NULL::entries, $2::jsonb))
              RETURNING 1)
SELECT count(*) FROM gone";

/// Links the entries of event `$1` to the only driver who raced under their name in their class; answers how many changed.
pub const LINK: &str = "\
WITH raced AS (
    SELECT ra.class, re.name, min(re.driver_id) AS driver_id, count(DISTINCT re.driver_id) AS drivers
    FROM races ra JOIN results re ON re.race_id = ra.id
    WHERE ra.event_id = $1 AND re.driver_id IS NOT NULL GROUP BY ra.class, re.name
), wanted AS (
    SELECT l.class, l.name, CASE WHEN r.drivers = 1 AND l.entries = 1 THEN r.driver_id END AS driver_id
    FROM (SELECT class, name, count(*) AS entries FROM entries WHERE event_id = $1 GROUP BY class, name) l
    LEFT JOIN raced r ON (r.class, r.name) = (l.class, l.name)
), linked AS (
    UPDATE entries e SET driver_id = w.driver_id FROM wanted w
    WHERE e.event_id = $1 AND (e.class, e.name) = (w.class, w.name) AND e.driver_id IS DISTINCT FROM w.driver_id
    RETURNING 1
)
SELECT count(*) FROM linked";

/// Raises the fence of event `$1`.
pub const RAISE_FENCE: &str = "INSERT INTO ingest_events (event_id, fence, since) VALUES ($1, 1, 1) \
                               ON CONFLICT (event_id) DO UPDATE SET fence = ingest_events.fence + 1 RETURNING fence";

/// Reads the fence of event `$1`, and keeps newer engines waiting until the transaction ends.
pub const HOLD_FENCE: &str = "SELECT fence FROM ingest_events WHERE event_id = $1 FOR SHARE";

/// The checkpoints of event `$1`: race, whether it says written, its hash, its fence.
pub const STORED: &str = "SELECT race_id, state = 'written', hash, fence FROM ingest_checkpoints WHERE event_id = $1";

/// Marks event `$1` complete, if each race of `$2` has a checkpoint that says written, or regardless where `$3` says so.
pub const COMPLETE: &str = "\
UPDATE events SET ingest_depth = 'laps_full' WHERE id = $1 AND ingest_depth <> 'laps_full' AND ($3 OR NOT EXISTS (
    SELECT FROM unnest($2::bigint[]) AS l (id) WHERE NOT EXISTS (
        SELECT FROM ingest_checkpoints c WHERE c.race_id = l.id AND c.state = 'written')))";
