-- $1 key, $2 owner, $3 lease
UPDATE buttress_idempotency
SET lease_until = clock_timestamp() + $3::bigint * interval '1 microsecond'
WHERE key = $1
    AND owner = $2
    AND phase = 0
    AND greatest(forgotten_at, lease_until) > clock_timestamp()
