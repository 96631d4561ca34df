/**
 * The built-in echo upstream on Workers. It is reached without a connection, so it says what an
 * upstream would get of the gateway; what `fetch` writes (`Host`, framing) is not among it. A
 * WebSocket gets each of its messages back.
 */
import type { Hop } from '../../context.ts'
import { coverText } from '../../proxy/cover.ts'
import { echoOf } from '../../proxy/echo.ts'
import { layAnswer } from '../../proxy/headers.ts'
import type { WorkerExchange } from './exchange.ts'
import { headersOf } from './fields.ts'

/** A longer message ends the connection: each is held whole. */
const messageBytesMax = 1_048_576

/** Answers a hop whose upstream is the echo. Throws the `Problem` of a request body that is too large. */
export async function answerEcho(hop: Hop, exchange: WorkerExchange): Promise<Response> {
  if (hop.upgrade) return openEcho(hop)
  const bodyBytes = hop.hasBody ? await exchange.countBody() : 0
  const echoed = JSON.stringify(echoOf(hop.method, hop.path, hop.headers, bodyBytes))
  const said = hop.covered === null ? echoed : coverText(echoed, hop.covered)
  const length = String(new TextEncoder().encode(said).byteLength)
  const raw = ['content-type', 'application/json', 'content-length', length]
  return new Response(said, { status: 200, headers: headersOf(layAnswer(raw, hop)) })
}

function openEcho(hop: Hop): Response {
  const { 0: theirs, 1: ours } = new WebSocketPair()
  // A Blob is read later, and what follows would overtake it.
  ours.binaryType = 'arraybuffer'
  ours.accept()
  ours.addEventListener('message', ({ data }: MessageEvent<string | ArrayBuffer>) => {
    const size = typeof data === 'string' ? data.length : data.byteLength
    if (size > messageBytesMax) ours.close(1009, 'message too big')
    else ours.send(data)
  })
  ours.addEventListener('close', ({ code, reason }) => {
    // 1005 and 1006 say that no code came, and may not be sent (RFC 6455 7.4.1).
    if (code === 1005 || code === 1006) ours.close()
    else ours.close(code, reason)
  })
  return new Response(null, {
    status: 101,
    headers: headersOf(layAnswer([], hop)),
    webSocket: theirs,
  })
}
