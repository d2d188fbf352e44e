-- When a job may run: its times, the jobs that it runs after, and whether it may be stopped for others. `start_by` is the
-- last moment at which it may start from now on: what the job said, or what its `finish_by` leaves if that is earlier.
ALTER TABLE jobs
    ADD COLUMN earliest_start timestamptz,  -- none once it has come
    ADD COLUMN finish_by      timestamptz,
    ADD COLUMN preemptible    boolean NOT NULL DEFAULT false,
    ADD COLUMN checkpoint_interval_seconds int NOT NULL DEFAULT 0 CHECK (checkpoint_interval_seconds >= 0),  -- 0: none
    ADD COLUMN grace_seconds  int NOT NULL DEFAULT 0 CHECK (grace_seconds >= 0),
    ADD COLUMN upstreams_open boolean NOT NULL DEFAULT false;  -- rows of job_upstreams keep it out of the rounds' queue
-- The owner who migrates is fenced out of the rows himself.
ALTER TABLE jobs NO FORCE ROW LEVEL SECURITY;
UPDATE jobs SET grace_seconds = (spec->>'grace_seconds')::int WHERE ended_at IS NULL AND spec->>'grace_seconds' <> '0';
ALTER TABLE jobs FORCE ROW LEVEL SECURITY;

-- A row lives until the upstream job has ended, and the waiting job has been told.
CREATE TABLE job_upstreams (
    job_id      bigint NOT NULL REFERENCES jobs,
    upstream_id bigint NOT NULL REFERENCES jobs,
    city        slug NOT NULL,
    any_end     boolean NOT NULL,  -- however the upstream ends; else only when it has succeeded
    PRIMARY KEY (job_id, upstream_id),
    CHECK (job_id > upstream_id)  -- so there are no circles
);
CREATE INDEX job_upstreams_by_upstream ON job_upstreams (upstream_id);
CREATE INDEX jobs_earliest_start ON jobs (earliest_start) WHERE state = 'pending' AND earliest_start IS NOT NULL;

ALTER TABLE job_upstreams ENABLE ROW LEVEL SECURITY;
ALTER TABLE job_upstreams FORCE ROW LEVEL SECURITY;
CREATE POLICY own_city ON job_upstreams TO xisuan_city USING (city = current_setting('xisuan.city', true));
CREATE POLICY all_cities ON job_upstreams TO xisuan_hub USING (true);
GRANT SELECT, INSERT ON job_upstreams TO xisuan_city;
GRANT SELECT, INSERT, DELETE ON job_upstreams TO xisuan_hub;

ALTER TABLE jobs
    DROP CONSTRAINT jobs_end_reason_check,
    ADD CONSTRAINT jobs_end_reason_check
        CHECK (end_reason IN ('completed', 'exit_code', 'signal', 'walltime', 'cancelled', 'start_failed', 'lost',
                              'written_off', 'expired', 'vanished', 'too_late', 'upstream_failed'));
ALTER TABLE leases
    DROP CONSTRAINT leases_end_reason_check,
    ADD CONSTRAINT leases_end_reason_check
        CHECK (end_reason IN ('completed', 'exit_code', 'signal', 'walltime', 'cancelled', 'start_failed', 'lost',
                              'written_off', 'expired', 'vanished', 'too_late', 'upstream_failed'));
