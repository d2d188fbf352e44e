-- City and shape of new jobs are looked up for all of a statement together. Foreign keys look row by row, and lock the
-- city's row each time: a sixth of what PostgreSQL does for a batch of a thousand jobs.
ALTER TABLE jobs DROP CONSTRAINT jobs_city_fkey, DROP CONSTRAINT jobs_shape_id_fkey;

-- As the owner: cities may not read cities. With pg_temp named, and last: unnamed it would come first, and whoever inserts
-- could put a table or view of his own there, which the owner would run.
CREATE FUNCTION jobs_refer() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    lost record;
BEGIN
    SELECT a.job_id, a.city, a.shape_id INTO lost FROM added a
     WHERE NOT EXISTS (SELECT FROM public.cities c WHERE c.city = a.city)
        OR NOT EXISTS (SELECT FROM public.shapes s WHERE s.shape_id = a.shape_id) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'job % is of city % and shape %, and one of them is not there', lost.job_id, lost.city,
            lost.shape_id USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'jobs_refer';
    END IF;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION jobs_refer() FROM PUBLIC;  -- on a table of his own it would tell a city which others there are
CREATE TRIGGER jobs_refer AFTER INSERT ON jobs REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION jobs_refer();

-- What was found then stays true: nothing of it changes or goes.
CREATE FUNCTION stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % stays as it is: jobs refer to it', TG_ARGV[0], TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER reference_stays AFTER UPDATE OF city, shape_id ON jobs
    FOR EACH STATEMENT EXECUTE FUNCTION stays('the city and shape of a row');
CREATE TRIGGER city_stays BEFORE UPDATE OF city OR DELETE OR TRUNCATE ON cities
    FOR EACH STATEMENT EXECUTE FUNCTION stays('a row');
CREATE TRIGGER shape_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON shapes
    FOR EACH STATEMENT EXECUTE FUNCTION stays('a row');
