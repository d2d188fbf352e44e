-- Computing vouchers: programmes, enterprises, applications, vouchers, and the dated story of all of them.
CREATE TABLE voucher_programmes (
    programme         slug PRIMARY KEY CHECK (length(programme) <= 40),
    hub               slug NOT NULL REFERENCES hubs,
    year              int NOT NULL CHECK (year BETWEEN 2000 AND 2099),
    budget_micro_yuan bigint NOT NULL CHECK (budget_micro_yuan > 0),
    minimum_milli_pflops bigint NOT NULL CHECK (minimum_milli_pflops >= 0),
    rules             jsonb NOT NULL,  -- the validated document, with its sources
    set_at            timestamptz NOT NULL
);

-- Registered by the voucher office. A registration number or a plant stands for one enterprise of the whole exchange, so
-- nobody is split to be subsidised twice.
CREATE TABLE enterprises (
    city           slug NOT NULL REFERENCES cities,
    enterprise     slug NOT NULL,
    title          text NOT NULL,
    registration   text NOT NULL,
    plant          text NOT NULL,
    registration_plain text NOT NULL CONSTRAINT enterprises_registered_once UNIQUE,
    plant_plain    text NOT NULL CONSTRAINT enterprises_plant_once UNIQUE,
    applicant_type text NOT NULL CHECK (applicant_type IN ('company', 'university', 'institute', 'sole_trader')),
    related_owners text[] NOT NULL DEFAULT '{}',  -- owners of clusters whom its vouchers may not pay
    set_at         timestamptz NOT NULL,
    PRIMARY KEY (city, enterprise)
);

CREATE TABLE voucher_applications (
    application_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    city               slug NOT NULL,
    enterprise         slug NOT NULL,
    programme          slug NOT NULL REFERENCES voucher_programmes,
    side               text NOT NULL CHECK (side IN ('demand', 'supply')),
    provider           slug NOT NULL,  -- owner of clusters with whom the contract is
    contract           text NOT NULL,
    contract_plain     text NOT NULL,
    micro_yuan         bigint NOT NULL CHECK (micro_yuan > 0),
    scale_milli_pflops bigint NOT NULL CHECK (scale_milli_pflops >= 0),
    workload_classes   text[] NOT NULL,
    papers             text[] NOT NULL,
    state              text NOT NULL DEFAULT 'submitted'
        CHECK (state IN ('submitted', 'in_review', 'granted', 'refused', 'withdrawn')),
    request_key        text NOT NULL CHECK (length(request_key) BETWEEN 1 AND 128),
    body_sha256        bytea NOT NULL,
    applied_at         timestamptz NOT NULL,
    UNIQUE (city, request_key),
    FOREIGN KEY (city, enterprise) REFERENCES enterprises
);
-- One contract is claimed once, over all programmes and both sides.
CREATE UNIQUE INDEX voucher_contract_once ON voucher_applications (provider, contract_plain)
    WHERE state NOT IN ('refused', 'withdrawn');
CREATE INDEX voucher_applications_by_enterprise ON voucher_applications (city, enterprise);

