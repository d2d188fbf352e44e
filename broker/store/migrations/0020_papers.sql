-- What papers need to be the same each time: the three FP16 figures of a model, in versions. A world may change them.
CREATE TABLE model_figures (
    model                       slug NOT NULL,
    since                       timestamptz NOT NULL,
    fp16_nameplate_milli_tflops bigint NOT NULL CHECK (fp16_nameplate_milli_tflops >= 0),  -- 0: not known
    fp16_programme_milli_tflops bigint NOT NULL CHECK (fp16_programme_milli_tflops > 0),
    fp16_measured_milli_tflops  bigint NOT NULL CHECK (fp16_measured_milli_tflops >= 0),   -- 0: not known
    PRIMARY KEY (model, since)
);
INSERT INTO model_figures
SELECT model, now(), fp16_nameplate_milli_tflops, fp16_programme_milli_tflops, fp16_measured_milli_tflops
  FROM accelerator_models;

-- A trigger, so that brokers of the release before keep them as well.
CREATE FUNCTION keep_model_figures() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR (NEW.fp16_nameplate_milli_tflops, NEW.fp16_programme_milli_tflops,
                            NEW.fp16_measured_milli_tflops) IS DISTINCT FROM
                           (OLD.fp16_nameplate_milli_tflops, OLD.fp16_programme_milli_tflops,
                            OLD.fp16_measured_milli_tflops) THEN
        INSERT INTO model_figures VALUES (NEW.model, clock_timestamp(), NEW.fp16_nameplate_milli_tflops,
                                          NEW.fp16_programme_milli_tflops, NEW.fp16_measured_milli_tflops);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER keep_figures AFTER INSERT OR UPDATE ON accelerator_models
    FOR EACH ROW EXECUTE FUNCTION keep_model_figures();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON model_figures
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_immutable();
GRANT SELECT ON model_figures TO xisuan_city;
GRANT SELECT, INSERT ON model_figures TO xisuan_hub;

-- Papers read a month. Transactions are added in the order of their times, nearly, so that this costs writers little.
CREATE INDEX ledger_transactions_by_time ON ledger_transactions USING brin (at);
