-- no-transaction
-- Brokers look four times a second for what is offered and not taken yet: by this, however many leases run.
CREATE INDEX CONCURRENTLY leases_offered ON leases (cluster, lease_id) WHERE state = 'offered';
