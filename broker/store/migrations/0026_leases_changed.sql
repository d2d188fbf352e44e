-- Which transaction changed a lease last, so that a reader that has seen them all reads only what is new since: of a
-- cluster with thousands of live leases each exchange with its agent read, and compared, all of them. A job that is to
-- be cancelled is news of its lease.
ALTER TABLE leases ADD COLUMN changed_in xid8 NOT NULL DEFAULT pg_current_xact_id();

CREATE FUNCTION lease_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_in := pg_current_xact_id();
    RETURN NEW;
END $$;
CREATE TRIGGER changes BEFORE UPDATE ON leases FOR EACH ROW EXECUTE FUNCTION lease_changes();

GRANT UPDATE (changed_in) ON leases TO xisuan_city;  -- of its own leases, by the policy of their rows
