-- The table of examples/upstream-tenant.ts. Run it as the owner, then let the login of the upstream in:
-- grant select, insert on notes to …;

-- Unset is null at first and '' after a transaction that set it; neither is the name of a scope.
create function app_setting(name text) returns text stable language sql
  return nullif(current_setting(name, true), '');

create table notes (
  id bigint generated always as identity,
  env text not null default app_setting('app.env'),
  tenant text not null default app_setting('app.tenant'),
  text text not null,
  primary key (env, tenant, id)
);

alter table notes enable row level security;
-- The owner too, who would otherwise be above the policy.
alter table notes force row level security;
create policy one_tenant on notes
  using (env = (select app_setting('app.env')) and tenant = (select app_setting('app.tenant')))
  with check (env = (select app_setting('app.env')) and tenant = (select app_setting('app.tenant')));
