-- The ledger: double entry in micro-yuan. Postings are added and never changed; every balance can be had from them again.
-- An amount is what comes to an account (positive) or leaves it (negative); a transaction's postings add up to zero.
CREATE TABLE ledger_accounts (
    account_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE CHECK (name ~ '^[a-z_]+(/[a-z0-9-]{1,63}){0,2}$'),
    kind       text NOT NULL CHECK (kind IN ('city', 'enterprise', 'voucher', 'budget', 'owner', 'fee', 'platform_loss',
                                             'external')),
    city       slug REFERENCES cities,  -- whose it is: of cities, enterprises and vouchers
    owner      slug,                    -- of clusters, whose it is
    opened_at  timestamptz NOT NULL,
    closed_at  timestamptz,
    CHECK (split_part(name, '/', 1) = kind),
    CHECK (CASE WHEN kind IN ('city', 'enterprise', 'voucher') THEN city = split_part(name, '/', 2) AND city IS NOT NULL
                ELSE city IS NULL END),
    CHECK (CASE kind WHEN 'owner' THEN owner = split_part(name, '/', 2) AND owner IS NOT NULL ELSE owner IS NULL END)
);
CREATE INDEX ledger_accounts_by_city ON ledger_accounts (city) WHERE city IS NOT NULL;
CREATE INDEX ledger_accounts_by_owner ON ledger_accounts (owner) WHERE owner IS NOT NULL;

CREATE TABLE ledger_transactions (
    transaction_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind           text NOT NULL CHECK (kind IN ('deposit', 'grant', 'hold', 'capture', 'release', 'expiry',
                                                 'credit_note')),
    request_key    text NOT NULL UNIQUE CHECK (length(request_key) BETWEEN 1 AND 200),
    body_sha256    bytea NOT NULL CHECK (octet_length(body_sha256) = 32),
    reference      text NOT NULL CHECK (length(reference) BETWEEN 1 AND 160),
    at             timestamptz NOT NULL,
    hold_id        bigint REFERENCES ledger_transactions,  -- that it captures, releases or compensates
    lines          smallint NOT NULL CHECK (lines >= 2)
);
CREATE INDEX ledger_transactions_by_hold ON ledger_transactions (hold_id) WHERE hold_id IS NOT NULL;

CREATE TABLE ledger_postings (
    transaction_id bigint NOT NULL REFERENCES ledger_transactions,
    line           smallint NOT NULL CHECK (line > 0),
    account_id     bigint NOT NULL REFERENCES ledger_accounts,
    pocket         text NOT NULL CHECK (pocket IN ('available', 'held')),
    micro_yuan     bigint NOT NULL CHECK (micro_yuan <> 0 AND abs(micro_yuan) <= 100000000000000000),
    PRIMARY KEY (transaction_id, line)
);
CREATE INDEX ledger_postings_by_account ON ledger_postings (account_id, transaction_id);

-- Balances of the accounts that never go below zero. Rows are locked by account_id, ascending, after rows of holds.
CREATE TABLE ledger_balances (
    account_id           bigint PRIMARY KEY REFERENCES ledger_accounts,
    available_micro_yuan bigint NOT NULL DEFAULT 0,
    held_micro_yuan      bigint NOT NULL DEFAULT 0,
    CHECK (available_micro_yuan BETWEEN 0 AND 1000000000000000000),
    CHECK (held_micro_yuan BETWEEN 0 AND 1000000000000000000)
) WITH (fillfactor = 50);  -- room for new versions on the page: a busy voucher's row changes hundreds of times a second

CREATE TABLE ledger_holds (
    hold_id       bigint PRIMARY KEY REFERENCES ledger_transactions,
    city          slug NOT NULL REFERENCES cities,
    reference     text NOT NULL,
    state         text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'captured', 'released', 'expired')),
    settles_until timestamptz NOT NULL
);
CREATE INDEX ledger_holds_due ON ledger_holds (settles_until) WHERE state = 'open';

CREATE TABLE ledger_hold_parts (
    hold_id             bigint NOT NULL REFERENCES ledger_holds,
    place               smallint NOT NULL CHECK (place > 0),  -- in the order in which they were drawn on
    account_id          bigint NOT NULL REFERENCES ledger_accounts,
    held_micro_yuan     bigint NOT NULL CHECK (held_micro_yuan > 0),
    captured_micro_yuan bigint NOT NULL DEFAULT 0 CHECK (captured_micro_yuan >= 0),
    released_micro_yuan bigint NOT NULL DEFAULT 0 CHECK (released_micro_yuan >= 0),
    PRIMARY KEY (hold_id, place),
    UNIQUE (hold_id, account_id),
    CHECK (captured_micro_yuan + released_micro_yuan <= held_micro_yuan)
);

