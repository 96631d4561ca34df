/** One page of a list. */
export type Page<Item> = {
  readonly data: readonly Item[]
  readonly hasMore: boolean
  /** Where the next page begins: `list({ cursor })`. */
  readonly nextCursor: string | null
}

/** Which part of a list, and how much of it at a time. */
export type PageOptions = {
  /** Items per page, 1 to 100. The server's default is 20. */
  readonly limit?: number
  /** The `nextCursor` of a page of the same list. */
  readonly cursor?: string
}

/**
 * A list that has not been asked for yet. `for await` goes through all of it, page by page;
 * `.page()` asks for one.
 */
export class Pages<Item> implements AsyncIterable<Item> {
  readonly #read: (cursor: string | undefined) => Promise<Page<Item>>

  /** `read`: asks for the page at a cursor; undefined is the first. */
  constructor(read: (cursor: string | undefined) => Promise<Page<Item>>) {
    this.#read = read
  }

  /** The first page, or the one at the `cursor` that the list was made with. */
  page(): Promise<Page<Item>> {
    return this.#read(undefined)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Item, void, undefined> {
    let cursor: string | undefined
    do {
      const page: Page<Item> = await this.#read(cursor)
      yield* page.data
      cursor = page.nextCursor ?? undefined
    } while (cursor !== undefined)
  }
}
