-- Runs after the generated migrations, each time, in their transaction: what drizzle-kit cannot
-- write. A table is known by the policy that src/db/policies.ts gave it, so other tables of the
-- same database are left alone. TRUNCATE, REFERENCES and TRIGGER are granted to nobody: the first
-- ignores row-level security, the second tells whether a foreign row exists, the third runs code.
do $$
declare
  found record;
begin
  for found in
    select c.oid::regclass as name, c.relforcerowsecurity as forced, p.polname as policy
    from pg_catalog.pg_class c
    join pg_catalog.pg_policy p on p.polrelid = c.oid
    where (p.polname = 'tenant_scope' and c.relnamespace = 'public'::regnamespace)
       or (p.polname = 'platform_scope' and c.relnamespace = 'postern'::regnamespace)
  loop
    -- Only where it is missing: this takes an exclusive lock, and a second node may be serving.
    if not found.forced then
      execute format('alter table %s force row level security', found.name);
    end if;
    execute format('revoke all on table %s from public, postern_tenant, postern_gateway, postern_lookup', found.name);
    if found.policy = 'tenant_scope' then
      execute format('grant select, insert, update, delete on table %s to postern_tenant', found.name);
    else
      execute format('grant select, insert, update on table %s to postern_gateway', found.name);
    end if;
  end loop;
end $$;

-- An API key as one of its secrets shows it: what KeyRecord of src/context.ts holds. The body is a
-- string: a parsed one would forbid later migrations to change the columns it names.
create or replace function postern.show_key(k postern.api_keys, s postern.api_key_secrets) returns jsonb
  language sql stable
as $$
  select jsonb_build_object(
    'id', k.id, 'platform', k.platform, 'environment', k.environment, 'class', k.class,
    'name', k.name, 'prefix', k.prefix, 'ref', k.ref, 'last4', s.last4, 'secretId', s.id,
    'tenants', k.tenants,
    'permissions', k.permissions, 'restrictions', k.restrictions, 'limits', k.limits,
    'expiresAt', floor(extract(epoch from least(k.expires_at, s.expires_at)) * 1000),
    'revoked', k.revoked_at is not null, 'disabled', k.disabled_at is not null,
    'pepperVersion', s.pepper_version)
$$;
revoke all on function postern.show_key(postern.api_keys, postern.api_key_secrets) from public;
grant execute on function postern.show_key(postern.api_keys, postern.api_key_secrets)
  to postern_gateway, postern_lookup;

-- The one question asked before a platform is known: whose secret is this? It answers for a digest
-- that the caller could only make from the whole secret and the pepper. plpgsql keeps its plan.
create or replace function postern.find_key(digests bytea[]) returns table (key jsonb, digest bytea)
  language plpgsql stable security definer set search_path = ''
as $$
begin
  return query
    select postern.show_key(k, s), s.digest
    from postern.api_key_secrets s
    join postern.api_keys k on k.platform = s.platform and k.id = s.key_id
    where s.digest = any (digests)
    limit 1;
end $$;
revoke all on function postern.find_key(bytea[]) from public;
grant execute on function postern.find_key(bytea[]) to postern_gateway;
grant select on postern.api_keys, postern.api_key_secrets to postern_lookup;

-- How a flight takes its scope where set_config is revoked: once in a transaction, and then never
-- again, so that a statement into which SQL was injected cannot change it (threats D7). In schema
-- public, because the tenant role cannot name what is in the other.
create or replace function public.postern_bind_scope(scope text) returns text
  language plpgsql security definer set search_path = ''
as $$
begin
  if current_setting('app.scope', true) <> '' then
    raise exception 'a scope is already bound' using errcode = '42501';
  end if;
  return set_config('app.scope', scope, true);
end $$;
revoke all on function public.postern_bind_scope(text) from public;
grant execute on function public.postern_bind_scope(text) to postern_tenant, postern_gateway;

-- Neither runs as whoever migrated, which may be a superuser. An owner must be able to create in the
-- schema at the moment it becomes the owner, and only then.
grant create on schema postern, public to postern_lookup;
alter function postern.find_key(bytea[]) owner to postern_lookup;
alter function public.postern_bind_scope(text) owner to postern_lookup;
revoke create on schema postern, public from postern_lookup;
