-- Jobs tell while they run that the data which others wait for are there; those that want no more than that may start.
ALTER TABLE jobs ADD COLUMN data_ready_at timestamptz;  -- null: it has not told so; once told it stays
ALTER TABLE job_upstreams ADD COLUMN data_ready boolean NOT NULL DEFAULT false;  -- that the upstream's data are there will do
ALTER TABLE event_outbox DROP CONSTRAINT event_outbox_kind_check;
ALTER TABLE event_outbox ADD CONSTRAINT event_outbox_kind_check
    CHECK (kind IN ('submitted', 'leased', 'started', 'succeeded', 'failed', 'cancelled', 'expired', 'cancel_requested',
                    'lost', 'found', 'requeued', 'updated', 'stop_ordered', 'data_ready'));
