-- no-transaction
-- Energy of leases that have ended is counted soon after their end, so only the newest are looked for.
CREATE INDEX CONCURRENTLY leases_ended ON leases (ended_at) WHERE state = 'ended';