-- The audit chain. Transactions that it does not cover yet wait in ledger_unchained; a loop moves them when they are
-- committed, so that nobody waits for a hash.
CREATE TABLE ledger_unchained (
    transaction_id bigint PRIMARY KEY REFERENCES ledger_transactions
);
CREATE TABLE ledger_chain (
    position       bigint PRIMARY KEY CHECK (position > 0),
    transaction_id bigint NOT NULL UNIQUE REFERENCES ledger_transactions,
    sha256         bytea NOT NULL CHECK (octet_length(sha256) = 32)
);

CREATE FUNCTION ledger_is_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed or removed: post a new transaction', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transactions
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_immutable();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_postings
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_immutable();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_chain
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_immutable();

-- Postings of a transaction come whole and balanced, in one statement; none can be added later.
CREATE FUNCTION ledger_postings_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong bigint;
BEGIN
    SELECT n.transaction_id INTO wrong
      FROM (SELECT transaction_id, sum(micro_yuan) AS total, count(*) AS lines FROM new_rows GROUP BY transaction_id) n
      JOIN ledger_transactions t USING (transaction_id) WHERE n.total <> 0 OR n.lines <> t.lines LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'postings of transaction % are not balanced, or not all of them', wrong
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER balanced AFTER INSERT ON ledger_postings REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_postings_balance();

INSERT INTO ledger_accounts (name, kind, opened_at)
    VALUES ('fee', 'fee', now()), ('platform_loss', 'platform_loss', now()), ('external', 'external', now());

-- A city sees its own accounts and what touches them, an owner of clusters his own (SET LOCAL xisuan.owner). Both only
-- read: money moves in transactions of the hub.
DO $$
DECLARE
    fenced text;
BEGIN
    FOREACH fenced IN ARRAY ARRAY['ledger_accounts', 'ledger_transactions', 'ledger_postings', 'ledger_balances',
                                  'ledger_holds', 'ledger_hold_parts', 'ledger_unchained', 'ledger_chain'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', fenced);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', fenced);
        EXECUTE format('CREATE POLICY all_cities ON %I TO xisuan_hub USING (true)', fenced);
    END LOOP;
END
$$;
CREATE POLICY own ON ledger_accounts TO xisuan_city
    USING (city = current_setting('xisuan.city', true) OR owner = current_setting('xisuan.owner', true));
CREATE POLICY own ON ledger_balances TO xisuan_city
    USING (account_id IN (SELECT a.account_id FROM ledger_accounts a));
CREATE POLICY own ON ledger_postings TO xisuan_city
    USING (account_id IN (SELECT a.account_id FROM ledger_accounts a));
CREATE POLICY own ON ledger_transactions TO xisuan_city
    USING (EXISTS (SELECT FROM ledger_postings p WHERE p.transaction_id = ledger_transactions.transaction_id));
CREATE POLICY own ON ledger_holds TO xisuan_city USING (city = current_setting('xisuan.city', true));
CREATE POLICY own ON ledger_hold_parts TO xisuan_city
    USING (EXISTS (SELECT FROM ledger_holds h WHERE h.hold_id = ledger_hold_parts.hold_id));

GRANT SELECT ON ledger_accounts, ledger_transactions, ledger_postings, ledger_balances, ledger_holds, ledger_hold_parts
    TO xisuan_city;
GRANT SELECT, INSERT ON ledger_accounts, ledger_transactions, ledger_postings, ledger_balances, ledger_holds,
    ledger_hold_parts, ledger_unchained, ledger_chain TO xisuan_hub;
GRANT UPDATE (closed_at) ON ledger_accounts TO xisuan_hub;
GRANT UPDATE ON ledger_balances TO xisuan_hub;
GRANT UPDATE (state) ON ledger_holds TO xisuan_hub;
GRANT UPDATE (captured_micro_yuan, released_micro_yuan) ON ledger_hold_parts TO xisuan_hub;
GRANT DELETE ON ledger_unchained TO xisuan_hub;

-- Who may look at the books: auditors at all of them, owners of clusters at their own.
ALTER TABLE api_keys DROP CONSTRAINT api_keys_role_check;
ALTER TABLE api_keys ADD CONSTRAINT api_keys_role_check
    CHECK (role IN ('city', 'agent', 'operator', 'observer', 'auditor', 'owner'));
ALTER TABLE api_keys DROP CONSTRAINT api_keys_check;
ALTER TABLE api_keys ADD CONSTRAINT api_keys_check CHECK ((role IN ('city', 'agent', 'owner')) = (subject <> ''));
