-- When nodes are closed for maintenance: of one cluster, of a pool of it, or those that are named.
CREATE TABLE maintenance_windows (
    window_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cluster      slug NOT NULL REFERENCES clusters,
    pool_id      int REFERENCES pools,         -- null: every pool
    nodes        text[] NOT NULL DEFAULT '{}', -- names, ascending; empty: every node there, those that come later too
    starts_at    timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL,
    reason       text NOT NULL,
    created_at   timestamptz NOT NULL,
    created_by   text NOT NULL,                -- public id of the key
    cancelled_at timestamptz,
    cancelled_by text,
    CHECK (ends_at > starts_at),
    CHECK ((cancelled_at IS NULL) = (cancelled_by IS NULL))
);
CREATE INDEX maintenance_windows_ahead ON maintenance_windows (ends_at) WHERE cancelled_at IS NULL;
GRANT SELECT, INSERT, UPDATE ON maintenance_windows TO xisuan_hub;
