/**
 * How do many keys come in, and how do they leave? A thousand in a transaction, five hundred in a
 * page. What leaves holds the secrets as they are stored, so that another deployment with the same
 * pepper can take the keys and their old strings work there.
 *
 * It refuses to stop at a key that clashes: that one is told and left out. The danger is a key that
 * is stored without its secret, so a part in which that happened is undone as a whole.
 */
import type { Sql } from '../context.ts'
import type { Acting } from './audit.ts'
import { change, kept, undone } from './change.ts'
import { insertKeys } from './key-rows.ts'
import type { ExportedKey, Imported, KeyStore, NewKey } from './keys.ts'
import { everyPage } from './page.ts'

const importedAtOnce = 1000
const exportedAtOnce = 500

/** Stores keys in parts; see `KeyStore.importMany`. */
export async function importMany(
  sql: Sql,
  platform: string,
  keys: readonly NewKey[],
  acting: Acting,
): Promise<readonly Imported[] | 'actor_gone'> {
  const ids = new Set<string>()
  // Of two with one id, which the database would take for one key with two secrets, the first counts.
  const first = new Set(keys.filter(({ id }) => !ids.has(id) && ids.add(id)))
  const stored = new Set<NewKey>()
  for (let at = 0; at < keys.length; at += importedAtOnce) {
    const part = keys.slice(at, at + importedAtOnce).filter((key) => first.has(key))
    const imported = await importPart(sql, platform, part, acting)
    if (imported === 'actor_gone') return imported
    for (const key of imported) stored.add(key)
  }
  return keys.map((key) => ({
    id: key.id,
    outcome: stored.has(key) ? 'imported' : 'conflict',
  }))
}

/**
 * A key is stored with its secret or not at all. A secret that is taken, on whatever platform, is
 * seen only when its key has been inserted: then all is undone and tried again without that key.
 */
async function importPart(
  sql: Sql,
  platform: string,
  keys: readonly NewKey[],
  acting: Acting,
): Promise<readonly NewKey[] | 'actor_gone'> {
  let left = keys
  while (left.length > 0) {
    const part = left
    const result = await change(sql, platform, acting, null, async (transaction) => {
      // The check of a foreign key is planned once for a session. In one that met the tables nearly
      // empty it reads all of them for each row, and an import would take time by its square.
      await transaction.query({ text: 'set local plan_cache_mode = force_custom_plan' })
      const inserted = await insertKeys(transaction, part, acting, 'api_key.imported')
      return inserted.half.size === 0 ? kept(inserted) : undone(inserted)
    })
    if (result === 'actor_gone') return result
    const { whole, half } = result
    if (half.size === 0) return part.filter(({ id }) => whole.has(id))
    left = part.filter(({ id }) => !half.has(id))
  }
  return []
}

/** Every key with its valid secrets, oldest first. */
export async function* exportAll(
  sql: Sql,
  platform: string,
  list: KeyStore['list'],
): AsyncGenerator<ExportedKey, void, undefined> {
  for await (const page of everyPage(exportedAtOnce, (paging) => list(platform, paging))) {
    const secrets = await secretsOf(
      sql,
      platform,
      page.map(({ id }) => id),
    )
    for (const key of page) yield { key, secrets: secrets.get(key.id) ?? [] }
  }
}

async function secretsOf(
  sql: Sql,
  platform: string,
  ids: readonly string[],
): Promise<ReadonlyMap<string, ExportedKey['secrets']>> {
  const { rows } = await sql.query<ExportedKey['secrets'][number] & { keyId: string }>(
    { platform },
    {
      text: `select key_id as "keyId", id, digest, pepper_version as "pepperVersion", last4
        from postern.api_key_secrets
        where key_id = any ($1) and (expires_at is null or expires_at > now())
        order by (superseded_by is null) desc, created_at desc`,
      values: [ids],
    },
  )
  return Map.groupBy(rows, ({ keyId }) => keyId)
}
