-- Jobs, leases, events. Row-level security is forced: with the role of cities a forgotten WHERE shows nothing foreign.

-- Requests that are equal to the planner share one row, so that a million jobs are a few thousand shapes.
CREATE TABLE shapes (
    shape_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sha256      bytea NOT NULL UNIQUE,
    requirement jsonb NOT NULL
);

CREATE SEQUENCE job_ids AS bigint;

CREATE TABLE jobs (
    job_id              bigint PRIMARY KEY DEFAULT nextval('job_ids'),
    city                slug NOT NULL REFERENCES cities,
    request_key         text NOT NULL CHECK (length(request_key) BETWEEN 1 AND 128),
    body_sha256         bytea NOT NULL,
    spec                jsonb NOT NULL,
    shape_id            bigint NOT NULL REFERENCES shapes,
    job_set             text NOT NULL DEFAULT '',
    priority            text NOT NULL CHECK (priority IN ('deferrable', 'standard', 'urgent', 'emergency')),
    ceiling_micro_yuan_per_pflops_hour bigint NOT NULL CHECK (ceiling_micro_yuan_per_pflops_hour > 0),
    walltime_seconds    int NOT NULL CHECK (walltime_seconds > 0),
    start_by            timestamptz,
    if_lost             text NOT NULL CHECK (if_lost IN ('hold', 'restart')),
    attempts_max        smallint NOT NULL CHECK (attempts_max BETWEEN 1 AND 10),
    state               text NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'leased', 'running', 'succeeded', 'failed', 'cancelled', 'expired')),
    attempt             int NOT NULL DEFAULT 0 CHECK (attempt >= 0),   -- epochs given so far
    failures            smallint NOT NULL DEFAULT 0 CHECK (failures >= 0),  -- attempts that failed by themselves
    waiting_reason      text NOT NULL DEFAULT '',
    submitted_at        timestamptz NOT NULL,
    started_at          timestamptz,
    cancel_requested_at timestamptz,
    ended_at            timestamptz,
    end_reason          text CHECK (end_reason IN ('completed', 'exit_code', 'signal', 'walltime', 'cancelled',
                                                   'start_failed', 'lost', 'written_off', 'expired', 'vanished')),
    exit_code           int NOT NULL DEFAULT 0,
    signal              smallint NOT NULL DEFAULT 0,
    end_detail          text NOT NULL DEFAULT '',
    UNIQUE (city, request_key),
    CHECK ((state IN ('succeeded', 'failed', 'cancelled', 'expired')) = (ended_at IS NOT NULL)),
    CHECK ((ended_at IS NULL) = (end_reason IS NULL)),
    CHECK (state = 'pending' OR attempt > 0 OR state IN ('cancelled', 'expired'))
);
-- Room for new versions of a row on its page: a waiting job is told again and again why it waits.
ALTER TABLE jobs SET (fillfactor = 70);
CREATE INDEX jobs_pending ON jobs (job_id) WHERE state = 'pending';
CREATE INDEX jobs_pending_by_city ON jobs (city) WHERE state = 'pending';
CREATE INDEX jobs_start_by ON jobs (start_by) WHERE state = 'pending' AND start_by IS NOT NULL;
CREATE INDEX jobs_by_city ON jobs (city, job_id DESC);
CREATE INDEX jobs_by_set ON jobs (city, job_set, job_id DESC) WHERE job_set <> '';

CREATE TABLE rounds (
    round_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    leader_epoch      bigint NOT NULL,
    at                timestamptz NOT NULL,
    outcome           text NOT NULL CHECK (outcome IN ('committed', 'rejected', 'failed')),
    input_sha256      text NOT NULL,
    jobs              int NOT NULL,
    placed            int NOT NULL,
    stale             int NOT NULL,
    objective_micro_yuan_per_hour bigint NOT NULL,
    bound_micro_yuan_per_hour     bigint NOT NULL,
    gap_ppm           int NOT NULL,
    effort            int NOT NULL,
    snapshot_millis   int NOT NULL,
    plan_millis       int NOT NULL,
    verify_millis     int NOT NULL,
    commit_millis     int NOT NULL,
    versions          text[] NOT NULL,
    error             text NOT NULL DEFAULT '',
    refused_by_reason jsonb NOT NULL
);

-- What a replay needs; only the last rounds are kept (a setting).
CREATE TABLE round_records (
    round_id    bigint PRIMARY KEY REFERENCES rounds,
    snapshot    bytea NOT NULL,
    plan        bytea NOT NULL,
    policy_json text NOT NULL
);

CREATE TABLE leases (
    lease_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id     bigint NOT NULL REFERENCES jobs,
    city       slug NOT NULL,
    cluster    slug NOT NULL REFERENCES clusters,
    pool_id    int NOT NULL REFERENCES pools,
    build      smallint NOT NULL CHECK (build >= 0),
    epoch      int NOT NULL CHECK (epoch > 0),
    if_lost    text NOT NULL CHECK (if_lost IN ('hold', 'restart')),
    state      text NOT NULL DEFAULT 'offered' CHECK (state IN ('offered', 'active', 'lost', 'ended')),
    round_id   bigint NOT NULL REFERENCES rounds,
    offered_at timestamptz NOT NULL,
    started_at timestamptz,
    lost_at    timestamptz,
    ended_at   timestamptz,
    end_reason text CHECK (end_reason IN ('completed', 'exit_code', 'signal', 'walltime', 'cancelled',
                                          'start_failed', 'lost', 'written_off', 'expired', 'vanished')),
    exit_code  int NOT NULL DEFAULT 0,
    signal     smallint NOT NULL DEFAULT 0,
    end_detail text NOT NULL DEFAULT '',
    UNIQUE (job_id, epoch),
    CHECK ((state = 'ended') = (ended_at IS NOT NULL)),
    CHECK ((state = 'ended') = (end_reason IS NOT NULL)),
    CHECK (state <> 'active' OR started_at IS NOT NULL)
);
-- No job runs twice: at most one live lease for each.
CREATE UNIQUE INDEX leases_one_live ON leases (job_id) WHERE state <> 'ended';
CREATE INDEX leases_live_by_cluster ON leases (cluster) WHERE state <> 'ended';

