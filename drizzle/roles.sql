-- Runs before the generated migrations, each time, in a transaction of its own. Roles belong to the
-- whole cluster, so another database may be making them at this moment: see src/db/migrate.ts.
-- They cannot log in. A login of production is a member of exactly one of the first two:
--   create role shop_tenant  login password '…' in role postern_tenant;
--   create role shop_gateway login password '…' in role postern_gateway;
do $$
declare
  wanted text;
  -- Until PostgreSQL 16 every member may set the role; since then that is an option of its own.
  may_set text := case when current_setting('server_version_num')::int >= 160000 then 'SET' else 'MEMBER' end;
begin
  foreach wanted in array array['postern_tenant', 'postern_gateway', 'postern_lookup'] loop
    if not exists (select from pg_catalog.pg_roles where rolname = wanted) then
      execute format('create role %I nologin noinherit', wanted);
    end if;
    if exists (select from pg_catalog.pg_roles where rolname = wanted and (rolsuper or rolbypassrls)) then
      raise exception 'role % is a superuser or has BYPASSRLS; it must have neither', wanted;
    end if;
    -- Who migrates hands the lookups over to postern_lookup; with a single DATABASE_URL, each flight
    -- of the same user sets its role. Where it may not be granted, production roles do not need it.
    if not (pg_has_role(wanted, may_set) and pg_has_role(wanted, 'USAGE')) then
      begin
        execute format('grant %I to %I', wanted, current_user);
      exception when insufficient_privilege then
        null;
      end;
    end if;
  end loop;
end $$;

create schema if not exists postern;
grant usage on schema postern to postern_gateway, postern_lookup;
grant usage on schema public to postern_tenant;

-- The scope of a flight is one setting: 'plt_x' or 'plt_x/test/tenant_abc'. It is '' and not null
-- once a transaction has used it, hence nullif: no scope means no rows, and never an error.
create or replace function postern.scope_platform() returns text stable parallel safe
  return nullif(split_part(current_setting('app.scope', true), '/', 1), '');
create or replace function postern.scope_environment() returns text stable parallel safe
  return nullif(split_part(current_setting('app.scope', true), '/', 2), '');
create or replace function postern.scope_tenant() returns text stable parallel safe
  return nullif(split_part(current_setting('app.scope', true), '/', 3), '');
revoke all on function postern.scope_platform(), postern.scope_environment(), postern.scope_tenant()
  from public;
grant execute on function
  postern.scope_platform(), postern.scope_environment(), postern.scope_tenant()
  to postern_tenant, postern_gateway;
