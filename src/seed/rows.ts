/**
 * What examples have to show: rows of a tenant, which differ by tenant and environment, so that whoever
 * changes one of those in a call sees it. Only what a platform's routes can show is made.
 */
import type { EnvironmentName, Platform, Sql } from '../context.ts'
import { exampleResources, sessions, subscriptions } from '../db/schema.ts'
import { bindDb } from '../db/scope.ts'
import { newId } from '../lib/id.ts'

type Resource = { readonly id: string; readonly data: Readonly<Record<string, unknown>> }

const plans = ['starter', 'team', 'business', 'enterprise']

/** By the name of the handler that shows them. `nth`: which tenant it is, from 0. */
const resources: Readonly<
  Record<string, (environment: EnvironmentName, nth: number) => readonly Resource[]>
> = {
  users: (environment, nth) => [
    {
      id: 'usr_123',
      data: {
        name: `${['Ada', 'Grace', 'Alan', 'Edsger'][nth % 4]} (${environment})`,
        email: `user-${nth + 1}@${environment}.example.com`,
      },
    },
  ],
  databases: (environment, nth) =>
    [`catalogue-${nth + 1}`, `support-${nth + 1}`].map((name) => ({
      id: newId('vdb_'),
      data: { name: `${name}-${environment}`, dimensions: 768 },
    })),
}

/** Makes them for each tenant, in test and in live. Throws when the store does not answer. */
export async function seedRows(
  { id: platform, routes }: Platform,
  tenants: readonly string[],
  sql: Sql,
): Promise<void> {
  const handlers = [...new Set(routes.map(({ handler }) => handler))]
  for (const [nth, tenant] of tenants.entries()) {
    for (const environment of ['test', 'live'] as const satisfies EnvironmentName[]) {
      const db = bindDb(sql, { platform, environment, tenant })
      await db.insert(subscriptions).values(subscriptionsOf(environment, nth))
      const rows = handlers.flatMap((kind) =>
        (resources[kind ?? '']?.(environment, nth) ?? []).map((row) => ({ ...row, kind: kind! })),
      )
      if (rows.length > 0) await db.insert(exampleResources).values(rows)
      if (handlers.includes('sessions')) await db.insert(sessions).values(sessionsOf(nth))
    }
  }
}

const sessionsOf = (nth: number) =>
  [null, null, new Date()].map((endedAt, n) => ({
    id: newId('ses_'),
    userId: `user_${100 * nth + n + 1}`,
    endedAt,
  }))

const subscriptionsOf = (environment: EnvironmentName, nth: number) =>
  [0, 1].map((n) => ({
    id: newId('sub_'),
    plan: plans[(2 * nth + n + (environment === 'live' ? 1 : 0)) % plans.length] ?? 'starter',
    seats: environment === 'live' ? 10 * (nth + 1) + n : 1 + n,
  }))
