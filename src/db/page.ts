/**
 * How is a long list read in pieces? By the place where the last piece ended, in the order of
 * creation, so that a page costs the same at the end of a list as at its start, and rows that come or
 * go in between shift nothing.
 */

/**
 * Where a page ended: what the next one begins behind. Exact to the microsecond, so it is text;
 * it comes from `next` of a page and goes back as it was.
 */
export type Place = { readonly at: string; readonly id: string }

/** A page of a list. `next` is null when there is no more. */
export type Page<Row> = { readonly rows: readonly Row[]; readonly next: Place | null }

/** Which page. `limit` is a positive integer. */
export type Paging = {
  /** By creation: `desc` has the newest first. */
  readonly order: 'asc' | 'desc'
  readonly after?: Place | null
  readonly limit: number
}

/** Conditions of a statement and the values they name, collected one by one. */
export class Conditions {
  readonly values: unknown[] = []
  readonly #texts: string[] = ['true']

  /** Adds a condition unless the value is left out or null. `?` in it stands for the value. */
  add(text: string, value: unknown): this {
    if (value !== undefined && value !== null)
      this.#texts.push(text.replaceAll('?', this.value(value)))
    return this
  }

  /** Adds a condition that names no value. */
  and(text: string): this {
    this.#texts.push(text)
    return this
  }

  /** Keeps a value, and says how the statement names it. */
  value(value: unknown): string {
    return `$${this.values.push(value)}`
  }

  get text(): string {
    return this.#texts.join(' and ')
  }
}

/**
 * The rest of a statement whose rows have `id` and the instant `at` and that says `where` already:
 * which rows, in which order, how many. One row more than the page holds is asked for.
 */
export function pageClauses(
  where: Conditions,
  at: string,
  { order, after, limit }: Paging,
): string {
  const rows = `(${at}, id)`
  const behind = order === 'asc' ? '>' : '<'
  const place =
    after === undefined || after === null
      ? ''
      : ` and ${rows} ${behind} (${where.value(after.at)}::timestamptz, ${where.value(after.id)})`
  return `${where.text}${place} order by ${at} ${order}, id ${order} limit ${where.value(limit + 1)}`
}

/** The place of a row, as `Place` has it. */
export const placeText = (at: string): string =>
  `jsonb_build_object('id', id, 'at', to_char(${at} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))`

/** The page that was asked for, from rows that hold one more where there is one. */
export function toPage<Row, Out>(
  found: readonly (Row & { readonly place: Place })[],
  limit: number,
  read: (row: Row) => Out,
): Page<Out> {
  const rows = found.slice(0, limit)
  return { rows: rows.map(read), next: found.length > limit ? (rows.at(-1)?.place ?? null) : null }
}

/** A list from its start to its end, in pages that are read while they are iterated. */
export async function* everyPage<Row>(
  limit: number,
  list: (paging: Paging) => Promise<Page<Row>>,
): AsyncGenerator<readonly Row[], void, undefined> {
  let after: Place | null = null
  do {
    const page: Page<Row> = await list({ order: 'asc', after, limit })
    yield page.rows
    after = page.next
  } while (after !== null)
}

/** The rows of such a list, one by one. */
export async function* everyRow<Row>(
  limit: number,
  list: (paging: Paging) => Promise<Page<Row>>,
): AsyncGenerator<Row, void, undefined> {
  for await (const rows of everyPage(limit, list)) yield* rows
}
