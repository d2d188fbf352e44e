-- What operators set besides the catalogue: shares of cards, power and energy of hubs, ways of data, quotas.

ALTER TABLE accelerator_models
    ADD COLUMN host_watts          int NOT NULL DEFAULT 0 CHECK (host_watts >= 0),  -- a busy card's share of its host
    ADD COLUMN slices_milli        smallint[] NOT NULL DEFAULT '{}'
        CHECK (1 <= ALL (slices_milli) AND 999 >= ALL (slices_milli)),              -- ascending; empty: never split
    ADD COLUMN shares_per_card_max smallint NOT NULL DEFAULT 0
        CHECK (shares_per_card_max BETWEEN 0 AND 1000);                             -- 0: as many as fit

ALTER TABLE hubs
    ADD COLUMN energy_kilowatt_hours_per_year bigint NOT NULL DEFAULT 0
        CHECK (energy_kilowatt_hours_per_year BETWEEN 0 AND 1000000000000),         -- 0: no quota
    ADD COLUMN micro_yuan_per_kilowatt_hour   int NOT NULL DEFAULT 0
        CHECK (micro_yuan_per_kilowatt_hour BETWEEN 0 AND 100000000);               -- 0: not known, energy costs nothing

-- Figures that no card and no park has were allowed, and the planner refuses them.
UPDATE accelerator_models SET watts = 5000 WHERE watts > 5000;
UPDATE hubs SET pue_milli = least(pue_milli, 4000), power_kilowatts_max = least(power_kilowatts_max, 1000000000)
 WHERE pue_milli > 4000 OR power_kilowatts_max > 1000000000;
ALTER TABLE accelerator_models ADD CHECK (watts <= 5000), ADD CHECK (host_watts <= 5000);
ALTER TABLE hubs ADD CHECK (pue_milli <= 4000), ADD CHECK (power_kilowatts_max <= 1000000000);

-- What a hub's meter has counted of a year (calendar year of UTC+8), and up to when it has.
CREATE TABLE hub_energy (
    hub           slug NOT NULL REFERENCES hubs,
    year          smallint NOT NULL,
    used_joules   bigint NOT NULL CHECK (used_joules >= 0),
    counted_until timestamptz NOT NULL,
    PRIMARY KEY (hub, year)
);

CREATE TABLE transfers (
    city               slug NOT NULL REFERENCES cities,
    hub                slug NOT NULL REFERENCES hubs,
    mib_per_second     int NOT NULL CHECK (mib_per_second BETWEEN 0 AND 1000000000),             -- 0: not measured
    micro_yuan_per_gib bigint NOT NULL CHECK (micro_yuan_per_gib BETWEEN 0 AND 1000000000),
    source             text NOT NULL,
    PRIMARY KEY (city, hub)
);

-- Leaf or super-node that a node hangs on, as its agent says; nodes of a pool that have none are one domain.
ALTER TABLE nodes ADD COLUMN domain text NOT NULL DEFAULT '' CHECK (domain ~ '^[A-Za-z0-9_.-]{0,63}$');

-- A tree: hub > city > enterprise. Figures are programme-counted FP16, thousandths of a PFLOPS. A parent is there before
-- its children and goes after them.
CREATE TABLE quotas (
    hub                     slug NOT NULL REFERENCES hubs,
    city                    slug REFERENCES cities,  -- null: of the whole hub
    enterprise              slug,                    -- null: of the whole city
    quota                   text PRIMARY KEY
        GENERATED ALWAYS AS (hub || coalesce('/' || city, '') || coalesce('/' || enterprise, '')) STORED,
    parent                  text REFERENCES quotas
        GENERATED ALWAYS AS (CASE WHEN enterprise IS NOT NULL THEN hub || '/' || city WHEN city IS NOT NULL THEN hub END)
        STORED,
    guaranteed_milli_pflops bigint NOT NULL CHECK (guaranteed_milli_pflops BETWEEN 0 AND 1000000000000),
    borrow_milli_pflops     bigint CHECK (borrow_milli_pflops BETWEEN 0 AND 1000000000000),  -- null: no limit
    lend_milli_pflops       bigint CHECK (lend_milli_pflops BETWEEN 0 AND 1000000000000),    -- null: all
    CHECK (city IS NOT NULL OR enterprise IS NULL)
);

-- Counts the changes of limits. A round is planned by one version and committed by the same one.
CREATE TABLE rules_version (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    version bigint NOT NULL
);
INSERT INTO rules_version (version) VALUES (1);

ALTER TABLE transfers ENABLE ROW LEVEL SECURITY;
ALTER TABLE transfers FORCE ROW LEVEL SECURITY;
ALTER TABLE quotas ENABLE ROW LEVEL SECURITY;
ALTER TABLE quotas FORCE ROW LEVEL SECURITY;
CREATE POLICY own_city ON transfers TO xisuan_city USING (city = current_setting('xisuan.city', true));
CREATE POLICY own_city ON quotas TO xisuan_city USING (city = current_setting('xisuan.city', true));
CREATE POLICY all_cities ON transfers TO xisuan_hub USING (true);
CREATE POLICY all_cities ON quotas TO xisuan_hub USING (true);

GRANT SELECT ON transfers, quotas TO xisuan_city;
GRANT SELECT, INSERT, UPDATE, DELETE ON transfers, quotas TO xisuan_hub;
GRANT SELECT, INSERT, UPDATE ON hub_energy TO xisuan_hub;
GRANT SELECT, UPDATE ON rules_version TO xisuan_hub;
