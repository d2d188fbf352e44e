-- no-transaction
-- By it a reader finds what has changed on its cluster, as 0026 tells.
CREATE INDEX CONCURRENTLY leases_changed ON leases (cluster, changed_in);
