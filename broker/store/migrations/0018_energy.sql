-- Energy by month, cluster and city, how much of it was green, and the lines that parks are measured against.
ALTER TABLE hubs
    ADD COLUMN green_share_ppm   int NOT NULL DEFAULT 0  -- of the power outside its green hours
        CHECK (green_share_ppm BETWEEN 0 AND 1000000),
    ADD COLUMN pue_line_milli    int NOT NULL DEFAULT 0  -- the PUE may not be higher; 0: no line
        CHECK (pue_line_milli = 0 OR pue_line_milli BETWEEN 1000 AND 4000),
    ADD COLUMN green_line_ppm    int NOT NULL DEFAULT 0  -- so much of its energy has to be green; 0: no line
        CHECK (green_line_ppm BETWEEN 0 AND 1000000);

-- Card-seconds are exact: energy is these, times the watts of a card with its share of the host, times the PUE.
-- Both are part of the key, so that what was counted stays what it was when they change.
CREATE TABLE energy_counts (
    month              date NOT NULL CHECK (extract(day FROM month) = 1),  -- its first day, UTC+8
    cluster            slug NOT NULL REFERENCES clusters,
    city               slug NOT NULL REFERENCES cities,
    model              slug NOT NULL REFERENCES accelerator_models,
    watts              int NOT NULL CHECK (watts >= 0),
    pue_milli          int NOT NULL CHECK (pue_milli >= 1000),
    card_seconds       numeric NOT NULL,  -- below zero where an end became known late, after watts or PUE had changed
    green_card_seconds numeric NOT NULL,
    PRIMARY KEY (month, cluster, city, model, watts, pue_milli)
);
CREATE TABLE energy_counted (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    since       timestamptz NOT NULL,  -- what was drawn before is in no count
    until       timestamptz NOT NULL,
    CHECK (since <= until)
);
-- Leases that were alive when it was counted last: an agent that was silent may tell of an end before that.
CREATE TABLE energy_open (
    lease_id bigint PRIMARY KEY REFERENCES leases
);

-- What a lease has drawn in all: written once, when it has ended and is counted.
CREATE TABLE lease_energy (
    lease_id     bigint PRIMARY KEY REFERENCES leases,
    city         slug NOT NULL,
    it_joules    bigint NOT NULL CHECK (it_joules >= 0),        -- of cards and hosts
    meter_joules bigint NOT NULL CHECK (meter_joules >= it_joules),
    green_joules bigint NOT NULL CHECK (green_joules BETWEEN 0 AND meter_joules)  -- of those at the meter
);

ALTER TABLE energy_counts ENABLE ROW LEVEL SECURITY;
ALTER TABLE energy_counts FORCE ROW LEVEL SECURITY;
ALTER TABLE lease_energy ENABLE ROW LEVEL SECURITY;
ALTER TABLE lease_energy FORCE ROW LEVEL SECURITY;
CREATE POLICY own_city ON energy_counts TO xisuan_city USING (city = current_setting('xisuan.city', true));
CREATE POLICY own_city ON lease_energy TO xisuan_city USING (city = current_setting('xisuan.city', true));
CREATE POLICY all_cities ON energy_counts TO xisuan_hub USING (true);
CREATE POLICY all_cities ON lease_energy TO xisuan_hub USING (true);
GRANT SELECT ON energy_counts, energy_counted, lease_energy TO xisuan_city;
GRANT SELECT, INSERT, UPDATE ON energy_counts, energy_counted TO xisuan_hub;
GRANT SELECT, INSERT, DELETE ON energy_open TO xisuan_hub;
GRANT SELECT, INSERT ON lease_energy TO xisuan_hub;

-- What a GEMM was measured at on cards of a node: rows are added and never changed. The job ran the program; the engine
-- says whether its cards are real.
CREATE TABLE probes (
    probe_id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lease_id             bigint NOT NULL UNIQUE REFERENCES leases,
    cluster              slug NOT NULL REFERENCES clusters,
    node                 text NOT NULL,
    model                slug NOT NULL REFERENCES accelerator_models,
    cards                int NOT NULL CHECK (cards > 0),
    measured_milli_tflops bigint NOT NULL CHECK (measured_milli_tflops > 0),  -- of one card
    precision            text NOT NULL CHECK (length(precision) BETWEEN 1 AND 16),
    emulated             boolean NOT NULL,
    at                   timestamptz NOT NULL,
    recorded_by          text NOT NULL
);
CREATE INDEX probes_by_cluster ON probes (cluster, model, at DESC);
GRANT SELECT, INSERT ON probes TO xisuan_hub;
