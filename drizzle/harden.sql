-- Runs last, each time. What may be beyond who migrates (the owner of a managed database, say): then
-- the rest still stands, and src/db/migrate.ts reads back what is in force instead of trusting this.
-- A superuser can run this file alone: psql -f drizzle/harden.sql.
do $$
declare
  keeper text;
begin
  -- The owner keeps it: pg_dump calls it, and so does a single DATABASE_URL for its flights.
  for keeper in
    select current_user union select 'postern_lookup'
    union select pg_get_userbyid(datdba) from pg_catalog.pg_database where datname = current_database()
  loop
    execute format('grant execute on function pg_catalog.set_config(text, text, boolean) to %I', keeper);
  end loop;
  revoke execute on function pg_catalog.set_config(text, text, boolean) from public;
  -- Its rule calls set_config.
  revoke update on pg_catalog.pg_settings from public;
exception when insufficient_privilege then
  null;
end $$;

-- Both are ways to a function of one's own, and a function may carry a setting.
do $$
begin
  revoke create on schema public from public;
exception when insufficient_privilege then
  null;
end $$;
do $$
declare
  keeper text;
begin
  for keeper in
    select current_user
    union select pg_get_userbyid(datdba) from pg_catalog.pg_database where datname = current_database()
  loop
    execute format('grant temporary on database %I to %I', current_database(), keeper);
  end loop;
  execute format('revoke temporary on database %I from public', current_database());
exception when insufficient_privilege then
  null;
end $$;
