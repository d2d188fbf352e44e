-- The world: what there is to match. Names are slugs; figures keep their source and date.
CREATE DOMAIN slug AS text CHECK (VALUE ~ '^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$');

CREATE TABLE hubs (
    hub                 slug PRIMARY KEY,
    title               text NOT NULL,
    power_kilowatts_max bigint NOT NULL DEFAULT 0 CHECK (power_kilowatts_max >= 0),  -- 0: not known
    pue_milli           int NOT NULL DEFAULT 0 CHECK (pue_milli = 0 OR pue_milli >= 1000)  -- 0: not known
);

CREATE TABLE hub_capacity (
    hub               slug NOT NULL REFERENCES hubs,
    date              date NOT NULL,
    fp16_milli_pflops bigint NOT NULL CHECK (fp16_milli_pflops >= 0),
    cards             bigint NOT NULL DEFAULT 0 CHECK (cards >= 0),
    racks             bigint NOT NULL DEFAULT 0 CHECK (racks >= 0),
    planned           boolean NOT NULL,
    doubtful          boolean NOT NULL,
    source            text NOT NULL,
    PRIMARY KEY (hub, date, source)
);

CREATE TABLE accelerator_models (
    model                        slug PRIMARY KEY,
    vendor                       text NOT NULL,
    stack                        slug NOT NULL,
    origin                       text NOT NULL CHECK (origin IN ('domestic', 'foreign')),
    fp16_nameplate_milli_tflops  bigint NOT NULL CHECK (fp16_nameplate_milli_tflops >= 0),  -- 0: not known
    fp16_programme_milli_tflops  bigint NOT NULL CHECK (fp16_programme_milli_tflops > 0),
    fp16_measured_milli_tflops   bigint NOT NULL CHECK (fp16_measured_milli_tflops >= 0),  -- 0: not known
    memory_mib                   bigint NOT NULL CHECK (memory_mib >= 0),
    watts                        int NOT NULL CHECK (watts >= 0),
    source                       text NOT NULL
);

CREATE TABLE cities (
    city                               slug PRIMARY KEY,
    title                              text NOT NULL,
    weight_ppm                         int NOT NULL CHECK (weight_ppm > 0),
    pending_jobs_max                   int NOT NULL CHECK (pending_jobs_max >= 0),
    calls_per_second_max               int NOT NULL CHECK (calls_per_second_max > 0),
    ceiling_micro_yuan_per_pflops_hour bigint NOT NULL CHECK (ceiling_micro_yuan_per_pflops_hour > 0)
);

CREATE TABLE round_trips (
    city   slug NOT NULL REFERENCES cities,
    hub    slug NOT NULL REFERENCES hubs,
    micros int NOT NULL CHECK (micros > 0),
    source text NOT NULL,
    PRIMARY KEY (city, hub)
);

CREATE TABLE clusters (
    cluster        slug PRIMARY KEY,
    hub            slug NOT NULL REFERENCES hubs,
    owner          slug NOT NULL,
    title          text NOT NULL,
    engine         text NOT NULL DEFAULT '',
    agent_state    text NOT NULL DEFAULT 'never' CHECK (agent_state IN ('never', 'live', 'suspect', 'lost')),
    agent_instance text NOT NULL DEFAULT '',
    session_epoch  bigint NOT NULL DEFAULT 0,  -- fence of the agent's stream
    heard_at       timestamptz,
    CHECK ((agent_state = 'never') = (heard_at IS NULL))
);

CREATE TABLE asks (
    cluster                      slug NOT NULL REFERENCES clusters,
    model                        slug NOT NULL REFERENCES accelerator_models,
    micro_yuan_per_card_hour     bigint NOT NULL CHECK (micro_yuan_per_card_hour >= 0),
    PRIMARY KEY (cluster, model)
);

CREATE TABLE pools (
    pool_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cluster slug NOT NULL REFERENCES clusters,
    pool    slug NOT NULL,
    model   slug NOT NULL REFERENCES accelerator_models,
    UNIQUE (cluster, pool)
);

CREATE TABLE nodes (
    node_id       int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cluster       slug NOT NULL REFERENCES clusters,
    pool_id       int NOT NULL REFERENCES pools,
    node          text NOT NULL CHECK (node ~ '^[A-Za-z0-9_.-]{1,253}$'),
    cards         smallint NOT NULL CHECK (cards BETWEEN 0 AND 64),
    cpu_milli     int NOT NULL CHECK (cpu_milli >= 0),
    memory_mib    int NOT NULL CHECK (memory_mib >= 0),
    mode          text NOT NULL DEFAULT 'open' CHECK (mode IN ('open', 'cordoned', 'draining', 'drained')),
    mode_reason   text NOT NULL DEFAULT '',
    present       boolean NOT NULL DEFAULT true,  -- false: the agent's inventory no longer has it
    down          boolean NOT NULL DEFAULT false,
    foreign_cards smallint[] NOT NULL DEFAULT '{}',
    detail        text NOT NULL DEFAULT '',
    UNIQUE (cluster, node)
);
CREATE INDEX nodes_by_pool ON nodes (pool_id);

CREATE TABLE api_keys (
    key_id        text PRIMARY KEY,
    secret_sha256 bytea NOT NULL,
    role          text NOT NULL CHECK (role IN ('city', 'agent', 'operator', 'observer')),
    subject       text NOT NULL DEFAULT '',
    note          text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL,
    revoked_at    timestamptz,
    CHECK ((role IN ('city', 'agent')) = (subject <> ''))
);

-- What operators did, for ever.
CREATE TABLE operator_acts (
    act_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL,
    key_id  text NOT NULL,
    act     text NOT NULL,
    subject text NOT NULL,
    detail  jsonb NOT NULL
);

-- A city's weight, limits and ceiling are nobody else's business: cities are read with the hub's role only.
GRANT SELECT ON hubs, hub_capacity, accelerator_models, clusters, pools, nodes TO xisuan_city;
GRANT SELECT, INSERT, UPDATE, DELETE
    ON hubs, hub_capacity, accelerator_models, cities, round_trips, clusters, asks, pools, nodes TO xisuan_hub;
GRANT SELECT, INSERT, UPDATE ON api_keys TO xisuan_hub;
GRANT SELECT, INSERT ON operator_acts TO xisuan_hub;
