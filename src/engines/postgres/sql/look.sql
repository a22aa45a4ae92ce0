-- $1 key, $2 fingerprint
SELECT
    CASE
        WHEN fingerprint <> $2 THEN 3
        WHEN phase = 1 THEN 2
        WHEN phase = 2 THEN 4
        WHEN phase = 0 AND lease_until IS NOT NULL THEN 1
        ELSE 5
    END::smallint AS says,
    fence,
    attempt,
    CASE WHEN fingerprint = $2 THEN outcome END AS outcome,
    (extract(epoch FROM lease_until - now) * 1000000)::bigint AS micros_left
FROM buttress_idempotency, (SELECT clock_timestamp() AS now) AS clock
WHERE key = $1
    AND greatest(forgotten_at, lease_until) > now
    AND (fingerprint <> $2 OR phase <> 0 OR lease_until IS NULL OR lease_until > now)
