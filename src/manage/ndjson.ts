/** Newline-delimited JSON: what goes out row by row, at the pace of whoever reads it. */

export const ndjsonType = 'application/x-ndjson'

/** Whether an `Accept` header asks for it by name. */
export const wantsNdjson = (accept: string | undefined): boolean =>
  accept !== undefined && /application\/x-ndjson/i.test(accept)

/** Answers a line for each row; see `ndjsonBody`. */
export function answerNdjson<Row>(
  rows: AsyncIterable<Row>,
  show: (row: Row) => unknown,
  defer: (work: Promise<unknown>) => void,
): never {
  const headers = { 'content-type': ndjsonType, 'cache-control': 'no-store', vary: 'accept' }
  // To the types of @hono/zod-openapi an answer is what a schema describes, and this has none.
  return new Response(ndjsonBody(rows, show, defer), { headers }) as never
}

/**
 * A body of one line for each row. `defer` is told of the work, because it goes on when the handler
 * has answered. A row that cannot be read breaks the body off, so that a half is never taken for the
 * whole; a reader who leaves ends the reading of rows.
 */
export function ndjsonBody<Row>(
  rows: AsyncIterable<Row>,
  show: (row: Row) => unknown,
  defer: (work: Promise<unknown>) => void,
): ReadableStream<Uint8Array> {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
  defer(pump(rows, show, writable.getWriter()))
  return readable
}

async function pump<Row>(
  rows: AsyncIterable<Row>,
  show: (row: Row) => unknown,
  writer: WritableStreamDefaultWriter<Uint8Array>,
): Promise<void> {
  const encoder = new TextEncoder()
  try {
    for await (const row of rows) {
      await writer.ready
      // Not awaited, or each row would wait for its reader; `ready` is what holds it back.
      writer.write(encoder.encode(`${JSON.stringify(show(row))}\n`)).catch(ignore)
    }
    await writer.close()
  } catch (error) {
    await writer.abort(error).catch(ignore)
  }
}

const ignore = (): void => {}
