/** What sockets say went wrong, in the words of a hop (RFC 9209 section 2.3). */
import { HopFault } from '../../../context.ts'
import { Problem } from '../../../problem.ts'

/**
 * The fault that an error is. A `Problem` is the client's, whose body went wrong, and stays one.
 * `untouched`: nothing of the request can have been sent.
 */
export function faultOf(error: unknown, untouched: boolean): HopFault | Problem {
  if (error instanceof HopFault || error instanceof Problem) return error
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const message = error instanceof Error ? error.message : 'no error was given'
  // In TLS 1.3 an upstream may refuse a client's certificate after the handshake has ended (RFC 8446 4.4.2.4).
  const failure = code.startsWith('ERR_SSL_') ? 'tls_protocol_error' : 'connection_terminated'
  return new HopFault(failure, untouched, message)
}
