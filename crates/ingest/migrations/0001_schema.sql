-- Race meetings as LiveRC publishes them. Keys are LiveRC's own ids or natural keys, so that re-ingestion finds what is
-- there and nothing is looked up only to learn a surrogate id.

CREATE TABLE tracks (
    slug text PRIMARY KEY,                      -- host label: canberra in canberra.liverc.com
    name text NOT NULL
);

CREATE TABLE events (
    id            bigint PRIMARY KEY,           -- LiveRC's
    track         text NOT NULL REFERENCES tracks,
    name          text NOT NULL,
    first_day     date,
    last_day      date,
    entries       integer,                      -- as the page counts them
    drivers       integer,
    total_laps    integer,
    ingest_depth  text NOT NULL DEFAULT 'none' CHECK (ingest_depth IN ('none', 'partial', 'laps_full')),
    listed_races  integer NOT NULL DEFAULT 0    -- races on the event page when it was last read
);

CREATE TABLE drivers (
    id   bigint PRIMARY KEY,                    -- LiveRC's
    name text NOT NULL
);

CREATE TABLE entries (
    event_id    bigint NOT NULL REFERENCES events ON DELETE CASCADE,
    class       text NOT NULL,
    car_number  text NOT NULL,
    name        text NOT NULL,
    transponder text NOT NULL,
    driver_id   bigint REFERENCES drivers,      -- null until exactly one driver of that name raced in that class
    PRIMARY KEY (event_id, class, name, car_number, transponder)
);

CREATE TABLE races (
    id           bigint PRIMARY KEY,            -- LiveRC's; numbers restart in every round
    event_id     bigint NOT NULL REFERENCES events ON DELETE CASCADE,
    round        text NOT NULL,
    number       integer,
    class        text NOT NULL,
    label        text NOT NULL,
    completed_at timestamp,                     -- the track's own zone, which the page does not name
    length       text NOT NULL,
    warnings     text[] NOT NULL DEFAULT '{}'
);
CREATE INDEX races_event_id ON races (event_id);

CREATE TABLE results (
    id               bigint PRIMARY KEY,        -- computed from (race_id, driver_id) or (race_id, name, nth)
    race_id          bigint NOT NULL REFERENCES races ON DELETE CASCADE,
    driver_id        bigint REFERENCES drivers,
    name             text NOT NULL,
    nth              integer NOT NULL DEFAULT 0,
    car_number       text NOT NULL,
    position         integer,
    qualifying       integer,
    grid             integer,
    laps_completed   integer,
    total_ms         integer,
    behind           text NOT NULL,
    fastest_ms       integer,
    fastest_lap      integer,
    average_ms       integer,
    average_top5_ms  integer,
    average_top10_ms integer,
    average_top15_ms integer,
    top3_ms          integer,
    deviation_ms     integer,
    consistency_bp   integer
);
CREATE INDEX results_race_id ON results (race_id);

CREATE TABLE laps (
    result_id bigint   NOT NULL REFERENCES results ON DELETE CASCADE,
    number    integer  NOT NULL CHECK (number > 0),
    time_ms   integer  NOT NULL CHECK (time_ms >= 0),
    position  integer,
    pace_laps integer,
    pace_ms   integer,
    PRIMARY KEY (result_id, number)
);

-- The engines' own book on an event. A table of its own, since it changes with every engine that comes, and the rows of
-- an event that did not change must not be rewritten.
CREATE TABLE ingest_events (
    event_id   bigint PRIMARY KEY,
    fence      bigint NOT NULL DEFAULT 0,       -- raised by every engine that takes the event's lock
    since      bigint NOT NULL DEFAULT 0,       -- an unfinished event has yet to read the pages of checkpoints older than this
    entries_at bigint NOT NULL DEFAULT -1       -- fence of the engine that last wrote the entry list
);

-- What is known to be finished. A row is written in the transaction of the data that it speaks of.
CREATE TABLE ingest_checkpoints (
    race_id      bigint PRIMARY KEY,
    event_id     bigint NOT NULL REFERENCES events ON DELETE CASCADE,
    state        text NOT NULL CHECK (state IN ('written', 'failed')),
    hash_version smallint,
    hash         bytea,                         -- of the canonical parsed race, recomputable from the stored rows
    lap_count    integer NOT NULL DEFAULT 0,    -- of the rows that are stored
    fence        bigint NOT NULL DEFAULT 0,     -- of the engine that wrote it
    url          text,                          -- of a failed race's page
    error        text                           -- its cause chain
);
CREATE INDEX ingest_checkpoints_event_id ON ingest_checkpoints (event_id);
