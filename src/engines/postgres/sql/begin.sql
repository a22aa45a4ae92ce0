-- $1 key, $2 fingerprint, $3 owner, $4 lease, $5 retention, $6 lock of the key
WITH
-- What is known when the statement begins, if that keeps the claim from being granted. Then nothing is written.
known AS MATERIALIZED (
    SELECT fingerprint, phase, fence, attempt, outcome, lease_until - now AS lease_left
    FROM buttress_idempotency, (SELECT clock_timestamp() AS now) AS clock
    WHERE key = $1
        AND greatest(forgotten_at, lease_until) > now
        AND (fingerprint <> $2 OR phase <> 0 OR lease_until IS NULL OR (lease_until > now AND owner IS DISTINCT FROM $3))
),
-- A fence is drawn only by whoever is alone with the key: one that was drawn before another's and inserted after that was
-- forgotten would be smaller.
alone AS MATERIALIZED (
    SELECT pg_advisory_xact_lock($6) WHERE NOT EXISTS (SELECT FROM known)
),
granted AS (
    INSERT INTO buttress_idempotency AS r (key, fingerprint, phase, owner, fence, attempt, lease_until, forgotten_at)
    SELECT $1, $2, 0, $3, nextval('buttress_idempotency_fence'), 1,
        clock_timestamp() + $4::bigint * interval '1 microsecond',
        clock_timestamp() + $5::bigint * interval '1 microsecond'
    FROM alone
    ON CONFLICT (key) DO UPDATE
    -- The row is locked now, and the time is read once.
    SET (fingerprint, phase, owner, fence, attempt, lease_until, forgotten_at, outcome) = (
        SELECT $2, 0, $3,
            CASE WHEN is_own THEN r.fence ELSE nextval('buttress_idempotency_fence') END,
            CASE WHEN is_own THEN r.attempt WHEN is_over THEN 1 ELSE least(r.attempt + 1, 4294967295) END,
            now + $4::bigint * interval '1 microsecond',
            CASE WHEN is_own THEN r.forgotten_at ELSE now + $5::bigint * interval '1 microsecond' END,
            NULL::bytea
        FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock
        CROSS JOIN LATERAL (SELECT greatest(r.forgotten_at, r.lease_until) <= now AS is_over) AS life
        CROSS JOIN LATERAL (SELECT NOT is_over AND r.owner IS NOT DISTINCT FROM $3 AS is_own) AS whose
    )
    WHERE greatest(r.forgotten_at, r.lease_until) <= clock_timestamp()
        OR (r.fingerprint = $2 AND r.phase = 0 AND (r.owner = $3 OR r.lease_until <= clock_timestamp()))
    RETURNING fence, attempt
)
SELECT 0::smallint AS says, fence, attempt, NULL::bytea AS outcome, NULL::bigint AS micros_left
FROM granted
UNION ALL
SELECT
    CASE
        WHEN fingerprint <> $2 THEN 3
        WHEN phase = 1 THEN 2
        WHEN phase = 2 THEN 4
        WHEN phase = 0 AND lease_left IS NOT NULL THEN 1
        ELSE 5
    END::smallint,
    fence,
    attempt,
    CASE WHEN fingerprint = $2 THEN outcome END,
    (extract(epoch FROM lease_left) * 1000000)::bigint
FROM known
