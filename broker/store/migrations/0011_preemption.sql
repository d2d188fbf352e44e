-- Running work that is stopped for other work or for maintenance: ordered by a transaction, ended by the agent's word.
ALTER TABLE leases
    ADD COLUMN stop_ordered_at   timestamptz,  -- by the time of the round's world: what it holds is free after its grace
    ADD COLUMN stop_claim        text CHECK (stop_claim IN ('guarantee', 'tier', 'defragmentation', 'maintenance')),  -- by which right
    ADD COLUMN stop_for_job      bigint REFERENCES jobs,  -- that is promised the room; null: nobody is
    ADD COLUMN lost_card_seconds bigint NOT NULL DEFAULT 0 CHECK (lost_card_seconds >= 0),  -- work to be done again
    ADD CHECK ((stop_ordered_at IS NULL) = (stop_claim IS NULL));
CREATE INDEX leases_stop_ordered ON leases (stop_ordered_at) WHERE stop_ordered_at IS NOT NULL;
ALTER TABLE jobs ADD COLUMN preemptions int NOT NULL DEFAULT 0 CHECK (preemptions >= 0);
-- An operator lets running work be moved for it; until it is placed.
ALTER TABLE jobs ADD COLUMN make_room boolean NOT NULL DEFAULT false;
CREATE INDEX jobs_make_room ON jobs (job_id) WHERE make_room;
ALTER TABLE rounds ADD COLUMN stopped int NOT NULL DEFAULT 0;  -- leases that it ordered to stop

ALTER TABLE jobs DROP CONSTRAINT jobs_end_reason_check;
ALTER TABLE jobs ADD CONSTRAINT jobs_end_reason_check
    CHECK (end_reason IN ('completed', 'exit_code', 'signal', 'walltime', 'cancelled', 'start_failed', 'lost',
                          'written_off', 'expired', 'vanished', 'too_late', 'upstream_failed', 'policy_rejected',
                          'preempted'));
ALTER TABLE leases DROP CONSTRAINT leases_end_reason_check;
ALTER TABLE leases ADD CONSTRAINT leases_end_reason_check
    CHECK (end_reason IN ('completed', 'exit_code', 'signal', 'walltime', 'cancelled', 'start_failed', 'lost',
                          'written_off', 'expired', 'vanished', 'too_late', 'upstream_failed', 'policy_rejected',
                          'preempted'));
ALTER TABLE event_outbox DROP CONSTRAINT event_outbox_kind_check;
ALTER TABLE event_outbox ADD CONSTRAINT event_outbox_kind_check
    CHECK (kind IN ('submitted', 'leased', 'started', 'succeeded', 'failed', 'cancelled', 'expired', 'cancel_requested',
                    'lost', 'found', 'requeued', 'updated', 'stop_ordered'));
