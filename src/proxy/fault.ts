/**
 * What is a caller told of a request that came to nothing? A code and the word of RFC 9209, and no
 * more: which address refused, and how, is for the log (threats S8).
 */
import type { HopFailure, HopFault, Upstream } from '../context.ts'
import type { ProblemCode, Refusal } from '../problem.ts'

const codes: Readonly<Record<HopFailure, ProblemCode>> = {
  dns_timeout: 'upstream/timeout',
  dns_error: 'upstream/unreachable',
  destination_ip_prohibited: 'upstream/blocked_address',
  connection_refused: 'upstream/unreachable',
  connection_timeout: 'upstream/timeout',
  connection_terminated: 'upstream/unreachable',
  connection_limit_reached: 'gateway/overloaded',
  tls_protocol_error: 'upstream/unreachable',
  tls_certificate_error: 'upstream/unreachable',
  http_response_timeout: 'upstream/timeout',
  http_response_incomplete: 'upstream/bad_response',
  http_response_header_section_size: 'upstream/bad_response',
  http_protocol_error: 'upstream/bad_response',
  // Nobody reads it: what is left of such a request is its line in the log.
  client_gone: 'request/timeout',
}

/**
 * The refusal for a hop that failed. `where` names upstream and target for the log, which also gets
 * the driver's words. `Retry-After` goes with a 503.
 */
export function refusalOfFault({ failure, message }: HopFault, where: string): Refusal {
  const code = codes[failure]
  const cause = `${where}: ${failure}: ${message}`
  if (failure === 'client_gone') return { code, cause }
  const status = { 'proxy-status': `postern; error=${failure}` }
  return {
    code,
    cause,
    headers: failure === 'connection_limit_reached' ? { ...status, 'retry-after': '1' } : status,
  }
}

/** The refusal when every target of an upstream is unwell or left alone. */
export function unreachable({ name }: Upstream): Refusal {
  return {
    code: 'upstream/unreachable',
    headers: { 'proxy-status': 'postern; error=destination_unavailable' },
    cause: `upstream ${name}: no target is fit`,
  }
}
