/** What undici and sockets say went wrong, in the words of a hop (RFC 9209 section 2.3). */
import { type HopFailure, HopFault } from '../../../context.ts'
import { Problem } from '../../../problem.ts'

const failures: Readonly<Record<string, HopFailure>> = {
  UND_ERR_HEADERS_OVERFLOW: 'http_response_header_section_size',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'http_response_incomplete',
  UND_ERR_SOCKET: 'connection_terminated',
  ECONNRESET: 'connection_terminated',
  EPIPE: 'connection_terminated',
}

/**
 * The fault that an error is. A `Problem` is the client's, whose body went wrong, and stays one.
 * `untouched`: nothing of the request can have been sent.
 */
export function faultOf(error: unknown, untouched: boolean): HopFault | Problem {
  if (error instanceof HopFault || error instanceof Problem) return error
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const message = error instanceof Error ? error.message : 'no error was given'
  // Both are what undici calls an answer that nobody asked for.
  const unasked = message === 'bad upgrade' || message === 'bad response'
  const failure = unasked ? undefined : failureOf(code)
  return new HopFault(failure ?? 'http_protocol_error', untouched, message)
}

/** In TLS 1.3 an upstream may refuse a client's certificate after the handshake has ended (RFC 8446 4.4.2.4). */
const failureOf = (code: string): HopFailure | undefined =>
  code.startsWith('ERR_SSL_') ? 'tls_protocol_error' : failures[code]
