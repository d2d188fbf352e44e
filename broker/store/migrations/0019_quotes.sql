-- Quotes: what a start would cost, and when it is sure. The terms of one are written once; only what became of it changes.
CREATE TABLE quotes (
    quote_id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    city                slug NOT NULL REFERENCES cities,
    spec                jsonb NOT NULL,           -- as it was asked for
    pool_id             int NOT NULL REFERENCES pools,
    build               smallint NOT NULL CHECK (build >= 0),
    not_before          timestamptz NOT NULL,     -- the start window: from then on ...
    starts_by           timestamptz NOT NULL,     -- ... and by then, or it is missed
    starts_at           timestamptz NOT NULL,     -- the earliest start that was found when it was asked for
    ask_micro_yuan_per_card_hour      bigint NOT NULL CHECK (ask_micro_yuan_per_card_hour >= 0),
    scarcity_micro_yuan_per_card_hour bigint NOT NULL CHECK (scarcity_micro_yuan_per_card_hour >= 0),
    rate_card_version   int NOT NULL CHECK (rate_card_version >= 0),  -- that holds at the start; 0: none stands
    round_id            bigint REFERENCES rounds, -- whose scarcity it is; null: no round was there
    total_micro_yuan    bigint NOT NULL CHECK (total_micro_yuan >= 0),  -- of the whole walltime: what is held
    energy_micro_yuan   bigint NOT NULL CHECK (energy_micro_yuan >= 0),    -- of the walltime; within the ceiling, not charged
    transfer_micro_yuan bigint NOT NULL CHECK (transfer_micro_yuan >= 0),  -- of the data, both ways; the same
    transfer_seconds    bigint NOT NULL CHECK (transfer_seconds >= 0),
    within_ceiling      boolean NOT NULL,         -- the city's ceilings allow the price; else it cannot be accepted
    asked_at            timestamptz NOT NULL,
    valid_until         timestamptz NOT NULL,
    state               text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'accepted', 'kept', 'missed', 'cancelled')),
    request_key         text,                     -- of the acceptance
    accepted_at         timestamptz,
    job_id              bigint UNIQUE REFERENCES jobs,
    hold_id             bigint REFERENCES ledger_holds,  -- null: its city does not pay in advance, or it costs nothing
    decided_at          timestamptz,              -- when it was found kept, missed or cancelled
    credit_micro_yuan   bigint CHECK (credit_micro_yuan >= 0),  -- given back for a miss; null: nothing was
    hold_released_at    timestamptz,              -- its job ended without a start, so what was held is free again
    CHECK (not_before <= starts_at AND starts_at <= starts_by AND asked_at <= valid_until),
    CHECK ((state = 'open') = (accepted_at IS NULL)),
    CHECK (num_nulls(accepted_at, job_id, request_key) IN (0, 3)),
    CHECK ((state IN ('open', 'accepted')) = (decided_at IS NULL)),
    CHECK (within_ceiling OR state = 'open')
);
CREATE UNIQUE INDEX quotes_by_request_key ON quotes (city, request_key) WHERE request_key IS NOT NULL;
CREATE INDEX quotes_by_city ON quotes (city, quote_id);
CREATE INDEX quotes_undecided ON quotes (starts_by) WHERE state = 'accepted';
CREATE INDEX quotes_held ON quotes (quote_id) WHERE hold_id IS NOT NULL AND hold_released_at IS NULL;
CREATE INDEX quotes_open ON quotes (valid_until) WHERE state = 'open';

ALTER TABLE quotes ENABLE ROW LEVEL SECURITY;
ALTER TABLE quotes FORCE ROW LEVEL SECURITY;
CREATE POLICY own_city ON quotes TO xisuan_city USING (city = current_setting('xisuan.city', true));
CREATE POLICY all_cities ON quotes TO xisuan_hub USING (true);
GRANT SELECT ON quotes TO xisuan_city;
GRANT SELECT, INSERT, DELETE ON quotes TO xisuan_hub;
GRANT UPDATE (state, request_key, accepted_at, job_id, hold_id, decided_at, credit_micro_yuan, hold_released_at)
    ON quotes TO xisuan_hub;

-- A start that an accepted quote promises was made by no round.
ALTER TABLE promises ALTER COLUMN round_id DROP NOT NULL;
ALTER TABLE promise_history ALTER COLUMN round_id DROP NOT NULL;
