-- The placement policy of each lease, as the broker has signed it; leases that are older than this have none.
CREATE TABLE lease_policies (
    lease_id  bigint PRIMARY KEY REFERENCES leases,
    statement text NOT NULL,
    signature bytea NOT NULL CHECK (length(signature) = 64)
);

ALTER TABLE lease_policies ENABLE ROW LEVEL SECURITY;
ALTER TABLE lease_policies FORCE ROW LEVEL SECURITY;
CREATE POLICY own_city ON lease_policies TO xisuan_city
    USING (EXISTS (SELECT FROM leases WHERE leases.lease_id = lease_policies.lease_id));
CREATE POLICY all_cities ON lease_policies TO xisuan_hub USING (true);
GRANT SELECT ON lease_policies TO xisuan_city;
GRANT SELECT, INSERT ON lease_policies TO xisuan_hub;

-- An agent may reject a lease whose policy does not hold at its place.
ALTER TABLE jobs DROP CONSTRAINT jobs_end_reason_check;
ALTER TABLE jobs ADD CONSTRAINT jobs_end_reason_check
    CHECK (end_reason IN ('completed', 'exit_code', 'signal', 'walltime', 'cancelled', 'start_failed', 'lost',
                          'written_off', 'expired', 'vanished', 'too_late', 'upstream_failed', 'policy_rejected'));
ALTER TABLE leases DROP CONSTRAINT leases_end_reason_check;
ALTER TABLE leases ADD CONSTRAINT leases_end_reason_check
    CHECK (end_reason IN ('completed', 'exit_code', 'signal', 'walltime', 'cancelled', 'start_failed', 'lost',
                          'written_off', 'expired', 'vanished', 'too_late', 'upstream_failed', 'policy_rejected'));
