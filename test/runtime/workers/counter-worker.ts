/**
 * A Worker for tests: the counter's Durable Object, with a clock that the caller sets, behind
 * `durableCounter` as the gateway uses it. A request carries many borrows, which are made at once.
 */
import type { Borrowed, CounterTree } from '../../../src/context.ts'
import { PosternCounter as Real } from '../../../src/runtime/workers/counter-object.ts'
import { durableCounter } from '../../../src/runtime/workers/durable-counter.ts'
import { type Answered, type Asked, read, write } from './counter-wire.ts'

export class PosternCounter extends Real {
  #ms = 0

  borrowAt(ms: number, tree: CounterTree, want: number): Borrowed | Promise<Borrowed> {
    this.#ms = ms
    return this.borrow(tree, want)
  }

  protected override now(): number {
    return this.#ms
  }
}

type Env = {
  readonly POSTERN_COUNTER: {
    getByName(name: string): {
      borrowAt(ms: number, tree: CounterTree, want: number): Promise<Borrowed>
    }
  }
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    // What the test sends.
    const asked = read(await request.text()) as readonly Asked[]
    const answer = async ({ ms, tree, want }: Asked): Promise<Answered> => {
      const counter = durableCounter({
        getByName: (name) => ({
          borrow: (...args) => env.POSTERN_COUNTER.getByName(name).borrowAt(ms, ...args),
        }),
      })
      try {
        return { borrowed: await counter.borrow(tree, want) }
      } catch (error) {
        return error instanceof Error
          ? { name: error.name, why: error.message }
          : { name: typeof error, why: '' }
      }
    }
    return new Response(write(await Promise.all(asked.map(answer))))
  },
}
