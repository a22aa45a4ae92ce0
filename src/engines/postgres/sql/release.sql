-- $1 key, $2 owner
WITH
known AS MATERIALIZED (
    SELECT owner, phase
    FROM buttress_idempotency
    WHERE key = $1
        AND owner IS NOT NULL
        AND greatest(forgotten_at, lease_until) > clock_timestamp()
),
forgotten AS (
    DELETE FROM buttress_idempotency
    WHERE key = $1
        AND owner = $2
        AND phase = 0
        AND attempt <= 1
        AND greatest(forgotten_at, lease_until) > clock_timestamp()
    RETURNING key
),
-- Nothing came of this run; but what came of the one before it, nobody knows to this day.
nobodys AS (
    UPDATE buttress_idempotency
    SET owner = NULL, attempt = attempt - 1, lease_until = clock_timestamp()
    WHERE key = $1
        AND owner = $2
        AND phase = 0
        AND attempt > 1
        AND greatest(forgotten_at, lease_until) > clock_timestamp()
    RETURNING key
)
SELECT TRUE FROM forgotten
UNION ALL
SELECT TRUE FROM nobodys
UNION ALL
SELECT TRUE WHERE NOT EXISTS (SELECT FROM known)
UNION ALL
SELECT FALSE FROM known WHERE owner <> $2 OR phase <> 0
