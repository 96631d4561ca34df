-- Runs after the generated migrations, each time, in their transaction: what drizzle-kit cannot
-- write. A table is known by the policy that src/db/policies.ts gave it, so other tables of the
-- same database are left alone; the policy's name also says what is granted. TRUNCATE, REFERENCES
-- and TRIGGER are granted to nobody: the first ignores row-level security, the second tells whether
-- a foreign row exists, the third runs code.
do $$
declare
  found record;
begin
  for found in
    select c.oid::regclass as name, c.relforcerowsecurity as forced, k.role, k.privileges
    from pg_catalog.pg_class c
    join pg_catalog.pg_policy p on p.polrelid = c.oid
    join (values
      ('public', 'tenant_scope', 'postern_tenant', 'select, insert, update, delete'),
      ('postern', 'platform_scope', 'postern_gateway', 'select, insert, update'),
      ('postern', 'platform_log', 'postern_gateway', 'select, insert'),
      ('postern', 'platform_passing', 'postern_gateway', 'select, insert, update, delete')
    ) k (schema, policy, role, privileges)
      on k.policy = p.polname and k.schema::regnamespace = c.relnamespace
  loop
    -- Only where it is missing: this takes an exclusive lock, and a second node may be serving.
    if not found.forced then
      execute format('alter table %s force row level security', found.name);
    end if;
    execute format('revoke all on table %s from public, postern_tenant, postern_gateway, postern_lookup', found.name);
    execute format('grant %s on table %s to %I', found.privileges, found.name, found.role);
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
    'pepperVersion', s.pepper_version, 'replaced', s.superseded_by is not null)
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

-- Whether an operator's key still stands; it is held as it is until the transaction ends. Operators
-- act on every platform and belong to none, so in the scope of a platform their rows are unseen.
-- FOR SHARE wants a column that may be updated; the policy `hold` lets no update through.
create or replace function postern.hold_operator(key_id text, secret_id text) returns boolean
  language plpgsql volatile security definer set search_path = ''
as $$
begin
  perform from postern.api_keys k
    where k.platform = 'plt_operator' and k.id = hold_operator.key_id and k.revoked_at is null
      and k.disabled_at is null and (k.expires_at is null or k.expires_at > clock_timestamp())
    for share;
  return found and exists (
    select from postern.api_key_secrets s
    where s.platform = 'plt_operator' and s.key_id = hold_operator.key_id
      and s.id = hold_operator.secret_id
      and (s.expires_at is null or s.expires_at > clock_timestamp()));
end $$;
revoke all on function postern.hold_operator(text, text) from public;
grant execute on function postern.hold_operator(text, text) to postern_gateway;
grant update (updated_at) on postern.api_keys to postern_lookup;

-- Which rules do the live publishable keys with this origin go by? Asked for a preflight, which brings
-- no key, and for the flight's own platform only: without one it answers nothing. As the lookup,
-- because under the gateway's policy no index of what is inside JSON is used: the operator is not
-- leakproof, so the policy has to come first, on every key of the platform. The first conditions are
-- those of the index api_keys_origins, and stand alone so that no other is taken.
create or replace function postern.find_origin(origin text)
  returns table (environment text, permissions text[], endpoints jsonb)
  language plpgsql stable security definer set search_path = ''
as $$
declare
  scope text := nullif(split_part(current_setting('app.scope', true), '/', 1), '');
begin
  if scope is null then
    return;
  end if;
  return query
    with found as materialized (
      select k.* from postern.api_keys k
      where jsonb_set('{}', array[k.platform], k.restrictions -> 'origins')
          @> jsonb_build_object(scope, jsonb_build_array(origin))
        and k.revoked_at is null and jsonb_typeof(k.restrictions -> 'origins') = 'array'),
    live as (
      select f.environment, f.permissions, f.restrictions from found f
      where f.class = 'publishable' and f.disabled_at is null
        and (f.expires_at is null or f.expires_at > now())
      limit 1000)
    select distinct l.environment, l.permissions, l.restrictions -> 'endpoints' from live l limit 100;
end $$;
revoke all on function postern.find_origin(text) from public;
grant execute on function postern.find_origin(text) to postern_gateway;

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
alter function postern.find_origin(text) owner to postern_lookup;
alter function postern.hold_operator(text, text) owner to postern_lookup;
alter function public.postern_bind_scope(text) owner to postern_lookup;
revoke create on schema postern, public from postern_lookup;

-- Rows of usage only grow, whatever the statement, and only those of a key that has not been revoked:
-- a flush that comes late changes nothing of a dead key (threats V2). After the row, so that what
-- the policy refuses is refused by the policy.
create or replace function postern.only_grow() returns trigger
  language plpgsql set search_path = ''
