-- Expected starts: one row for each wait of a job that was given one, until a round has seen the wait end.
CREATE TABLE expected_starts (
    job_id       bigint PRIMARY KEY REFERENCES jobs,
    city         slug NOT NULL,
    attempt      int NOT NULL CHECK (attempt >= 0),  -- the job's while it waits: of another it says nothing
    size         smallint NOT NULL CHECK (size >= 0),  -- class of size, as the forecast has them
    first_p50_at timestamptz NOT NULL,  -- as it was given first: what the forecast is measured by
    first_p90_at timestamptz NOT NULL,
    p50_at       timestamptz,           -- as it was told last; both null: nothing is expected now
    p90_at       timestamptz,
    late_p50     boolean NOT NULL DEFAULT false,  -- that it started later than first given has been counted
    late_p90     boolean NOT NULL DEFAULT false,
    CHECK (first_p50_at <= first_p90_at),
    CHECK ((p50_at IS NULL) = (p90_at IS NULL)),
    CHECK (p50_at <= p90_at)
);
-- Room for new versions of a row on its page: it is told again and again.
ALTER TABLE expected_starts SET (fillfactor = 70);

-- What the forecast has learned, as its own text: one that cannot be read is begun anew.
CREATE TABLE forecast (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    learned    text NOT NULL CHECK (length(learned) <= 10000),
    learned_at timestamptz NOT NULL
);

ALTER TABLE expected_starts ENABLE ROW LEVEL SECURITY;
ALTER TABLE expected_starts FORCE ROW LEVEL SECURITY;
CREATE POLICY own_city ON expected_starts TO xisuan_city USING (city = current_setting('xisuan.city', true));
CREATE POLICY all_cities ON expected_starts TO xisuan_hub USING (true);
GRANT SELECT ON expected_starts TO xisuan_city;
GRANT SELECT, INSERT, UPDATE, DELETE ON expected_starts TO xisuan_hub;
GRANT SELECT, INSERT, UPDATE ON forecast TO xisuan_hub;
