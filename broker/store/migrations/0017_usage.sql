-- What leases have used, by the minute since their start, and what of it was charged. A minute is in the set or it is
-- not: however often and in whatever order it is told, it counts once.
CREATE TABLE lease_usage (
    lease_id           bigint PRIMARY KEY REFERENCES leases,
    city               slug NOT NULL REFERENCES cities,
    minutes            int8multirange NOT NULL DEFAULT '{}' CHECK (isempty(minutes) OR lower(minutes) >= 0),
    cut_seconds        smallint NOT NULL DEFAULT 0 CHECK (cut_seconds BETWEEN 0 AND 59),  -- the last one is shorter by them
    joules             bigint NOT NULL DEFAULT 0 CHECK (joules >= 0),  -- measured; 0: nobody did
    complete           boolean NOT NULL DEFAULT false,  -- it has ended, and all of its minutes are known
    heard_at           timestamptz,                     -- when something of it was told last
    charged_minutes    bigint NOT NULL DEFAULT 0 CHECK (charged_minutes >= 0),
    charged_seconds    bigint NOT NULL DEFAULT 0 CHECK (charged_seconds >= 0),
    charged_micro_yuan bigint NOT NULL DEFAULT 0 CHECK (charged_micro_yuan >= 0),
    credited_micro_yuan bigint NOT NULL DEFAULT 0 CHECK (credited_micro_yuan >= 0),  -- work lost for others, given back
    end_charged        boolean NOT NULL DEFAULT false,  -- what comes from now on is late
    settled_at         timestamptz,                     -- nothing of its hold is open any more
    due_at             timestamptz                      -- when to look at what is to be charged; null: there is no hold
);
CREATE INDEX lease_usage_due ON lease_usage (due_at) WHERE due_at IS NOT NULL;
ALTER TABLE lease_usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE lease_usage FORCE ROW LEVEL SECURITY;
CREATE POLICY all_cities ON lease_usage TO xisuan_hub USING (true);
CREATE POLICY own_city ON lease_usage TO xisuan_city USING (city = current_setting('xisuan.city', true));
GRANT SELECT ON lease_usage TO xisuan_city;
GRANT SELECT, INSERT, UPDATE ON lease_usage TO xisuan_hub;

CREATE FUNCTION minutes_in(int8multirange) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT coalesce(sum(upper(r) - lower(r)), 0)::bigint FROM unnest($1) AS r
$$;

-- Agents that send usage. Those of older releases do not: then the times of a lease stand for it.
ALTER TABLE clusters ADD COLUMN agent_meters boolean NOT NULL DEFAULT false;

-- Vouchers that a job names, in the order in which they are drawn on; and what was too much for its payer last.
ALTER TABLE jobs
    ADD COLUMN vouchers text[] NOT NULL DEFAULT '{}',
    ADD COLUMN funds_wanted_micro_yuan bigint CHECK (funds_wanted_micro_yuan > 0),
    ADD COLUMN funds_refused_at timestamptz;

-- What is held for a lease names it, so its number is taken before it is written.
GRANT USAGE ON SEQUENCE leases_lease_id_seq TO xisuan_hub;