-- A voucher keeps the terms of its grant, whatever the programme says later.
CREATE TABLE vouchers (
    voucher            text PRIMARY KEY CHECK (voucher ~ '^[a-z]([a-z0-9-]{0,61}[0-9])$'),
    city               slug NOT NULL,
    application_id     bigint NOT NULL UNIQUE REFERENCES voucher_applications,
    programme          slug NOT NULL REFERENCES voucher_programmes,
    hub                slug NOT NULL REFERENCES hubs,
    enterprise         slug NOT NULL,
    state              text NOT NULL
        CHECK (state IN ('conditional', 'active', 'suspended', 'used_up', 'expired', 'redeemed')),
    granted_micro_yuan bigint NOT NULL CHECK (granted_micro_yuan > 0),
    domestic_ppm       int NOT NULL CHECK (domestic_ppm BETWEEN 0 AND 1000000),
    other_ppm          int NOT NULL CHECK (other_ppm BETWEEN 0 AND 1000000),
    workload_classes   text[] NOT NULL,
    scale_milli_pflops bigint NOT NULL CHECK (scale_milli_pflops >= 0),
    papers_missing     text[] NOT NULL DEFAULT '{}',
    papers_due         timestamptz,
    granted_at         timestamptz NOT NULL,
    valid_until        timestamptz NOT NULL,
    suspended_at       timestamptz,
    suspended_by_officer boolean NOT NULL DEFAULT false,  -- false: by the date on which papers were due
    returns            int NOT NULL DEFAULT 0 CHECK (returns >= 0),  -- how often money went back to the budget
    FOREIGN KEY (city, enterprise) REFERENCES enterprises,
    CHECK ((papers_due IS NOT NULL) = (cardinality(papers_missing) > 0)),
    CHECK ((state = 'suspended') = (suspended_at IS NOT NULL)),
    CHECK (state <> 'active' OR papers_due IS NULL)
);
CREATE INDEX vouchers_by_enterprise ON vouchers (city, enterprise);
CREATE INDEX vouchers_by_programme ON vouchers (programme);

-- Who did what and when. Never changed.
CREATE TABLE voucher_story (
    story_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at             timestamptz NOT NULL,
    event          text NOT NULL CHECK (event IN ('programme_set', 'enterprise_set', 'applied', 'withdrawn', 'review_begun',
        'refused', 'granted', 'granted_conditionally', 'papers_delivered', 'papers_complete', 'papers_overdue',
        'suspended', 'resumed', 'used_up', 'expired', 'returned', 'redeemed')),
    officer        text NOT NULL,  -- a person's name; of what a city or a loop did, who that is
    key_id         text NOT NULL,
    programme      text,
    city           text,
    enterprise     text,
    application_id bigint,
    voucher        text,
    note           text NOT NULL,
    detail         jsonb NOT NULL
);
CREATE INDEX voucher_story_by_enterprise ON voucher_story (city, enterprise, story_id) WHERE city IS NOT NULL;
CREATE INDEX voucher_story_by_voucher ON voucher_story (voucher, story_id) WHERE voucher IS NOT NULL;
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON voucher_story
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_immutable();

DO $$
DECLARE
    fenced text;
BEGIN
    FOREACH fenced IN ARRAY ARRAY['enterprises', 'voucher_applications', 'vouchers', 'voucher_story'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', fenced);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', fenced);
        EXECUTE format('CREATE POLICY all_cities ON %I TO xisuan_hub USING (true)', fenced);
        EXECUTE format('CREATE POLICY own_city ON %I TO xisuan_city USING (city = current_setting(''xisuan.city'', true))',
                       fenced);
    END LOOP;
END
$$;
GRANT SELECT ON voucher_programmes, enterprises, voucher_applications, vouchers, voucher_story TO xisuan_city;
GRANT SELECT, INSERT, UPDATE ON voucher_programmes, enterprises, voucher_applications, vouchers TO xisuan_hub;
GRANT SELECT, INSERT ON voucher_story TO xisuan_hub;

-- What an expired voucher had left goes back to its budget.
ALTER TABLE ledger_transactions DROP CONSTRAINT ledger_transactions_kind_check;
ALTER TABLE ledger_transactions ADD CONSTRAINT ledger_transactions_kind_check
    CHECK (kind IN ('deposit', 'grant', 'hold', 'capture', 'release', 'expiry', 'credit_note', 'return'));

-- Officers of the voucher office.
ALTER TABLE api_keys DROP CONSTRAINT api_keys_role_check;
ALTER TABLE api_keys ADD CONSTRAINT api_keys_role_check
    CHECK (role IN ('city', 'agent', 'operator', 'observer', 'auditor', 'owner', 'voucher_office'));
