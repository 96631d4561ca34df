/**
 * What one request holds, and how the gateway, which lives as long as the isolate, reaches it.
 *
 * On Workers a socket or a timer belongs to the request that opened it: another request that waits
 * for it is never answered. So the ports given to the gateway hold nothing themselves; each call goes
 * to the errand of the request it is made in. An errand ends when the answer has been sent and all
 * that was deferred is done, and only then its database clients are closed.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Lender, Ports, Sql } from '../../context.ts'

/** What workerd hands a request for work that outlives its answer. */
export type WorkerContext = { waitUntil(work: Promise<unknown>): void }

/** Opens what a request needs, when it is first needed. */
export type Openers = {
  tenantSql(): Sql
  gatewaySql(): Sql
  lender(): Lender
}

export class Errand {
  readonly #openers: Openers
  readonly #onFailure: (cause: string) => void
  readonly #work = new Set<Promise<unknown>>()
  readonly #open: { close(): Promise<void> }[] = []
  #tenantSql: Sql | null = null
  #gatewaySql: Sql | null = null
  #lender: Lender | null = null

  /** `onFailure` is told what became of deferred work that failed. */
  constructor(openers: Openers, onFailure: (cause: string) => void) {
    this.#openers = openers
    this.#onFailure = onFailure
  }

  get tenantSql(): Sql {
    this.#tenantSql ??= this.#closing(this.#openers.tenantSql())
    return this.#tenantSql
  }

  get gatewaySql(): Sql {
    this.#gatewaySql ??= this.#closing(this.#openers.gatewaySql())
    return this.#gatewaySql
  }

  get lender(): Lender {
    this.#lender ??= this.#closing(this.#openers.lender())
    return this.#lender
  }

  #closing<T extends { close(): Promise<void> }>(opened: T): T {
    this.#open.push(opened)
    return opened
  }

  readonly defer = (work: Promise<unknown>): void => {
    const held = work
      .catch((error: unknown) => this.#onFailure(String(error)))
      .finally(() => this.#work.delete(held))
    this.#work.add(held)
  }

  /** Resolves when `answer` and everything deferred is done and all is closed. Never rejects. */
  async end(answer: Promise<unknown>): Promise<void> {
    await Promise.allSettled([answer])
    while (this.#work.size > 0) await Promise.allSettled(this.#work)
    await Promise.allSettled(this.#open.map((opened) => opened.close()))
  }
}

const errands = new AsyncLocalStorage<Errand>()

/** Runs `work` so that `errandPorts` reach this errand in it, and in all that it awaits. */
export const runErrand = <T>(errand: Errand, work: () => T): T => errands.run(errand, work)

/** The errand of the request that this is called in. Throws outside of one. */
export function currentErrand(): Errand {
  const errand = errands.getStore()
  if (errand === undefined) throw new Error('a port was used outside of a request')
  return errand
}

const sqlOf = (pick: (errand: Errand) => Sql): Sql => ({
  query: (scope, statement) => pick(currentErrand()).query(scope, statement),
  begin: (scope, begin) => pick(currentErrand()).begin(scope, begin),
  // Each request closes its own.
  async close() {},
})

/** The ports of a deployment that are another object in every request. */
export const errandPorts: Pick<Ports, 'tenantSql' | 'gatewaySql' | 'defer'> = {
  tenantSql: sqlOf((errand) => errand.tenantSql),
  gatewaySql: sqlOf((errand) => errand.gatewaySql),
  defer: (work) => currentErrand().defer(work),
}

/** What the isolate's counter borrows from: each call goes to the store of the request it is made in. */
export const errandLender: Lender = {
  lend: (shard, asks) => currentErrand().lender.lend(shard, asks),
  async close() {},
}
