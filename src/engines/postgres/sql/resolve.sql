-- $1 key, $2 answer
UPDATE buttress_idempotency
SET phase = 1, outcome = $2
WHERE key = $1 AND phase = 2 AND forgotten_at > clock_timestamp()
