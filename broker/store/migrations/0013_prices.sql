-- Rate cards: what owners ask, in versions that are added and never changed (the hub's role may not update them).
-- `asks` is what brokers of the release before still write; nothing reads it any more, and the next release drops it.
CREATE TABLE rate_cards (
    cluster     slug NOT NULL REFERENCES clusters,
    model       slug NOT NULL REFERENCES accelerator_models,
    version     int NOT NULL CHECK (version > 0),
    valid_from  timestamptz NOT NULL,
    valid_until timestamptz,         -- null: it stands until the next such one begins; else it goes before that
    asks_micro_yuan_per_card_hour       bigint[] NOT NULL   -- of the hours of the day, UTC+8
        CHECK (cardinality(asks_micro_yuan_per_card_hour) = 24 AND 0 <= ALL (asks_micro_yuan_per_card_hour)
               AND 1000000000000 >= ALL (asks_micro_yuan_per_card_hour)),
    green_asks_micro_yuan_per_card_hour bigint[] NOT NULL   -- in green hours of the hub; empty: as in the others
        CHECK (cardinality(green_asks_micro_yuan_per_card_hour) IN (0, 24)
               AND 0 <= ALL (green_asks_micro_yuan_per_card_hour)
               AND 1000000000000 >= ALL (green_asks_micro_yuan_per_card_hour)),
    source      text NOT NULL,
    set_at      timestamptz NOT NULL,
    set_by      text NOT NULL DEFAULT '',  -- id of the key
    PRIMARY KEY (cluster, model, version),
    CHECK (valid_until > valid_from)
);
CREATE UNIQUE INDEX rate_cards_standing ON rate_cards (cluster, model, valid_from) WHERE valid_until IS NULL;
INSERT INTO rate_cards
SELECT cluster, model, 1, 'epoch', NULL, array_fill(least(micro_yuan_per_card_hour, 1000000000000), ARRAY[24]), '{}',
       'asks of the release before', now()
  FROM asks;

CREATE TABLE ask_bounds (
    model                          slug PRIMARY KEY REFERENCES accelerator_models,
    floor_micro_yuan_per_card_hour bigint NOT NULL CHECK (floor_micro_yuan_per_card_hour BETWEEN 0 AND 1000000000000),
    cap_micro_yuan_per_card_hour   bigint CHECK (cap_micro_yuan_per_card_hour <= 1000000000000),  -- null: none
    CHECK (floor_micro_yuan_per_card_hour <= cap_micro_yuan_per_card_hour)
);

ALTER TABLE hubs ADD COLUMN green_hours smallint[] NOT NULL DEFAULT '{}'  -- hours of the day, UTC+8, ascending
    CHECK (0 <= ALL (green_hours) AND 23 >= ALL (green_hours));

-- Keys of owners, who set the rate cards of their clusters.
ALTER TABLE api_keys DROP CONSTRAINT api_keys_role_check, DROP CONSTRAINT api_keys_check;
ALTER TABLE api_keys
    ADD CONSTRAINT api_keys_role_check CHECK (role IN ('city', 'agent', 'operator', 'observer', 'owner')),
    ADD CONSTRAINT api_keys_check CHECK ((role IN ('city', 'agent', 'owner')) = (subject <> ''));

-- Spot prices by pool: a row where ask or scarcity changed. Arrays are by size: 1, 2, 4, 8 cards, a node, larger; null: no
-- round has dealt in it. Written beside the rounds, never in their transaction.
CREATE TABLE pool_prices (
    pool_id    int NOT NULL REFERENCES pools,
    at         timestamptz NOT NULL,
    round_id   bigint REFERENCES rounds,  -- whose prices they are; null: before any round
    node_cards smallint NOT NULL CHECK (node_cards >= 0),  -- of its largest node
    ask_micro_yuan_per_card_hour      bigint NOT NULL CHECK (ask_micro_yuan_per_card_hour >= 0),
    scarcity_micro_yuan_per_card_hour bigint[] NOT NULL
        CHECK (cardinality(scarcity_micro_yuan_per_card_hour) = 6 AND 0 <= ALL (scarcity_micro_yuan_per_card_hour)),
    PRIMARY KEY (pool_id, at)
);

-- The same by the hour, of ask and scarcity together; hours in which nothing changed have no row.
CREATE TABLE pool_price_hours (
    pool_id int NOT NULL REFERENCES pools,
    hour    timestamptz NOT NULL,  -- its begin
    least_micro_yuan_per_card_hour   bigint[] NOT NULL CHECK (cardinality(least_micro_yuan_per_card_hour) = 6),
    mean_micro_yuan_per_card_hour    bigint[] NOT NULL CHECK (cardinality(mean_micro_yuan_per_card_hour) = 6),
    most_micro_yuan_per_card_hour    bigint[] NOT NULL CHECK (cardinality(most_micro_yuan_per_card_hour) = 6),
    closing_micro_yuan_per_card_hour bigint[] NOT NULL CHECK (cardinality(closing_micro_yuan_per_card_hour) = 6),
    PRIMARY KEY (pool_id, hour)
);
CREATE TABLE price_roll_up (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    until timestamptz NOT NULL  -- hours that begin before it are rolled up
);

-- The most that a city pays for one run of the whole job; null: no such ceiling.
ALTER TABLE jobs ADD COLUMN ceiling_micro_yuan_per_job bigint CHECK (ceiling_micro_yuan_per_job > 0);

-- The price at which a lease started and by which it is charged; null: of the release before.
ALTER TABLE leases
    ADD COLUMN ask_micro_yuan_per_card_hour      bigint CHECK (ask_micro_yuan_per_card_hour >= 0),
    ADD COLUMN scarcity_micro_yuan_per_card_hour bigint CHECK (scarcity_micro_yuan_per_card_hour >= 0),
    ADD COLUMN rate_card_version                 int CHECK (rate_card_version >= 0),  -- 0: none stood
    ADD CHECK (num_nulls(ask_micro_yuan_per_card_hour, scarcity_micro_yuan_per_card_hour, rate_card_version) IN (0, 3));

GRANT SELECT, INSERT ON rate_cards TO xisuan_hub;
GRANT SELECT, INSERT, DELETE ON pool_prices, pool_price_hours TO xisuan_hub;
GRANT SELECT, INSERT, UPDATE ON price_roll_up TO xisuan_hub;
GRANT SELECT, INSERT, UPDATE ON ask_bounds TO xisuan_hub;
