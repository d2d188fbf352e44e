-- Two roles do all the work; neither owns a table, is a superuser or passes row-level security.
--   xisuan_city  one city at a time: SET LOCAL xisuan.city = '...' in every transaction
--   xisuan_hub   loops, agents and operators: all cities
-- Roles belong to the whole server, so another database's migration may have made them at the same moment.
DO $$
BEGIN
    BEGIN
        CREATE ROLE xisuan_city NOLOGIN NOSUPERUSER NOBYPASSRLS;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
    END;
    BEGIN
        CREATE ROLE xisuan_hub NOLOGIN NOSUPERUSER NOBYPASSRLS;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
    END;
END
$$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO xisuan_city, xisuan_hub;
