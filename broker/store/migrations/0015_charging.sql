-- Who is charged for work: cities that pay in advance. What the others use is metered and costs nobody anything.
ALTER TABLE cities ADD COLUMN billing text NOT NULL DEFAULT 'metered' CHECK (billing IN ('metered', 'prepaid'));

-- What is held for a lease; null: nothing is, for its city does not pay in advance, or a release before offered it.
ALTER TABLE leases ADD COLUMN hold_id bigint REFERENCES ledger_holds;
CREATE INDEX leases_by_hold ON leases (hold_id) WHERE hold_id IS NOT NULL;

-- Which work a capture paid for. Minutes of one lease are captured in bulk, each of them once.
CREATE TABLE lease_captures (
    transaction_id bigint PRIMARY KEY REFERENCES ledger_transactions,
    lease_id       bigint NOT NULL REFERENCES leases,
    minutes        int NOT NULL CHECK (minutes > 0),
    late           boolean NOT NULL  -- they became known after the lease's end was charged
);
CREATE INDEX lease_captures_by_lease ON lease_captures (lease_id);
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON lease_captures
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_immutable();
ALTER TABLE lease_captures ENABLE ROW LEVEL SECURITY;
ALTER TABLE lease_captures FORCE ROW LEVEL SECURITY;
CREATE POLICY all_cities ON lease_captures TO xisuan_hub USING (true);
CREATE POLICY own ON lease_captures TO xisuan_city
    USING (EXISTS (SELECT FROM ledger_transactions t WHERE t.transaction_id = lease_captures.transaction_id));
GRANT SELECT ON lease_captures TO xisuan_city;
GRANT SELECT, INSERT ON lease_captures TO xisuan_hub;
GRANT UPDATE (hold_id) ON leases TO xisuan_hub;
