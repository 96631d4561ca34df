/**
 * The API writes `expires_at`, TypeScript `expiresAt`. Names are changed and values never are; what
 * stands in a field of your own names (`metadata`) stays as you wrote it.
 */
import { opaqueFields } from './schema.ts'

export const camel = (name: string): string =>
  name.replace(/_([a-z0-9])/g, (_, next: string) => next.toUpperCase())

export const snake = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** A value as the API wrote it, with the names of TypeScript. */
export const fromWire = (value: unknown): unknown => renamed(value, camel)

/** A value as the API takes it. A `Date` becomes RFC 3339. */
export const toWire = (value: unknown): unknown => renamed(value, snake)

function renamed(value: unknown, name: (name: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => renamed(item, name))
  if (value instanceof Date) return value.toISOString()
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([field, held]) => [
      name(field),
      opaqueFields.has(field) ? held : renamed(held, name),
    ]),
  )
}
