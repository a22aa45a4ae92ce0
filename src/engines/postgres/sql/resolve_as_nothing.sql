-- $1 key
DELETE FROM buttress_idempotency
WHERE key = $1 AND phase = 2 AND forgotten_at > clock_timestamp()