as $$
begin
  if tg_op = 'UPDATE' and ((new.platform, new.key_id, new.day, new.environment)
      is distinct from (old.platform, old.key_id, old.day, old.environment)
      or new.requests < old.requests or new.errors < old.errors
      or new.bytes_in < old.bytes_in or new.bytes_out < old.bytes_out
      or new.last_used_at < old.last_used_at) then
    raise exception 'usage only grows' using errcode = '23514';
  end if;
  if not exists (select from postern.api_keys k where k.platform = new.platform
      and k.id = new.key_id and k.environment = new.environment and k.revoked_at is null) then
    raise exception 'usage of a key that is revoked or another' using errcode = '23514';
  end if;
  return null;
end $$;
revoke all on function postern.only_grow() from public;
do $$
begin
  -- Only where it is missing: this waits for whoever writes, and a second node may be serving.
  if not exists (select from pg_catalog.pg_trigger
      where tgrelid = 'postern.usage_days'::regclass and tgname = 'only_grow') then
    create trigger only_grow after insert or update on postern.usage_days
      for each row execute function postern.only_grow();
  end if;
end $$;

-- Adds a batch of usage in the scope's platform: each entry is a key, by one of its secrets, on a
-- day. Sent again, it counts nothing. Only keys that are not revoked count, and they are held until
-- it commits, in the order in which everyone holds keys. The first use of a secret starts the time
-- of the one that it replaces. Answers how many entries counted.
create or replace function postern.add_usage(batch_id text, batch jsonb) returns integer
  language plpgsql volatile set search_path = ''
as $$
declare
  held text[];
begin
  insert into postern.usage_batches (id) values (batch_id) on conflict do nothing;
  if not found then
    return 0;
  end if;
  delete from postern.usage_batches where id in (
    select b.id from postern.usage_batches b where b.created_at < now() - interval '24 hours'
    order by b.created_at limit 100);
  held := array(
    select k.id from postern.api_keys k
    where k.id in (select e ->> 'keyId' from jsonb_array_elements(batch) e) and k.revoked_at is null
    order by k.id for no key update);

  with entries as (
    select x.*, k.environment, to_timestamp(x."lastUsedAt" / 1000) as at
    from jsonb_to_recordset(batch) x ("keyId" text, day date, requests bigint, errors bigint,
      "bytesIn" bigint, "bytesOut" bigint, "lastUsedAt" float8, "lastAddress" text, "lastOrigin" text)
    join postern.api_keys k on k.id = x."keyId"
    where k.id = any (held)
  )
  insert into postern.usage_days as u (key_id, day, environment, billable, requests, errors,
      bytes_in, bytes_out, last_used_at, last_address, last_origin)
    select "keyId", day, environment, environment = 'live', sum(requests), sum(errors),
      sum("bytesIn"), sum("bytesOut"), least(max(at), clock_timestamp()),
      (array_agg("lastAddress" order by at desc))[1], (array_agg("lastOrigin" order by at desc))[1]
    from entries group by "keyId", day, environment order by "keyId", day
  on conflict (platform, key_id, day) do update set
    requests = u.requests + excluded.requests, errors = u.errors + excluded.errors,
    bytes_in = u.bytes_in + excluded.bytes_in, bytes_out = u.bytes_out + excluded.bytes_out,
    last_used_at = greatest(u.last_used_at, excluded.last_used_at),
    last_address = case when excluded.last_used_at < u.last_used_at then u.last_address else excluded.last_address end,
    last_origin = case when excluded.last_used_at < u.last_used_at then u.last_origin else excluded.last_origin end;

  with used as (
    select x."keyId", least(to_timestamp(max(x."lastUsedAt") / 1000), clock_timestamp()) as at
    from jsonb_to_recordset(batch) x ("keyId" text, "lastUsedAt" float8) group by x."keyId"
  )
  update postern.api_keys k set last_used_at = greatest(k.last_used_at, used.at)
    from used where k.id = used."keyId" and k.id = any (held);

  with used as (
    select x."keyId", x."secretId",
      least(to_timestamp(min(x."firstUsedAt") / 1000), clock_timestamp()) as first,
      least(to_timestamp(max(x."lastUsedAt") / 1000), clock_timestamp()) as last,
      (array_agg(x."lastAddress" order by x."lastUsedAt" desc))[1] as address
    from jsonb_to_recordset(batch) x ("keyId" text, "secretId" text, "firstUsedAt" float8,
      "lastUsedAt" float8, "lastAddress" text)
    group by x."keyId", x."secretId"
  )
  update postern.api_key_secrets s set
      first_used_at = least(s.first_used_at, used.first),
      last_used_at = greatest(s.last_used_at, used.last),
      last_used_from = case when used.last < s.last_used_at then s.last_used_from else used.address end
    from used where s.id = used."secretId" and s.key_id = used."keyId" and s.key_id = any (held);

  update postern.api_key_secrets o
    set expires_at = clock_timestamp() + make_interval(secs => o.overlap_seconds)
    from postern.api_key_secrets n
    where o.key_id = any (held) and o.overlap_from = 'first_use'
      and n.platform = o.platform and n.id = o.superseded_by and n.first_used_at is not null
      and (o.expires_at is null
        or o.expires_at > clock_timestamp() + make_interval(secs => o.overlap_seconds));

  return (select count(*) from jsonb_array_elements(batch) e where e ->> 'keyId' = any (held));
