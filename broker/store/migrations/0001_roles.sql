-- Two roles do all the work; neither owns a table, is a superuser or passes row-level security.
--   xisuan_city  one city at a time: SET LOCAL xisuan.city = '...' in every transaction
--   xisuan_hub   loops, agents and operators: all cities
-- Roles belong to the whole server: they may be there already, or another database's migration may make them at the
-- same moment. Who makes them may take them on, so that one login can serve the broker.
DO $$
DECLARE
    missing text;
BEGIN
    FOREACH missing IN ARRAY ARRAY['xisuan_city', 'xisuan_hub'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = missing);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS', missing);
            EXECUTE format('GRANT %I TO CURRENT_USER', missing);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;
END
$$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO xisuan_city, xisuan_hub;
