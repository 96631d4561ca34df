/**
 * How does a secret follow another? The new one is made and the one before it is marked; what ends
 * the older is its time, its silence, or a further rotation.
 *
 * It refuses to know what a secret is. The first use of the new one is told by the usage
 * (`postern.add_usage` in drizzle/rls.sql), which starts the time of the old. The danger is a third
 * secret that still works: whatever is older than the two newest ends at once (threats V8).
 */
import type { EnvironmentName, Sql, SqlTransaction } from '../context.ts'
import type { Acting, Changes } from './audit.ts'
import { change, type Done, kept, note, undone } from './change.ts'
import { dots, mustRead } from './key-rows.ts'
import type { Rotation, RotationDue, StoredKey } from './keys.ts'

/** Gives a held key its next secret. */
export async function rotateKey(
  transaction: SqlTransaction,
  before: StoredKey,
  rotation: Rotation,
  acting: Acting,
): Promise<Done<StoredKey | 'conflict' | 'changed' | 'revoked'>> {
  const { id } = before
  const { secret, overlapSeconds, from, quietSeconds, ifSecret } = rotation
  if (before.revokedAt !== null) return undone('revoked')
  if (ifSecret !== null && before.secrets[0]?.id !== ifSecret) return undone('changed')
  const { rows } = await transaction.query<{ id: string }>({
    text: `insert into postern.api_key_secrets (key_id, digest, pepper_version, last4, created_at)
      values ($1, $2, $3, $4, clock_timestamp()) on conflict do nothing returning id`,
    values: [id, secret.digest, secret.pepperVersion, secret.last4],
  })
  const made = rows[0]
  if (made === undefined) return undone('conflict')
  const times = [overlapSeconds, from, quietSeconds]
  await transaction.query({ text: ending, values: [id, made.id] })
  await transaction.query({ text: superseding, values: [id, made.id, ...times] })
  await transaction.query({
    text: `update postern.api_keys set version = version + 1, updated_at = clock_timestamp()
      where id = $1`,
    values: [id],
  })
  const changes: Changes = {
    secret: [dots(before.last4), dots(secret.last4)],
    overlap_seconds: [null, overlapSeconds],
    overlap_from: [null, from],
    quiet_seconds: [null, quietSeconds],
  }
  await note(transaction, acting, 'api_key.rotated', id, changes)
  return kept(await mustRead(transaction, id))
}

const ending = `
  update postern.api_key_secrets set expires_at = clock_timestamp()
  where key_id = $1 and id <> $2 and superseded_by is not null
    and (expires_at is null or expires_at > clock_timestamp())`

const superseding = `
  update postern.api_key_secrets set superseded_by = $2, overlap_seconds = $3, overlap_from = $4,
    quiet_seconds = $5, expires_at = case when $4 = 'now' or $3 = 0
      then least(expires_at, clock_timestamp() + make_interval(secs => $3)) else expires_at end
  where key_id = $1 and id <> $2 and superseded_by is null`

/** Who does what nobody asked for at that moment. */
const sweeper: Acting = {
  actor: { kind: 'system', id: 'rotation' },
  secretId: null,
  address: null,
  requestId: null,
}

/** Ends the overlaps that fell silent. Resolves to the keys' ids. */
export async function settleQuiet(sql: Sql, platform: string): Promise<readonly string[]> {
  const settled = await change<readonly string[]>(sql, platform, sweeper, null, async (held) => {
    // Their keys first, in the order in which everyone holds keys.
    await held.query({ text: holding })
    const { rows } = await held.query<{ id: string }>({
      text: settling,
      values: [sweeper.actor.kind, sweeper.actor.id],
    })
    return kept(rows.map(({ id }) => id))
  })
  return settled === 'actor_gone' ? [] : settled
}

const silent = `o.quiet_seconds is not null
  and (o.expires_at is null or o.expires_at > statement_timestamp())
  and n.platform = o.platform and n.id = o.superseded_by and n.first_used_at is not null
  and greatest(o.last_used_at, n.first_used_at) + make_interval(secs => o.quiet_seconds)
    <= statement_timestamp()
  and exists (select from postern.api_keys a
    where a.platform = o.platform and a.id = o.key_id and a.revoked_at is null)`

const holding = `
  select from postern.api_keys k
  where k.id in (select o.key_id from postern.api_key_secrets o, postern.api_key_secrets n
    where ${silent})
  order by k.id for no key update`

const settling = `
  with ended as (
    update postern.api_key_secrets o set expires_at = statement_timestamp()
    from postern.api_key_secrets n where ${silent}
    returning o.key_id, o.id, o.last4, o.quiet_seconds
  )
  insert into postern.audit_events (action, actor_kind, actor_id, resource_kind, resource_id, changes)
    select 'api_key.updated', $1, $2, 'api_key', key_id, jsonb_build_object(
      'secret', jsonb_build_array('••••' || last4, null),
      'quiet_seconds', jsonb_build_array(quiet_seconds, null))
    from ended
  returning resource_id as id`

/** The keys whose current secret is past its age, each once. */
export async function noteDue(
  sql: Sql,
  platform: string,
  maxAgeSeconds: Readonly<Record<EnvironmentName, number>>,
): Promise<readonly RotationDue[]> {
  const { rows } = await sql.query<{ due: RotationDue }>(
    { platform },
    {
      text: noting,
      values: [maxAgeSeconds.test, maxAgeSeconds.live, sweeper.actor.kind, sweeper.actor.id],
    },
  )
  return rows.map(({ due }) => due)
}

// A revoked key is marked too, or it would be looked at for ever.
const noting = `
  with due as (
    select s.id, s.key_id, s.created_at, k.environment, k.revoked_at is null as alive
    from postern.api_key_secrets s join postern.api_keys k on k.platform = s.platform and k.id = s.key_id
    where s.superseded_by is null and s.due_noted_at is null
      and s.created_at <= statement_timestamp() - make_interval(secs => least($1::float8, $2::float8))
      and s.created_at <= statement_timestamp()
        - make_interval(secs => case k.environment when 'test' then $1::float8 else $2::float8 end)
    order by s.created_at limit 1000
    for no key update of s skip locked
  ), marked as (
    update postern.api_key_secrets s set due_noted_at = statement_timestamp()
    from due where s.id = due.id
  ), noted as (
    insert into postern.audit_events (action, actor_kind, actor_id, resource_kind, resource_id, changes)
      select 'api_key.rotation_due', $3, $4, 'api_key', key_id, '{}' from due where alive
  )
  select jsonb_build_object('keyId', key_id, 'secretId', id, 'environment', environment,
    'since', floor(extract(epoch from created_at) * 1000)) as due
  from due where alive`
