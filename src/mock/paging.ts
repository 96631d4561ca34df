/**
 * What does a page of a list hold? Where it begins and how long it is, as the query asks in one of the
 * usual ways, and what stands beside the list in its answer, by the usual names.
 */
import type { Operation } from './document.ts'
import type { Json } from './pointer.ts'
import { snake } from './realistic.ts'
import type { Shape } from './shape.ts'
import type { Variants } from './variants.ts'

const pageUsual = 20
const pageMax = 100

export type Page = { readonly offset: number; readonly limit: number }

/** Where a page is: `page`, `offset`, or a cursor, which here is the place of the next thing. */
export function pageOf(query: URLSearchParams): Page {
  const number = (names: readonly string[]): number | null => {
    const text = names.map((name) => query.get(name)).find((one) => one !== null)
    return text != null && /^\d{1,9}$/.test(text) ? Number(text) : null
  }
  const asked = number(['limit', 'page_size', 'pageSize', 'per_page', 'perPage', 'size', 'first'])
  const limit = Math.min(Math.max(asked ?? pageUsual, 1), pageMax)
  const page = number(['page', 'page_number', 'pageNumber'])
  const cursor = ['cursor', 'after', 'starting_after', 'page_token', 'pageToken', 'next_token']
    .map((name) => /^cur_(\d{1,9})$/.exec(query.get(name) ?? '')?.[1])
    .find((one) => one !== undefined)
  const offset = cursor ?? number(['offset', 'skip', 'start'])
  return {
    limit,
    offset: offset != null ? Number(offset) : page === null ? 0 : Math.max(0, page - 1) * limit,
  }
}

/** Query parameters of the document that are fields of its things: those must be equal. */
export function filtersOf(
  { parameters }: Operation,
  query: URLSearchParams,
): Record<string, string> {
  const found: Record<string, string> = {}
  for (const { name, in: where, shape } of parameters) {
    const value = query.get(name)
    const isText = shape.types?.has('string') ?? shape.values !== null
    if (where !== 'query' || value === null || !isText || paging.test(snake(name))) continue
    found[name] = value
  }
  return found
}

const paging =
  /^(?:cursor|after|before|starting_after|ending_before|page.*|next_token|limit|offset|sort.*|order.*|q|query|search|expand|fields|include)$/

const isList = (shape: Shape, variants: Variants): boolean =>
  variants.of(shape).some(({ types, items }) => types?.has('array') ?? items !== null)

/** What the items of a list are; null: the shape has no list, or says nothing of its items. */
export function itemShape(shape: Shape, variants: Variants): Shape | null {
  const [flat] = variants.of(shape)
  if (flat === undefined || isList(flat, variants)) return flat?.items ?? null
  const listed = [...flat.properties.values()].find((part) => isList(part, variants))
  return listed === undefined ? null : (variants.of(listed)[0]?.items ?? null)
}

/** The list of a page, with what the document says beside it. null: the shape has no list. */
export function listValue(
  shape: Shape,
  variants: Variants,
  things: readonly unknown[],
  { offset, limit, total }: Page & { total: number },
): Json | readonly unknown[] | null {
  const [flat] = variants.of(shape)
  if (flat === undefined) return null
  if (isList(flat, variants)) return things
  const made: Record<string, unknown> = {}
  let listed: string | null = null
  for (const [name, part] of flat.properties) {
    const plain = snake(name)
    if (listed === null && isList(part, variants)) {
      listed = name
      made[name] = things
    } else {
      const beside = pageField(plain, things.length, { offset, limit, total })
      if (beside !== undefined) made[name] = beside
    }
  }
  return listed === null ? null : made
}

/** What stands beside a list, by its name; undefined: something else. */
function pageField(
  name: string,
  length: number,
  { offset, limit, total }: Page & { total: number },
): unknown {
  const next = offset + length
  const hasMore = next < total
  if (name === 'has_more' || name === 'more') return hasMore
  if (/^(?:total|total_count|total_items|count_total)$/.test(name)) return total
  if (name === 'count') return length
  if (/^(?:next|next_cursor|next_page_token|next_token|cursor)$/.test(name)) {
    return hasMore ? `cur_${next}` : null
  }
  if (/^(?:limit|per_page|page_size)$/.test(name)) return limit
  if (name === 'offset') return offset
  if (name === 'page') return Math.floor(offset / limit) + 1
  return /^(?:pages|total_pages)$/.test(name) ? Math.ceil(total / limit) : undefined
}
