-- $1 limit
WITH over AS MATERIALIZED (
    SELECT key
    FROM buttress_idempotency
    -- In a query of its own the time is read once, and the index is of use.
    WHERE forgotten_at <= (SELECT clock_timestamp())
        AND (lease_until IS NULL OR lease_until <= clock_timestamp())
    ORDER BY forgotten_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
DELETE FROM buttress_idempotency USING over WHERE buttress_idempotency.key = over.key
