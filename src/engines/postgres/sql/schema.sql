-- Two programs that start at once make it one after the other.
SELECT pg_advisory_xact_lock(7163680517295269729);

CREATE TABLE IF NOT EXISTS buttress_idempotency (
    key bytea PRIMARY KEY,
    fingerprint bytea NOT NULL,
    -- 0: it runs; 1: it is done; 2: nobody knows what came of it.
    phase smallint NOT NULL CHECK (phase BETWEEN 0 AND 2),
    -- Nobody's, after a run came to nothing while it is not known what a run before did.
    owner bytea,
    fence bigint NOT NULL,
    attempt bigint NOT NULL,
    -- Only while it runs.
    lease_until timestamptz,
    -- What runs is remembered at least as long as its lease.
    forgotten_at timestamptz NOT NULL,
    -- The answer, or why nobody knows.
    outcome bytea,
    CHECK ((phase = 0) = (lease_until IS NOT NULL))
    -- Room for the next version of a row on its own page: a lease that is renewed touches no index.
) WITH (fillfactor = 70);

CREATE INDEX IF NOT EXISTS buttress_idempotency_forgotten_at ON buttress_idempotency (forgotten_at);

CREATE SEQUENCE IF NOT EXISTS buttress_idempotency_fence;
