/** The parser of `node:http`, as another opinion of what an answer is. */
import { createRequire } from 'node:module'

type Parser = {
  initialize(type: number, resource: object): void
  execute(bytes: Buffer): number | Error
  close(): void
  [callback: number]: (...given: never[]) => unknown
}

type ParserClass = {
  new (): Parser
  readonly RESPONSE: number
  readonly kOnHeadersComplete: number
  readonly kOnBody: number
  readonly kOnMessageComplete: number
}

// Not in its types, and loaded here alone.
const { HTTPParser } = createRequire(import.meta.url)('_http_common') as {
  readonly HTTPParser: ParserClass
}

export type NodeRead = {
  status: number
  headers: string[]
  body: string
  isOver: boolean
  fault: string | null
}

/** Reads an answer to a GET on a connection that stays open. The first one counts. */
export function readByNode(text: string): NodeRead {
  const got: NodeRead = { status: 0, headers: [], body: '', isOver: false, fault: null }
  const parser = new HTTPParser()
  parser.initialize(HTTPParser.RESPONSE, {})
  parser[HTTPParser.kOnHeadersComplete] = (
    _major: number,
    _minor: number,
    headers: string[],
    _method: unknown,
    _url: unknown,
    status: number,
  ) => {
    if (status >= 200) Object.assign(got, { status, headers })
    return 0
  }
  parser[HTTPParser.kOnBody] = (piece: Buffer) => {
    got.body += piece.toString('latin1')
  }
  parser[HTTPParser.kOnMessageComplete] = () => {
    got.isOver = got.status !== 0
  }
  const result = parser.execute(Buffer.from(text, 'latin1'))
  if (result instanceof Error) got.fault = result.message
  parser.close()
  return got
}