CREATE TABLE lease_nodes (
    lease_id bigint NOT NULL REFERENCES leases,
    node_id  int NOT NULL REFERENCES nodes,
    cards    smallint[] NOT NULL CHECK (cardinality(cards) > 0),
    tasks    int NOT NULL CHECK (tasks > 0),
    PRIMARY KEY (lease_id, node_id)
);

-- No card is promised twice: the primary key says so. A row lives as long as its lease does.
CREATE TABLE held_cards (
    node_id  int NOT NULL REFERENCES nodes,
    card     smallint NOT NULL CHECK (card >= 0),
    lease_id bigint NOT NULL REFERENCES leases,
    PRIMARY KEY (node_id, card)
);
CREATE INDEX held_cards_by_lease ON held_cards (lease_id);

-- Events are written here, without a number, by the transaction that causes them; the numbering loop moves committed
-- rows to `events`. Order is visibility order, gap-free, and no submission waits for another.
CREATE TABLE event_outbox (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    city     slug NOT NULL,
    job_id   bigint NOT NULL,
    kind     text NOT NULL CHECK (kind IN ('submitted', 'leased', 'started', 'succeeded', 'failed', 'cancelled',
                                           'expired', 'cancel_requested', 'lost', 'found', 'requeued', 'updated')),
    at       timestamptz NOT NULL,
    attempt  int NOT NULL DEFAULT 0,
    lease_id bigint,           -- for 'leased'
    ending   jsonb             -- {reason, exit_code, signal, detail}, for endings
);

CREATE TABLE events (
    city     slug NOT NULL,
    cursor   bigint NOT NULL CHECK (cursor > 0),
    job_id   bigint NOT NULL,
    kind     text NOT NULL,
    at       timestamptz NOT NULL,
    attempt  int NOT NULL,
    lease_id bigint,
    ending   jsonb,
    PRIMARY KEY (city, cursor)
);
CREATE INDEX events_by_job ON events (job_id, cursor);

CREATE TABLE event_cursors (
    city slug PRIMARY KEY,
    last bigint NOT NULL CHECK (last >= 0)
);

-- Which broker leads the rounds; its epoch is checked in every commit of a round.
CREATE TABLE leadership (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    holder     text NOT NULL,
    epoch      bigint NOT NULL,
    expires_at timestamptz NOT NULL
);

ALTER TABLE jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE jobs FORCE ROW LEVEL SECURITY;
ALTER TABLE leases ENABLE ROW LEVEL SECURITY;
ALTER TABLE leases FORCE ROW LEVEL SECURITY;
ALTER TABLE lease_nodes ENABLE ROW LEVEL SECURITY;
ALTER TABLE lease_nodes FORCE ROW LEVEL SECURITY;
ALTER TABLE event_outbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE event_outbox FORCE ROW LEVEL SECURITY;
ALTER TABLE events ENABLE ROW LEVEL SECURITY;
ALTER TABLE events FORCE ROW LEVEL SECURITY;
ALTER TABLE event_cursors ENABLE ROW LEVEL SECURITY;
ALTER TABLE event_cursors FORCE ROW LEVEL SECURITY;

CREATE POLICY own_city ON jobs TO xisuan_city USING (city = current_setting('xisuan.city', true));
CREATE POLICY own_city ON leases TO xisuan_city USING (city = current_setting('xisuan.city', true));
CREATE POLICY own_city ON lease_nodes TO xisuan_city
    USING (EXISTS (SELECT FROM leases WHERE leases.lease_id = lease_nodes.lease_id));
CREATE POLICY own_city ON event_outbox TO xisuan_city USING (city = current_setting('xisuan.city', true));
CREATE POLICY own_city ON events TO xisuan_city USING (city = current_setting('xisuan.city', true));
CREATE POLICY own_city ON event_cursors TO xisuan_city USING (city = current_setting('xisuan.city', true));
CREATE POLICY all_cities ON jobs TO xisuan_hub USING (true);
CREATE POLICY all_cities ON leases TO xisuan_hub USING (true);
CREATE POLICY all_cities ON lease_nodes TO xisuan_hub USING (true);
CREATE POLICY all_cities ON event_outbox TO xisuan_hub USING (true);
CREATE POLICY all_cities ON events TO xisuan_hub USING (true);
CREATE POLICY all_cities ON event_cursors TO xisuan_hub USING (true);

GRANT SELECT, INSERT, UPDATE ON jobs TO xisuan_city;
GRANT SELECT, INSERT ON shapes, event_outbox TO xisuan_city;
GRANT SELECT ON leases, lease_nodes, events, event_cursors TO xisuan_city;
GRANT USAGE ON SEQUENCE job_ids TO xisuan_city, xisuan_hub;
GRANT SELECT, INSERT, UPDATE ON jobs, leases, rounds, event_cursors, leadership TO xisuan_hub;
GRANT SELECT, INSERT ON shapes, lease_nodes, events TO xisuan_hub;
GRANT SELECT, INSERT, DELETE ON held_cards, event_outbox, round_records TO xisuan_hub;
