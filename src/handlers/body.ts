import type { z } from 'zod'
import { Problem } from '../problem.ts'

/**
 * The body as `schema` reads it. Throws a `request/invalid` Problem that lists every bad field at
 * once, by where it stands in the body, without repeating its value.
 */
export function parseBody<Schema extends z.ZodType>(
  schema: Schema,
  body: unknown,
): z.output<Schema> {
  const read = schema.safeParse(body ?? {})
  if (read.success) return read.data
  throw new Problem('request/invalid', {
    errors: read.error.issues.map((issue) => ({
      location: ['body', ...issue.path].join('.'),
      code: issue.code,
      message: issue.message,
    })),
  })
}

/** The one row of an answer; throws `resource/not_found` when there is none. */
export function one<Row>(rows: readonly Row[]): Row {
  const row = rows[0]
  if (row === undefined) throw new Problem('resource/not_found')
  return row
}
