-- $1 key, $2 fingerprint, $3 owner, $4 retention, $5 answer: nothing if the request is not run by the owner any more.
UPDATE buttress_idempotency
SET fingerprint = $2, phase = 1, lease_until = NULL, outcome = $5,
    forgotten_at = clock_timestamp() + $4::bigint * interval '1 microsecond'
WHERE key = $1
    AND owner = $3
    AND phase = 0
    AND greatest(forgotten_at, lease_until) > clock_timestamp()
RETURNING 0::smallint
