/**
 * The web `Request` of what has arrived, made when somebody asks for one: what is forwarded never does.
 *
 * The adapter makes it, lightly, and would send what a callback answers. Here it is left waiting, for
 * the answer goes out by `intake.ts`, which has the connection to look after.
 */
import { getRequestListener, RequestError } from '@hono/node-server'
import { Problem } from '../../problem.ts'
import type { Incoming } from './incoming.ts'
import type { Outgoing } from './outgoing.ts'

let made: Request | null = null
let failed: unknown = null

const adapter = getRequestListener(
  (request) => {
    made = request
    return new Promise<Response>(() => {})
  },
  {
    errorHandler(error) {
      failed = error
    },
    autoCleanupIncoming: false,
    // HTTP/1.0 may come without a Host; the URL needs one.
    hostname: 'localhost',
  },
)

/** Makes the request. Throws `request/malformed` where host and path make no URL. */
export function requestOf(incoming: Incoming, outgoing: Outgoing): Request {
  made = null
  failed = null
  // It has made the request, or found that it cannot, by the time this returns.
  void adapter(incoming, outgoing)
  const request: Request | null = made
  made = null
  if (request !== null) return request
  if (failed instanceof RequestError) {
    throw new Problem('request/malformed', { cause: failed.message })
  }
  throw failed
}
