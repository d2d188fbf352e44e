-- Keys of enterprises, and the fence behind them. A transaction for an enterprise sets xisuan.enterprise beside
-- xisuan.city (`Database.city`); where it is not set, as in a city's own transactions and in those of the release before,
-- nothing changes. The policies are restrictive: they take from what those of the city show, and give nothing.
ALTER TABLE api_keys DROP CONSTRAINT api_keys_role_check, DROP CONSTRAINT api_keys_check;
ALTER TABLE api_keys
    ADD CONSTRAINT api_keys_role_check CHECK (role IN ('city', 'agent', 'operator', 'observer', 'auditor', 'owner',
                                                       'voucher_office', 'enterprise')),
    ADD CONSTRAINT api_keys_check CHECK ((role IN ('city', 'agent', 'owner', 'enterprise')) = (subject <> '')),
    ADD CONSTRAINT api_keys_enterprise_check CHECK ((role = 'enterprise') = (strpos(subject, '/') > 0));

-- Request keys of an enterprise are stored with its name before them (`broker/request_key.py`): 63 and a mark more.
ALTER TABLE jobs DROP CONSTRAINT jobs_request_key_check;
ALTER TABLE jobs ADD CONSTRAINT jobs_request_key_check CHECK (length(request_key) BETWEEN 1 AND 192) NOT VALID;
ALTER TABLE voucher_applications DROP CONSTRAINT voucher_applications_request_key_check;
ALTER TABLE voucher_applications ADD CONSTRAINT voucher_applications_request_key_check
    CHECK (length(request_key) BETWEEN 1 AND 192) NOT VALID;

-- Jobs and quotes of an enterprise, newest first: without them an enterprise reads through all those of its city.
CREATE INDEX jobs_by_enterprise ON jobs (city, enterprise, job_id DESC) WHERE enterprise <> '';
-- A column, for behind the fence an index on an expression of jsonb is not used: that could tell of rows beyond it.
ALTER TABLE quotes
    ADD COLUMN enterprise text NOT NULL GENERATED ALWAYS AS (coalesce(spec ->> 'enterprise', '')) STORED;
CREATE INDEX quotes_by_enterprise ON quotes (city, enterprise, quote_id DESC) WHERE enterprise <> '';

-- Whether the transaction is for a whole city, and if not, for which enterprise. NOT LIKE, for the planner takes it to be
-- true, as it is nearly always; an equality or IS NULL it would take to be false, and plan a city's queries for no rows.
CREATE FUNCTION for_whole_city() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(current_setting('xisuan.enterprise', true), '') NOT LIKE '_%';
CREATE FUNCTION own_enterprise() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
    RETURN current_setting('xisuan.enterprise', true);

-- Rows that name their enterprise.
CREATE POLICY own_enterprise ON jobs AS RESTRICTIVE TO xisuan_city
    USING (for_whole_city() OR enterprise = own_enterprise());
CREATE POLICY own_enterprise ON quotes AS RESTRICTIVE TO xisuan_city
    USING (for_whole_city() OR enterprise = own_enterprise());
CREATE POLICY own_enterprise ON quotas AS RESTRICTIVE TO xisuan_city
    USING (for_whole_city() OR enterprise = own_enterprise());
CREATE POLICY own_enterprise ON enterprises AS RESTRICTIVE TO xisuan_city
    USING (for_whole_city() OR enterprise = own_enterprise());
CREATE POLICY own_enterprise ON voucher_applications AS RESTRICTIVE TO xisuan_city
    USING (for_whole_city() OR enterprise = own_enterprise());
CREATE POLICY own_enterprise ON vouchers AS RESTRICTIVE TO xisuan_city
    USING (for_whole_city() OR enterprise = own_enterprise());
CREATE POLICY own_enterprise ON voucher_story AS RESTRICTIVE TO xisuan_city
    USING (for_whole_city() OR enterprise = own_enterprise());

-- Rows of jobs and leases: as far as the job can be seen, or the lease. A scalar subquery is a look-up for each row. An
-- EXISTS may be hashed instead, and whoever follows a busy city's events would read all of its jobs again and again.
DO $$
DECLARE
    fenced text;
BEGIN
    FOREACH fenced IN ARRAY ARRAY['leases', 'event_outbox', 'events', 'job_upstreams', 'promises', 'promise_history',
                                  'expected_starts'] LOOP
        EXECUTE format('CREATE POLICY own_enterprise ON %1$I AS RESTRICTIVE TO xisuan_city
                            USING (for_whole_city()
                                   OR (SELECT true FROM jobs j WHERE j.job_id = %1$I.job_id))', fenced);
    END LOOP;
    FOREACH fenced IN ARRAY ARRAY['lease_usage', 'lease_energy'] LOOP
        EXECUTE format('CREATE POLICY own_enterprise ON %1$I AS RESTRICTIVE TO xisuan_city
                            USING (for_whole_city()
                                   OR (SELECT true FROM leases l WHERE l.lease_id = %1$I.lease_id))', fenced);
    END LOOP;
END
$$;

-- The city's sum of energy has no part of an enterprise.
CREATE POLICY own_enterprise ON energy_counts AS RESTRICTIVE TO xisuan_city USING (for_whole_city());

-- The books: the enterprise's own account and those of its vouchers. Balances, postings, transactions and captures follow
-- their accounts already; a hold is seen by whose money is in it, and of its parts only that money.
CREATE POLICY own_enterprise ON ledger_accounts AS RESTRICTIVE TO xisuan_city
    USING (for_whole_city() OR name = 'enterprise/' || city || '/' || own_enterprise()
           OR (kind = 'voucher' AND regexp_replace(split_part(name, '/', 3), '-rest$', '')
                                    IN (SELECT v.voucher FROM vouchers v)));
CREATE POLICY own_enterprise ON ledger_holds AS RESTRICTIVE TO xisuan_city
    USING (for_whole_city()
           OR (SELECT true FROM ledger_postings p WHERE p.transaction_id = ledger_holds.hold_id LIMIT 1));
CREATE POLICY own_enterprise ON ledger_hold_parts AS RESTRICTIVE TO xisuan_city
    USING (for_whole_city() OR account_id IN (SELECT a.account_id FROM ledger_accounts a));
