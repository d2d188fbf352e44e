-- What the broker cannot count: what a park says of itself in a month, as somebody entered it. Versions are added and
-- never changed (the hub's role may not update them); each says everything that is known, null: not entered.
CREATE TABLE park_figures (
    hub        slug NOT NULL REFERENCES hubs,
    month      date NOT NULL CHECK (extract(day FROM month) = 1),  -- its first day, UTC+8
    version    int NOT NULL CHECK (version > 0),
    racks      bigint CHECK (racks >= 0),       -- standard racks of 2.5 kW that can be used
    racks_used bigint CHECK (racks_used >= 0),  -- of these, with machines in them
    pue_milli  int CHECK (pue_milli BETWEEN 1000 AND 4000),  -- measured: the mean of the month
    recovered_heat_kilowatt_hours bigint CHECK (recovered_heat_kilowatt_hours >= 0),  -- that others have used
    source     text NOT NULL CHECK (length(source) BETWEEN 1 AND 200),
    set_at     timestamptz NOT NULL,
    set_by     text NOT NULL,  -- id of the key
    PRIMARY KEY (hub, month, version),
    CHECK (racks_used <= racks)
);
GRANT SELECT, INSERT ON park_figures TO xisuan_hub;

-- The line of the rack-up rate, and who has drawn the lines.
ALTER TABLE hubs
    ADD COLUMN rack_line_ppm     int NOT NULL DEFAULT 0  -- so much of its racks has to be used; 0: no line
        CHECK (rack_line_ppm BETWEEN 0 AND 1000000),
    ADD COLUMN rack_line_source  text NOT NULL DEFAULT '',
    ADD COLUMN pue_line_source   text NOT NULL DEFAULT '',
    ADD COLUMN green_line_source text NOT NULL DEFAULT '';

-- What others would have paid beyond the ask, hour by hour and for as long as hours are kept, so that months can be
-- summed up when the changes themselves are gone. Null: of a release before.
ALTER TABLE pool_price_hours
    ADD COLUMN mean_scarcity_micro_yuan_per_card_hour    bigint[]
        CHECK (cardinality(mean_scarcity_micro_yuan_per_card_hour) = 6),
    ADD COLUMN closing_scarcity_micro_yuan_per_card_hour bigint[]
        CHECK (cardinality(closing_scarcity_micro_yuan_per_card_hour) = 6);