end $$;
revoke all on function postern.add_usage(text, jsonb) from public;
grant execute on function postern.add_usage(text, jsonb) to postern_gateway;

-- The record between nodes holds nothing that must outlive a crash, and a turn every half second of
-- every node is not worth a write-ahead log. Only where it is still logged: this takes a lock.
do $$
declare
  found regclass;
begin
  for found in
    select c.oid from pg_catalog.pg_class c
    where c.oid in ('postern.signal_state'::regclass, 'postern.signal_nodes'::regclass,
      'postern.signal_entries'::regclass) and c.relpersistence = 'p'
  loop
    execute format('alter table %s set unlogged', found);
  end loop;
end $$;

-- A turn of a node with that record: src/runtime/node/signal/channel.ts says what is said and
-- answered, turn-script.ts beside it does the same in Redis and says when a record is made anew. It
-- runs as the gateway role in the scope that belongs to no platform. What is notified is empty.
drop function if exists postern.signal_turn(text, bigint, integer, integer, text, boolean, boolean,
  boolean, text[]);
create or replace function postern.signal_turn(node text, has_heard bigint, life_ms integer,
    stale_ms integer, kept integer, new_entry text, asks boolean, leaves boolean, is_first boolean,
    awaited text[])
  returns jsonb language plpgsql volatile set search_path = ''
as $$
declare
  now_ms bigint;
  s postern.signal_state;
  missed jsonb;
  other text;
  stepped boolean;
begin
  select * into s from postern.signal_state where id = 'state' for update;
  if not found then
    insert into postern.signal_state (id) values ('state') on conflict do nothing;
    select * into strict s from postern.signal_state where id = 'state' for update;
  end if;
  now_ms := floor(extract(epoch from clock_timestamp()) * 1000);
  if now_ms < s.seen_ms and s.seen_ms - now_ms <= 100 then
    now_ms := s.seen_ms;
  end if;
  stepped := now_ms < s.seen_ms
    or (now_ms - s.seen_ms > life_ms and exists (select from postern.signal_nodes));
  if s.epoch = 0 or has_heard > s.epoch or stepped then
    delete from postern.signal_entries;
    update postern.signal_nodes set until_ms = now_ms + life_ms;
    if s.epoch = 0 or has_heard > s.epoch then
      s.born_ms := now_ms;
    end if;
    s.born_ms := case when is_first then 0 else least(s.born_ms, now_ms) end;
    s.epoch := greatest(now_ms, has_heard + 1, s.epoch + 1);
  end if;
  delete from postern.signal_nodes n where n.until_ms + stale_ms - life_ms < now_ms;
  if has_heard = s.epoch then
    missed := '[]';
  elsif has_heard > 0 and s.epoch - has_heard <= kept then
    select jsonb_agg(e.entry order by e.epoch) into missed
      from postern.signal_entries e where e.epoch > has_heard
      having count(*) = s.epoch - has_heard;
  end if;
  if new_entry is not null then
    s.epoch := s.epoch + 1;
    insert into postern.signal_entries (id, epoch, entry) values (s.epoch::text, s.epoch, new_entry);
    delete from postern.signal_entries e where e.epoch <= s.epoch - kept;
    if missed = '[]' then
      has_heard := s.epoch;
    end if;
    perform pg_notify('postern_signal', '');
  end if;
  if leaves then
    delete from postern.signal_nodes n where n.id = node;
  else
    insert into postern.signal_nodes (id, heard, until_ms) values (node, has_heard, now_ms + life_ms)
      on conflict (platform, id) do update set heard = excluded.heard, until_ms = excluded.until_ms;
  end if;
  update postern.signal_state set epoch = s.epoch, born_ms = s.born_ms, seen_ms = now_ms
    where id = 'state';
  foreach other in array awaited loop
    perform pg_notify('postern_signal_' || other, '');
  end loop;
  return jsonb_build_object('epoch', s.epoch, 'youngMs', greatest(0, s.born_ms + life_ms - now_ms),
    'nodes', (select count(*) from postern.signal_nodes),
    'gone', (select count(*) from postern.signal_nodes n where n.until_ms < now_ms),
    'goneMs', greatest(0, case when s.born_ms > 0 then s.born_ms + stale_ms - now_ms end,
      (select max(n.until_ms) + stale_ms - life_ms - now_ms from postern.signal_nodes n
        where n.until_ms < now_ms)),
    'heards', case when asks then coalesce((select jsonb_agg(n.heard) from postern.signal_nodes n
      where n.id <> node and n.until_ms >= now_ms), '[]') else '[]' end,
    'entries', missed);
end $$;
revoke all on function
  postern.signal_turn(text, bigint, integer, integer, integer, text, boolean, boolean, boolean, text[])
  from public;
grant execute on function
  postern.signal_turn(text, bigint, integer, integer, integer, text, boolean, boolean, boolean, text[])
  to postern_gateway;
