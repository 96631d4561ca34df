/** Who calls the gates of a rig: tenants whose rows differ, in both environments, and limited keys. */
import type { Stream } from './load.ts'

export const tenants = ['tenant_abc123', 'tenant_xyz789'] as const

export type RigKey = { readonly id: string; readonly key: string }

/** The ids of the rows that a tenant has with a key of an environment, by `tenant KEY`. */
export type Rows = Readonly<Record<string, readonly string[]>>

/** Readers and writers of both tenants, a trespasser, and callers of an upstream: 80/s in all. */
export function mixOf(
  variable: (name: string) => string,
  rows: Rows,
  limited?: { readonly key: RigKey; readonly perSecond: number },
): Stream[] {
  const [a, b] = tenants
  const as = (tenant: string, key: string) => ({ 'x-api-key': variable(key), 'x-tn': tenant })
  const list = '/v1/subscriptions?nonce=:nonce'
  const readers = tenants.flatMap((tenant) =>
    ['POSTERN_SK_LIVE', 'POSTERN_SK_DEV'].map((key): Stream => {
      const name = `rows ${tenant} ${key}`
      const own = rows[`${tenant} ${key}`]
      return { name, perSecond: 12, headers: as(tenant, key), path: list, rows: own }
    }),
  )
  const [rowOfA = ''] = rows[`${a} POSTERN_SK_LIVE`] ?? []
  const [rowOfB = ''] = rows[`${b} POSTERN_SK_LIVE`] ?? []
  const row = (id: string) => `/v1/subscriptions/${id}?nonce=:nonce`
  const live = 'POSTERN_SK_LIVE'
  return [
    ...readers,
    {
      ...{ name: 'write', method: 'PATCH', body: '{"seats":7}', path: row(rowOfB) },
      ...{ perSecond: 6, headers: { ...as(b, live), 'content-type': 'application/json' } },
    },
    { name: 'foreign', perSecond: 6, headers: as(b, live), path: row(rowOfA) },
    { name: 'echo', perSecond: 20, headers: as(a, live), path: '/echo/:nonce', echoTo: a },
    ...(limited === undefined ? [] : [limitedStream('limited', limited.key, limited.perSecond)]),
  ]
}

/** Calls of a limited key that need no database. Its name must begin with `limited`. */
export function limitedStream(name: string, { key }: RigKey, perSecond: number): Stream {
  const [tenant] = tenants
  const headers = { 'x-api-key': key, 'x-tn': tenant }
  return { name, perSecond, headers, path: '/echo/:nonce', echoTo: tenant }
}
