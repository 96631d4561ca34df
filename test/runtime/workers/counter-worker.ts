/**
 * A Worker for tests: the counter's Durable Object, with a clock that the caller sets, behind
 * `durableLender` as the gateway uses it. A request carries many calls, which are made at once.
 */
import type { Ask, Lent } from '../../../src/context.ts'
import { PosternCounter as Real } from '../../../src/runtime/workers/counter-object.ts'
import { durableLender } from '../../../src/runtime/workers/durable-lender.ts'
import { type Answered, type Asked, read, write } from './counter-wire.ts'

export class PosternCounter extends Real {
  #ms = 0

  lendAt(ms: number, shard: string, asks: readonly Ask[]): Promise<Lent> {
    this.#ms = ms
    return this.lend(shard, asks)
  }

  protected override now(): number {
    return this.#ms
  }
}

type Env = {
  readonly POSTERN_COUNTER: {
    getByName(name: string): {
      lendAt(ms: number, shard: string, asks: readonly Ask[]): Promise<Lent>
    }
  }
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    // What the test sends.
    const asked = read(await request.text()) as readonly Asked[]
    const answer = async ({ ms, shard, asks }: Asked): Promise<Answered> => {
      const lender = durableLender({
        getByName: (name) => ({
          lend: (...args) => env.POSTERN_COUNTER.getByName(name).lendAt(ms, ...args),
        }),
      })
      try {
        return { lent: await lender.lend(shard, asks) }
      } catch (error) {
        return error instanceof Error
          ? { name: error.name, why: error.message }
          : { name: typeof error, why: '' }
      }
    }
    return new Response(write(await Promise.all(asked.map(answer))))
  },
}
