-- Queues of cities from which nothing starts, and clusters that take no new work, until operators resume them. What
-- stands here is paused; when it was, and by whom it was resumed, is told by operator_acts.
CREATE TABLE paused_queues (
    city      slug PRIMARY KEY REFERENCES cities,
    reason    text NOT NULL CHECK (length(reason) BETWEEN 1 AND 256),
    paused_at timestamptz NOT NULL,  -- in force since
    paused_by text NOT NULL          -- public id of the key
);
CREATE TABLE paused_clusters (
    cluster   slug PRIMARY KEY REFERENCES clusters,
    reason    text NOT NULL CHECK (length(reason) BETWEEN 1 AND 256),
    paused_at timestamptz NOT NULL,
    paused_by text NOT NULL
);

ALTER TABLE paused_queues ENABLE ROW LEVEL SECURITY;
ALTER TABLE paused_queues FORCE ROW LEVEL SECURITY;
CREATE POLICY own_city ON paused_queues TO xisuan_city USING (city = current_setting('xisuan.city', true));
CREATE POLICY all_cities ON paused_queues TO xisuan_hub USING (true);
GRANT SELECT ON paused_queues TO xisuan_city;
GRANT SELECT, INSERT, DELETE ON paused_queues TO xisuan_hub;
GRANT SELECT, INSERT, DELETE ON paused_clusters TO xisuan_hub;
