-- Every lap has its result: checked once per statement rather than once per row. The foreign key's check was over half of
-- the server's cost per lap (docs/write-path.md has the figures, what this guards, and what it refuses that a foreign key
-- would not). The rows that are there were checked by the foreign key that goes.

ALTER TABLE laps DROP CONSTRAINT laps_result_id_fkey;

-- New laps: their results are there, and stay until this transaction has ended. A result that another transaction has
-- deleted and not yet committed is waited for. Where a snapshot is too old to see what became of it, PostgreSQL itself
-- raises a serialization failure.
CREATE FUNCTION laps_have_results() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET enable_seqscan = off AS $$
DECLARE
    wanted bigint[] := ARRAY(SELECT DISTINCT result_id FROM added);
    locked bigint;
BEGIN
    SELECT count(*) INTO locked FROM (SELECT FROM results r WHERE r.id = ANY (wanted) FOR KEY SHARE) AS held;
    IF locked <> cardinality(wanted) THEN
        RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
            CONSTRAINT = TG_NAME, COLUMN = 'result_id',
            MESSAGE = format('laps of %s results that are not in table "results"', cardinality(wanted) - locked),
            DETAIL = format('The first is result_id %s.', (SELECT min(w.id) FROM unnest(wanted) AS w (id)
                            WHERE NOT EXISTS (SELECT FROM results r WHERE r.id = w.id)));
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER laps_have_results AFTER INSERT ON laps
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION laps_have_results();

-- A lap that moves to another result, which the engine never does: checked by row, whatever changed the column.
CREATE FUNCTION laps_keep_results() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET enable_seqscan = off AS $$
BEGIN
    PERFORM FROM results r WHERE r.id = NEW.result_id FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
            CONSTRAINT = TG_NAME, COLUMN = 'result_id',
            MESSAGE = 'a lap of a result that is not in table "results"',
            DETAIL = format('It is result_id %s.', NEW.result_id);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER laps_keep_results AFTER UPDATE ON laps
    FOR EACH ROW WHEN (OLD.result_id IS DISTINCT FROM NEW.result_id) EXECUTE FUNCTION laps_keep_results();

-- Results that go take their laps along. DELETE has waited for the transactions that hold a result for its new laps, and
-- under READ COMMITTED the statement below sees what those committed. Under an older snapshot it would not, which a
-- foreign key gets round and a trigger cannot: there it is refused.
CREATE FUNCTION results_take_laps() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET enable_seqscan = off AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM removed) THEN
        RETURN NULL;
    END IF;
    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
            CONSTRAINT = TG_NAME,
            MESSAGE = 'results are deleted under READ COMMITTED only',
            DETAIL = 'An older snapshot would not show laps that were committed meanwhile, and leave them behind.',
            HINT = 'Run the transaction under READ COMMITTED.';
    END IF;
    DELETE FROM laps l USING removed r WHERE l.result_id = r.id;
    RETURN NULL;
END $$;

CREATE TRIGGER results_take_laps AFTER DELETE ON results
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION results_take_laps();

-- A result whose key changes must have no laps, as with a foreign key that says nothing of updates.
CREATE FUNCTION results_keep_keys() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET enable_seqscan = off AS $$
BEGIN
    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
            CONSTRAINT = TG_NAME, COLUMN = 'id',
            MESSAGE = 'keys of results are changed under READ COMMITTED only',
            DETAIL = 'An older snapshot would not show laps that were committed meanwhile, and leave them behind.',
            HINT = 'Run the transaction under READ COMMITTED.';
    END IF;
    IF EXISTS (SELECT FROM laps l WHERE l.result_id = OLD.id) AND NOT EXISTS (SELECT FROM results r WHERE r.id = OLD.id) THEN
        RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
            CONSTRAINT = TG_NAME, COLUMN = 'id',
            MESSAGE = 'the key of a result that has laps cannot be changed',
            DETAIL = format('It is id %s.', OLD.id);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER results_keep_keys AFTER UPDATE ON results
    FOR EACH ROW WHEN (OLD.id IS DISTINCT FROM NEW.id) EXECUTE FUNCTION results_keep_keys();

-- TRUNCATE takes the laps along as DELETE does.
CREATE FUNCTION results_truncate_laps() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    TRUNCATE laps;
    RETURN NULL;
END $$;

CREATE TRIGGER results_truncate_laps AFTER TRUNCATE ON results
    FOR EACH STATEMENT EXECUTE FUNCTION results_truncate_laps();

-- The functions find these tables and no others of the same names, temporary ones least of all; they run with their
-- owner's rights, as a foreign key does, and nobody calls them.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['laps_have_results', 'laps_keep_results', 'results_take_laps', 'results_keep_keys',
                                'results_truncate_laps'] LOOP
        EXECUTE format('ALTER FUNCTION %I() SET search_path = %I, pg_temp', name, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %I() FROM PUBLIC', name);
    END LOOP;
END $$;
