/**
 * Lists, page by page. A cursor says where a page ended; it carries a MAC over that place and over
 * everything that decided the list, so one that was edited, or that belongs to another caller, another
 * platform or other filters, is refused (threats G14). It is not secret.
 */
import { z } from '@hono/zod-openapi'
import type { Page, Place } from '../db/page.ts'
import { digestsEqual, hmacSha256 } from '../lib/digest.ts'
import { Problem } from '../problem.ts'
import type { ManageContext } from './call.ts'
import { word } from './faults.ts'

/** The query of every list, beside its filters. */
export const pageQuery = {
  limit: z
    .string()
    .regex(/^(?:[1-9]\d?|100)$/, { error: 'must be a whole number from 1 to 100' })
    .optional()
    .openapi({ description: 'How many at most. Default: 20.', example: '20' }),
  order: word(['asc', 'desc'])
    .optional()
    .openapi({ description: 'By creation. Default: desc, the newest first.', example: 'desc' }),
  cursor: z
    .string()
    .max(512, { error: 'is no cursor of this list' })
    .optional()
    .openapi({ description: 'The `next_cursor` of the page before.' }),
}

/** Every call may name its platform; a key's own is the only one that it knows. */
export const platformQuery = {
  platform: z
    .string()
    .max(64, { error: 'must be the slug of a platform' })
    .optional()
    .openapi({ description: 'The platform, by slug. For operator keys, where there are several.' }),
}

/** The shape of a list of `item`. */
export const pageOf = <Item extends z.ZodType>(item: Item) =>
  z.object({
    success: z.literal(true),
    object: z.literal('list'),
    data: z.array(item),
    has_more: z.boolean(),
    next_cursor: z.string().nullable(),
  })

type Query = { readonly limit?: string; readonly order?: 'asc' | 'desc'; readonly cursor?: string }

/** Makes and reads cursors under a key of their own. */
export type Cursors = {
  /** The page that the query asks for. Throws `request/invalid` for a cursor that is not of this list. */
  read(c: ManageContext, platform: string, query: Query): Paged
  /** The body of a page; the link to the next one goes into the answer's headers (RFC 8288). */
  write<Row, Item>(
    c: ManageContext,
    platform: string,
    page: Page<Row>,
    show: (row: Row) => Item,
  ): { success: true; object: 'list'; data: Item[]; has_more: boolean; next_cursor: string | null }
}

type Paged = {
  readonly limit: number
  readonly order: 'asc' | 'desc'
  readonly after: Place | null
}

/** `secret`: 32 bytes that nothing else is keyed with. */
export function createCursors(secret: Uint8Array): Cursors {
  // Length before text, so that no two lists have one name.
  const mac = (c: ManageContext, platform: string, payload: string): Uint8Array => {
    const url = new URL(c.req.url)
    url.searchParams.delete('cursor')
    url.searchParams.delete('limit')
    url.searchParams.sort()
    const { id } = c.env.caller.record
    const parts = [payload, platform, id, url.pathname, url.searchParams.toString()]
    const bound = parts.map((part) => `${part.length}:${part}`).join('')
    return hmacSha256(secret, new TextEncoder().encode(bound))
  }

  return {
    read(c, platform, { limit = '20', order = 'desc', cursor }) {
      const size = Number(limit)
      if (cursor === undefined) return { limit: size, order, after: null }
      const [payload = '', code = ''] = cursor.split('.')
      const given = decode(code)
      const after = placeIn(payload)
      if (given === null || after === null || !digestsEqual(given, mac(c, platform, payload))) {
        const message = 'is not a cursor of this list: another caller, filter or order, or edited'
        const errors = [{ location: 'query.cursor', code: 'invalid', message }]
        throw new Problem('request/invalid', { param: 'cursor', errors })
      }
      return { limit: size, order, after }
    },
    write(c, platform, { rows, next }, show) {
      let cursor: string | null = null
      if (next !== null) {
        const payload = encode(new TextEncoder().encode(JSON.stringify([next.at, next.id])))
        cursor = `${payload}.${encode(mac(c, platform, payload))}`
        const url = new URL(c.req.url)
        url.searchParams.set('cursor', cursor)
        c.header('link', `<${url.pathname}${url.search}>; rel="next"`)
      }
      return {
        success: true,
        object: 'list',
        data: rows.map(show),
        has_more: next !== null,
        next_cursor: cursor,
      }
    },
  }
}

function placeIn(payload: string): Place | null {
  const bytes = decode(payload)
  if (bytes === null) return null
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes))
    if (!Array.isArray(value)) return null
    const [at, id] = value
    return typeof at === 'string' && typeof id === 'string' ? { at, id } : null
  } catch {
    return null
  }
}

const encode = (bytes: Uint8Array): string =>
  btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')

function decode(text: string): Uint8Array | null {
  if (!/^[A-Za-z0-9_-]+$/.test(text)) return null
  try {
    const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'))
    return Uint8Array.from(binary, (character) => character.charCodeAt(0))
  } catch {
    return null
  }
}

/** Milliseconds since 1970 as RFC 3339 in UTC. */
export const timeOf = (ms: number): string => new Date(ms).toISOString()
export const timeOrNull = (ms: number | null): string | null => (ms === null ? null : timeOf(ms))
