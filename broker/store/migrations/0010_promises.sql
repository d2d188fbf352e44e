-- Promised starts: one row for each waiting job that is promised one, as the last committed round left it.
CREATE TABLE promises (
    job_id              bigint PRIMARY KEY REFERENCES jobs,
    city                slug NOT NULL,
    attempt             int NOT NULL CHECK (attempt >= 0),  -- the job's when it was promised: of another it says nothing
    pool_id             int NOT NULL REFERENCES pools,
    nodes               text[] NOT NULL CHECK (cardinality(nodes) > 0),  -- names; they may go before the promise does
    tasks               int[] NOT NULL,            -- on each of these nodes
    build               smallint NOT NULL CHECK (build >= 0),
    starts_at           timestamptz NOT NULL,      -- at the latest
    ends_at             timestamptz NOT NULL,
    first_starts_at     timestamptz NOT NULL,      -- the start that was promised first
    not_before          timestamptz,               -- null: as soon as it can
    worth_micro_yuan_per_hour bigint NOT NULL,
    cards_per_task      int NOT NULL CHECK (cards_per_task > 0),
    cpu_milli_per_task  int NOT NULL CHECK (cpu_milli_per_task >= 0),
    memory_mib_per_task int NOT NULL CHECK (memory_mib_per_task >= 0),
    within              text NOT NULL CHECK (within IN ('pool', 'domain', 'node')),
    made_at             timestamptz NOT NULL,
    round_id            bigint NOT NULL REFERENCES rounds,  -- that made it
    CHECK (cardinality(nodes) = cardinality(tasks)),
    CHECK (ends_at > starts_at)
);

-- What became of each promise: rows are added and never changed.
CREATE TABLE promise_history (
    entry_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id      bigint NOT NULL REFERENCES jobs,
    city        slug NOT NULL,
    round_id    bigint NOT NULL REFERENCES rounds,
    at          timestamptz NOT NULL,
    fate        text NOT NULL CHECK (fate IN ('made', 'kept', 'late', 'moved', 'broken', 'gone')),
    cause       text CHECK (cause IN ('nodes_gone', 'power_short', 'quota_short')),
    promised_at timestamptz,  -- the start as it stood before; null: there was no promise
    starts_at   timestamptz,  -- as it stands from now on; null: there is no promise any more
    CHECK ((fate IN ('moved', 'broken')) = (cause IS NOT NULL)),
    CHECK ((fate = 'made') = (promised_at IS NULL)),
    CHECK ((fate IN ('broken', 'gone')) = (starts_at IS NULL))
);
CREATE INDEX promise_history_by_job ON promise_history (job_id, entry_id);

ALTER TABLE promises ENABLE ROW LEVEL SECURITY;
ALTER TABLE promises FORCE ROW LEVEL SECURITY;
ALTER TABLE promise_history ENABLE ROW LEVEL SECURITY;
ALTER TABLE promise_history FORCE ROW LEVEL SECURITY;
CREATE POLICY own_city ON promises TO xisuan_city USING (city = current_setting('xisuan.city', true));
CREATE POLICY own_city ON promise_history TO xisuan_city USING (city = current_setting('xisuan.city', true));
CREATE POLICY all_cities ON promises TO xisuan_hub USING (true);
CREATE POLICY all_cities ON promise_history TO xisuan_hub USING (true);
GRANT SELECT ON promises, promise_history TO xisuan_city;
GRANT SELECT, INSERT, DELETE ON promises TO xisuan_hub;
GRANT SELECT, INSERT ON promise_history TO xisuan_hub;

-- What a round knew beyond now, and what it decided beside its plan; rounds of earlier releases have neither.
ALTER TABLE round_records
    ADD COLUMN horizon bytea,
    ADD COLUMN decision bytea,
    ADD CHECK ((horizon IS NULL) = (decision IS NULL));
