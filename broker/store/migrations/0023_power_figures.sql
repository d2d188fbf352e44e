-- What evidence of energy needs to be the same each time: watts of models and PUE of hubs in versions, as `model_figures`
-- has what they compute. A world may change both.
CREATE TABLE model_watts (
    model slug NOT NULL,
    since timestamptz NOT NULL,
    watts int NOT NULL CHECK (watts >= 0),  -- of a busy card with its share of the host; 0: not known
    PRIMARY KEY (model, since)
);
CREATE TABLE hub_pues (
    hub       slug NOT NULL,
    since     timestamptz NOT NULL,
    pue_milli int NOT NULL CHECK (pue_milli >= 0),  -- 0: not known
    PRIMARY KEY (hub, since)
);
INSERT INTO model_watts SELECT model, now(), watts + host_watts FROM accelerator_models;
INSERT INTO hub_pues SELECT hub, now(), pue_milli FROM hubs;

-- Triggers, so that brokers of the release before keep them as well.
CREATE FUNCTION keep_model_watts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR NEW.watts + NEW.host_watts <> OLD.watts + OLD.host_watts THEN
        INSERT INTO model_watts VALUES (NEW.model, clock_timestamp(), NEW.watts + NEW.host_watts);
    END IF;
    RETURN NULL;
END
$$;
CREATE FUNCTION keep_hub_pues() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR NEW.pue_milli <> OLD.pue_milli THEN
        INSERT INTO hub_pues VALUES (NEW.hub, clock_timestamp(), NEW.pue_milli);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER keep_watts AFTER INSERT OR UPDATE ON accelerator_models
    FOR EACH ROW EXECUTE FUNCTION keep_model_watts();
CREATE TRIGGER keep_pues AFTER INSERT OR UPDATE ON hubs
    FOR EACH ROW EXECUTE FUNCTION keep_hub_pues();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON model_watts
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_immutable();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON hub_pues
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_immutable();
GRANT SELECT, INSERT ON model_watts, hub_pues TO xisuan_hub;
GRANT SELECT ON model_watts, hub_pues TO xisuan_city;  -- cities read the evidence of their own vouchers
