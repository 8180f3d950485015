BEGIN;
SELECT id, name FROM drivers WHERE id = $1;
INSERT INTO drivers (id, name) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name RETURNING xmax = 0, pg_current_xact_id()::text;
SELECT id, name FROM drivers WHERE id = $1;
INSERT INTO drivers (id, name) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name RETURNING xmax = 0, pg_current_xact_id()::text;
COMMIT;
BEGIN;
SELECT fence, pg_backend_pid() FROM ingest_events WHERE event_id = $1 FOR SHARE;
INSERT INTO races (id, event_id, round, number, class, label, completed_at, length, warnings)
VALUES ($1, $2, $3, $4, $5, $6, $7::text::timestamp, $8, $9)
ON CONFLICT (id) DO UPDATE SET event_id = EXCLUDED.event_id, round = EXCLUDED.round, number = EXCLUDED.number,
    class = EXCLUDED.class, label = EXCLUDED.label, completed_at = EXCLUDED.completed_at, length = EXCLUDED.length,
    warnings = EXCLUDED.warnings
RETURNING xmax = 0;
SELECT car_number, transponder, driver_id FROM entries WHERE event_id = $1 AND class = $2 AND name = $3;
UPDATE entries SET driver_id = $4 WHERE event_id = $1 AND class = $2 AND name = $3 AND (driver_id IS NULL OR driver_id = $4);
SELECT id FROM results WHERE race_id = $1 AND id = $2;
INSERT INTO results (id, race_id, driver_id, name, nth, car_number, behind, position, qualifying, grid, laps_completed, total_ms, fastest_ms, fastest_lap, average_ms, average_top5_ms, average_top10_ms, average_top15_ms, top3_ms, deviation_ms, consistency_bp) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21) ON CONFLICT (id) DO UPDATE SET race_id = EXCLUDED.race_id, driver_id = EXCLUDED.driver_id, name = EXCLUDED.name, nth = EXCLUDED.nth, car_number = EXCLUDED.car_number, behind = EXCLUDED.behind, position = EXCLUDED.position, qualifying = EXCLUDED.qualifying, grid = EXCLUDED.grid, laps_completed = EXCLUDED.laps_completed, total_ms = EXCLUDED.total_ms, fastest_ms = EXCLUDED.fastest_ms, fastest_lap = EXCLUDED.fastest_lap, average_ms = EXCLUDED.average_ms, average_top5_ms = EXCLUDED.average_top5_ms, average_top10_ms = EXCLUDED.average_top10_ms, average_top15_ms = EXCLUDED.average_top15_ms, top3_ms = EXCLUDED.top3_ms, deviation_ms = EXCLUDED.deviation_ms, consistency_bp = EXCLUDED.consistency_bp RETURNING xmax = 0;
SELECT car_number, transponder, driver_id FROM entries WHERE event_id = $1 AND class = $2 AND name = $3;
UPDATE entries SET driver_id = $4 WHERE event_id = $1 AND class = $2 AND name = $3 AND (driver_id IS NULL OR driver_id = $4);
SELECT id FROM results WHERE race_id = $1 AND id = $2;
INSERT INTO results (id, race_id, driver_id, name, nth, car_number, behind, position, qualifying, grid, laps_completed, total_ms, fastest_ms, fastest_lap, average_ms, average_top5_ms, average_top10_ms, average_top15_ms, top3_ms, deviation_ms, consistency_bp) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21) ON CONFLICT (id) DO UPDATE SET race_id = EXCLUDED.race_id, driver_id = EXCLUDED.driver_id, name = EXCLUDED.name, nth = EXCLUDED.nth, car_number = EXCLUDED.car_number, behind = EXCLUDED.behind, position = EXCLUDED.position, qualifying = EXCLUDED.qualifying, grid = EXCLUDED.grid, laps_completed = EXCLUDED.laps_completed, total_ms = EXCLUDED.total_ms, fastest_ms = EXCLUDED.fastest_ms, fastest_lap = EXCLUDED.fastest_lap, average_ms = EXCLUDED.average_ms, average_top5_ms = EXCLUDED.average_top5_ms, average_top10_ms = EXCLUDED.average_top10_ms, average_top15_ms = EXCLUDED.average_top15_ms, top3_ms = EXCLUDED.top3_ms, deviation_ms = EXCLUDED.deviation_ms, consistency_bp = EXCLUDED.consistency_bp RETURNING xmax = 0;
SELECT l.result_id, l.number FROM laps l JOIN unnest($1::bigint[], $2::integer[]) AS k (result_id, number) ON l.result_id = k.result_id AND l.number = k.number;
INSERT INTO laps (result_id, number, time_ms, position, pace_laps, pace_ms) VALUES ($1, $2, $3, $4, $5, $6), ($7, $8, $9, $10, $11, $12), ($13, $14, $15, $16, $17, $18), ($19, $20, $21, $22, $23, $24), ($25, $26, $27, $28, $29, $30), ($31, $32, $33, $34, $35, $36) ON CONFLICT (result_id, number) DO UPDATE SET time_ms = EXCLUDED.time_ms, position = EXCLUDED.position, pace_laps = EXCLUDED.pace_laps, pace_ms = EXCLUDED.pace_ms RETURNING xmax = 0;
INSERT INTO ingest_checkpoints (race_id, event_id, state, hash_version, hash, lap_count, fence)
SELECT i.race, $2, 'written', $3, i.hash, i.laps, $4 FROM unnest($1::bigint[], $5::bytea[], $6::integer[]) AS i (race, hash, laps)
ON CONFLICT (race_id) DO UPDATE SET event_id = EXCLUDED.event_id, state = EXCLUDED.state,
    hash_version = EXCLUDED.hash_version, hash = EXCLUDED.hash, lap_count = EXCLUDED.lap_count,
    fence = EXCLUDED.fence, url = NULL, error = NULL;
COMMIT;
