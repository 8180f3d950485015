-- Imports that somebody asked for, and what became of them. Workers anywhere claim them; PostgreSQL is in the middle.

CREATE TABLE ingest_jobs (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id     bigint NOT NULL,
    track        text NOT NULL,
    refresh      boolean NOT NULL,                    -- read every page again, though the event is complete
    state        text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'completed', 'failed')),
    requested_at timestamptz NOT NULL DEFAULT now(),
    due_at       timestamptz NOT NULL DEFAULT now(),  -- not claimed before
    started_at   timestamptz,                         -- of the first claim
    ended_at     timestamptz,
    worker       text,                                -- the last one that claimed it
    claim        bigint NOT NULL DEFAULT 0,           -- number of the claim: only the newest one's worker may write here
    lease_until  timestamptz,                         -- a running job whose lease has ended may be claimed by another
    takeovers    integer NOT NULL DEFAULT 0,          -- claims whose worker gave no more sign of life
    attempts     integer NOT NULL DEFAULT 0,          -- claims that ended in something worth trying again
    progress     jsonb,
    outcome      jsonb                                -- of the last attempt that ended
);
-- At most one live job of an event, whoever asks for it and however often.
CREATE UNIQUE INDEX ingest_jobs_live ON ingest_jobs (event_id) WHERE state IN ('queued', 'running');
CREATE INDEX ingest_jobs_queued ON ingest_jobs (due_at, id) WHERE state = 'queued';
CREATE INDEX ingest_jobs_running ON ingest_jobs (lease_until) WHERE state = 'running';
CREATE INDEX ingest_jobs_event_id ON ingest_jobs (event_id, id);
CREATE INDEX ingest_jobs_ended_at ON ingest_jobs (ended_at) WHERE ended_at IS NOT NULL;

-- The name that a client gave its request, so that it can learn what became of it when the answer was lost.
CREATE TABLE ingest_requests (
    key     text PRIMARY KEY,
    job_id  bigint REFERENCES ingest_jobs ON DELETE CASCADE,  -- null: withdrawn before it came; it is refused when it does
    made_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ingest_requests_job_id ON ingest_requests (job_id);
