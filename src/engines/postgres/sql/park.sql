-- $1 key, $2 fingerprint, $3 owner, $4 retention, $5 why
WITH
-- What is known when the statement begins, if that is not to be changed.
known AS MATERIALIZED (
    SELECT phase = 2 AND owner IS NOT DISTINCT FROM $3 AS is_said
    FROM buttress_idempotency
    WHERE key = $1
        AND greatest(forgotten_at, lease_until) > clock_timestamp()
        AND (owner <> $3 OR phase <> 0)
),
parked AS (
    INSERT INTO buttress_idempotency AS r (key, fingerprint, phase, owner, fence, attempt, forgotten_at, outcome)
    SELECT $1, $2, 2, $3, 0, 1, clock_timestamp() + $4::bigint * interval '1 microsecond', $5
    WHERE NOT EXISTS (SELECT FROM known)
    ON CONFLICT (key) DO UPDATE
    SET (fingerprint, phase, owner, fence, attempt, lease_until, forgotten_at, outcome) = (
        SELECT $2, 2, $3,
            CASE WHEN is_over THEN 0 ELSE r.fence END,
            CASE WHEN is_over THEN 1 ELSE r.attempt END,
            NULL::timestamptz,
            now + $4::bigint * interval '1 microsecond',
            $5
        FROM (SELECT clock_timestamp() AS now OFFSET 0) AS clock
        CROSS JOIN LATERAL (SELECT greatest(r.forgotten_at, r.lease_until) <= now AS is_over) AS life
    )
    WHERE greatest(r.forgotten_at, r.lease_until) <= clock_timestamp()
        OR ((r.owner IS NULL OR r.owner = $3) AND r.phase = 0)
    RETURNING key
)
SELECT TRUE FROM parked
UNION ALL
SELECT is_said FROM known
