/**
 * What may be logged of a request, named one by one: there is no query and no body in an outcome, its
 * one header (the origin, which is whatever a caller says) is not logged, and a credential is its id,
 * prefix, ref and last 4 (threats Q22, X7). Whatever writes the lines, on every runtime, writes these
 * fields and no others.
 */
import type { Outcome } from '../context.ts'

/** The fields of the line that tells of one request. */
export function outcomeLine(outcome: Outcome): Record<string, unknown> {
  const { requestId, method, path, route, platform, environment, tenant, credential } = outcome
  const { clientAddress, status, code, cause, cost, requestBytes, responseBytes } = outcome
  return {
    event: 'request',
    requestId,
    method,
    path,
    route,
    platform,
    environment,
    tenant,
    clientAddress,
    status,
    code,
    cause,
    cost,
    requestBytes,
    responseBytes,
    durationMs: Math.round(outcome.durationMs * 1000) / 1000,
    keyId: credential?.id ?? null,
    key: credential && `${credential.prefix}${credential.ref}_…${credential.last4}`,
  }
}
