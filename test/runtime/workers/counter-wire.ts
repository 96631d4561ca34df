/** What travels between counter.test.ts on Node and counter-worker.ts in workerd. */
import type { Ask, Lent } from '../../../src/context.ts'

export type Asked = { readonly ms: number; readonly shard: string; readonly asks: readonly Ask[] }
export type Answered = { readonly lent: Lent } | { readonly name: string; readonly why: string }

/** JSON knows no numbers like these. */
const special = ['Infinity', '-Infinity', 'NaN']
export const write = (value: unknown): string =>
  JSON.stringify(value, (_, part) =>
    typeof part === 'number' && !Number.isFinite(part) ? { special: String(part) } : part,
  )
export const read = (text: string): unknown =>
  JSON.parse(text, (_, part) => (special.includes(part?.special) ? Number(part.special) : part))
