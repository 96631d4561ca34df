/**
 * The one door through which a refusal leaves: the error table, `Problem`, and the body.
 *
 * A room returns a `Refusal`; a breakage is a throw. Both become one RFC 9457 object that is, at
 * the same time, what the clients of every key scheme decode (design.md section 3). Two voices:
 * `detail` is written for the caller, `cause` goes to the log and never to the wire.
 */
import type { Vocabulary } from './context.ts'

type ErrorType =
  | 'authentication_error'
  | 'permission_error'
  | 'invalid_request_error'
  | 'idempotency_error'
  | 'rate_limit_error'
  | 'api_error'

type ProblemRow = {
  readonly status: number
  readonly type: ErrorType
  readonly title: string
  /** Short, stable, safe to show to an end user. */
  readonly message: string
  /** What a caller can do about it, when the refusal itself says nothing more exact. */
  readonly detail: string
}

const row = (
  status: number,
  type: ErrorType,
  title: string,
  message: string,
  detail: string,
): ProblemRow => ({ status, type, title, message, detail })

const invalid = 'invalid_request_error'
const authentication = 'authentication_error'
const permission = 'permission_error'
const api = 'api_error'

/** Every code there is. A code is API: it is never renamed. Each has a page in `docs/errors.ts`. */
export const problems = {
  'request/invalid': row(
    400,
    invalid,
    'Invalid request',
    'The request is not valid',
    'Correct the fields listed in errors[].',
  ),
  'request/malformed': row(
    400,
    invalid,
    'Malformed request',
    'The request could not be read',
    'Send well-formed HTTP/1.1 and, where there is a body, well-formed JSON.',
  ),
  'request/invalid_path': row(
    400,
    invalid,
    'Invalid path',
    'The path is not allowed',
    'Send the path in its plain form: no dot segments, no empty segments, no encoded slashes or controls.',
  ),
  'request/duplicate_header': row(
    400,
    invalid,
    'Duplicate header',
    'A security header was sent more than once',
    'Send each security header exactly once.',
  ),
  'auth/ambiguous_credentials': row(
    400,
    invalid,
    'Ambiguous credentials',
    'More than one credential was sent',
    'Send one API key, in x-api-key or in Authorization: Bearer, not both.',
  ),
  'auth/key_in_url': row(
    400,
    invalid,
    'API key in the URL',
    'API keys are not accepted in the URL',
    'Send the key in a header, and rotate this one: URLs end up in logs and histories.',
  ),
  'tenant/missing': row(
    400,
    invalid,
    'Tenant missing',
    'The tenant is missing',
    'Name the tenant in the x-tn header.',
  ),
  'tenant/malformed': row(
    400,
    invalid,
    'Malformed tenant',
    'The tenant id is malformed',
    'A tenant id is 1 to 63 characters of A-Z a-z 0-9 _ - and starts with a letter or a digit. Send exactly one.',
  ),
  'auth/missing_key': row(
    401,
    authentication,
    'API key missing',
    'No API key provided',
    'Send your API key in x-api-key or in Authorization: Bearer.',
  ),
  'auth/malformed_key': row(
    401,
    authentication,
    'Malformed API key',
    'Invalid API key provided',
    'This is not a whole API key of this API. Check that it was copied to its last character.',
  ),
  'auth/invalid_key': row(
    401,
    authentication,
    'Invalid API key',
    'Invalid API key provided',
    'No active key matches. Check for typos and for a test/live mix-up.',
  ),
  'auth/key_revoked': row(
    401,
    authentication,
    'API key revoked',
    'This API key has been revoked',
    'Use another key; a revoked key never works again.',
  ),
  'auth/key_expired': row(
    401,
    authentication,
    'API key expired',
    'This API key has expired',
    'Use a newer key, or rotate this one.',
  ),
  'auth/key_disabled': row(
    401,
    authentication,
    'API key disabled',
    'This API key is disabled',
    'Ask whoever manages the keys to enable it again.',
  ),
  'tenant/mismatch': row(
    403,
    permission,
    'Tenant not allowed',
    'This API key cannot act for this tenant',
    'Send the id of a tenant that this key belongs to.',
  ),
  'tenant/suspended': row(
    403,
    permission,
    'Tenant suspended',
    'This tenant is suspended',
    'Ask the operator of this API to resume it.',
  ),
  'auth/insufficient_permission': row(
    403,
    permission,
    'Insufficient permission',
    'This API key lacks a permission',
    'Use a key that holds the permission this route demands.',
  ),
  'auth/class_not_allowed': row(
    403,
    permission,
    'Key class not allowed',
    'This class of API key cannot be used here',
    'Use a key of a class this route takes; most often that is a secret key, from a server.',
  ),
  'auth/wrong_environment': row(
    403,
    permission,
    'Wrong environment',
    'This API key belongs to another environment',
    'Use a key of the environment this route serves.',
  ),
  'auth/ip_not_allowed': row(
    403,
    permission,
    'Address not allowed',
    'This API key cannot be used from this address',
    'Call from an address on the allow-list of the key.',
  ),
  'auth/origin_not_allowed': row(
    403,
    permission,
    'Origin not allowed',
    'This API key cannot be used from this origin',
    'Call from an origin on the allow-list of the key.',
  ),
  'auth/endpoint_not_allowed': row(
    403,
    permission,
    'Endpoint not allowed',
    'This API key cannot call this endpoint',
    'Call an endpoint on the allow-list of the key.',
  ),
  'auth/secret_key_in_browser': row(
    403,
    permission,
    'Secret key in a browser',
    'Secret API keys must not be used in a browser',
    'Use a publishable key in browsers, and rotate this one: whoever saw the page has it.',
  ),
  'request/https_required': row(
    403,
    permission,
    'HTTPS required',
    'This endpoint is served over HTTPS only',
    'Call the https:// URL, and rotate the key that was sent in the clear.',
  ),
  'secret/not_declared': row(
    403,
    permission,
    'Secret not declared',
    'A secret that this needs was not declared, or is not in the session',
    'Name the secret when the agent is created; for a call that carries one, set it in the session that Postern-Session names.',
  ),
  'route/not_found': row(
    404,
    invalid,
    'Endpoint not found',
    'No such endpoint',
    'Check the path against the API reference.',
  ),
  'resource/not_found': row(
    404,
    invalid,
    'Resource not found',
    'No such resource',
    'Check the id; ids belong to one tenant and one environment.',
  ),
  'secret/not_found': row(
    404,
    invalid,
    'Secret not found',
    'No such secret',
    'Check the name of the secret.',
  ),
  'route/method_not_allowed': row(
    405,
    invalid,
    'Method not allowed',
    'This endpoint does not take this method',
    'Use one of the methods in the Allow header.',
  ),
  'request/timeout': row(
    408,
    invalid,
    'Request timeout',
    'The request took too long to arrive',
    'Send the whole request without pausing.',
  ),
  'idempotency/in_progress': row(
    409,
    'idempotency_error',
    'Still in progress',
    'A request with this Idempotency-Key is still running',
    'Wait for it, then send the same request again.',
  ),
  'resource/conflict': row(
    409,
    invalid,
    'Conflict',
    'The resource already exists',
    'Use another id, or update the existing one.',
  ),
  'resource/changed': row(
    412,
    invalid,
    'Changed meanwhile',
    'The resource has changed since you read it',
    'Read it again and repeat the change with its new ETag.',
  ),
  'request/too_large': row(
    413,
    invalid,
    'Body too large',
    'The request body is too large',
    'Send a smaller body.',
  ),
  'request/uri_too_long': row(
    414,
    invalid,
    'URI too long',
    'The request target is too long',
    'Keep the path under 4 KiB and the query under 8 KiB.',
  ),
  'request/unsupported_media_type': row(
    415,
    invalid,
    'Unsupported media type',
    'The body must be JSON',
    'Send Content-Type: application/json.',
  ),
  'request/expectation_failed': row(
    417,
    invalid,
    'Expectation failed',
    'Only Expect: 100-continue is understood',
    'Send no Expect header, or 100-continue.',
  ),
  'platform/unknown_host': row(
    421,
    invalid,
    'Misdirected request',
    'No API is served under this host',
    'Check the host name of the URL.',
  ),
  'idempotency/key_reused': row(
    422,
    'idempotency_error',
    'Idempotency-Key reused',
    'This Idempotency-Key was used for another request',
    'Use a new Idempotency-Key for each new request.',
  ),
  'resource/precondition_required': row(
    428,
    invalid,
    'Precondition required',
    'This change needs an If-Match header',
    'Read the resource and send its ETag in If-Match.',
  ),
  'rate_limit/exceeded': row(
    429,
    'rate_limit_error',
    'Rate limit exceeded',
    'Too many requests',
    'Wait as many seconds as Retry-After says.',
  ),
  'quota/exceeded': row(
    429,
    'rate_limit_error',
    'Quota exceeded',
    'The quota of this billing period is used up',
    'Wait for the next period, or raise the plan.',
  ),
  'auth/too_many_failures': row(
    429,
    'rate_limit_error',
    'Too many failed attempts',
    'Too many failed authentication attempts',
    'Wait as many seconds as Retry-After says, and check the key that is being sent.',
  ),
  'request/headers_too_large': row(
    431,
    invalid,
    'Headers too large',
    'The request headers are too large',
    'Send at most 100 header lines and 16 KiB of headers.',
  ),
  'internal/error': row(
    500,
    api,
    'Internal error',
    'Something went wrong on our side',
    'Quote the request id to the operator of this API.',
  ),
  'mock/no_response': row(
    501,
    api,
    'No mock response',
    'There is no mock answer for this operation',
    'Add an example or a schema to the OpenAPI document.',
  ),
  'request/transfer_coding': row(
    501,
    api,
    'Transfer coding not supported',
    'Only the chunked transfer coding is supported',
    'Send Transfer-Encoding: chunked, or a Content-Length.',
  ),
  'sandbox/unavailable': row(
    501,
    api,
    'Sandbox unavailable',
    'This gateway has no sandbox to run an agent in',
    'Tell the operator of this API; the log says what is missing.',
  ),
  'upstream/unreachable': row(
    502,
    api,
    'Upstream unreachable',
    'The service behind this API cannot be reached',
    'Try again; if it goes on, tell the operator of this API.',
  ),
  'upstream/bad_response': row(
    502,
    api,
    'Bad upstream response',
    'The service behind this API sent an invalid answer',
    'Try again; if it goes on, tell the operator of this API.',
  ),
  'upstream/blocked_address': row(
    502,
    api,
    'Upstream address blocked',
    'The service behind this API is at a forbidden address',
    'Tell the operator of this API.',
  ),
  'auth/unavailable': row(
    503,
    api,
    'Cannot verify keys now',
    'API keys cannot be verified right now',
    'The key may be fine. Try again after as many seconds as Retry-After says.',
  ),
  'limits/unavailable': row(
    503,
    api,
    'Cannot count now',
    'Limits cannot be counted right now',
    'Try again after as many seconds as Retry-After says.',
  ),
  'storage/unavailable': row(
    503,
    api,
    'Storage unavailable',
    'The storage behind this API is unavailable',
    'Try again after as many seconds as Retry-After says.',
  ),
  'gateway/overloaded': row(
    503,
    api,
    'Overloaded',
    'The gateway is overloaded',
    'Try again after as many seconds as Retry-After says.',
  ),
  'gateway/misconfigured': row(
    503,
    api,
    'Misconfigured',
    'The gateway is not set up completely',
    'Tell the operator of this API; the log names what is missing.',
  ),
  'upstream/timeout': row(
    504,
    api,
    'Upstream timeout',
    'The service behind this API did not answer in time',
    'Try again; if it goes on, tell the operator of this API.',
  ),
} satisfies Record<string, ProblemRow>

export type ProblemCode = keyof typeof problems

/** One field that is wrong, where it stands, and what to send instead. */
export type FieldError = {
  readonly location: string
  readonly code: string
  readonly message: string
  readonly fix?: string
}

/** What a room says when it refuses. A value: being refused is what the room was built to produce. */
export type Refusal = {
  readonly code: ProblemCode
  /** For the caller. Without it, the table's. */
  readonly detail?: string
  /** For the log. Never on the wire, never a secret. */
  readonly cause?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly param?: string
  readonly errors?: readonly FieldError[]
}

/** A refusal on its way out. Thrown by handlers and steps; `cause` is for the log. */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly refusal: Refusal

  constructor(code: ProblemCode, more: Omit<Refusal, 'code'> = {}) {
    // Being refused is no fault of the code, and a stack costs more than the rest of a refusal.
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    super(code, more.cause === undefined ? undefined : { cause: more.cause })
    Error.stackTraceLimit = stackTraceLimit
    this.refusal = { code, ...more }
  }

  /** Wraps a refusal that a room returned. */
  static of(refusal: Refusal): Problem {
    const { code, ...more } = refusal
    return new Problem(code, more)
  }
}

/** What the body says of the request it answers. */
export type ProblemContext = {
  readonly requestId: string
  /** Canonical path, or null when there is none to show. */
  readonly instance: string | null
  readonly vocabulary: Vocabulary
  /** Absolute URL of the folder of the error pages: `doc_url` is this, a slash, and the code. */
  readonly docsBase: string
  /** The pages are the gateway's own, so `type` can be the relative reference to them. */
  readonly ownDocs: boolean
}

/** A finished refusal: what any runtime can send. */
export type ProblemAnswer = {
  readonly status: number
  readonly code: ProblemCode
  readonly headers: Record<string, string>
  readonly body: string
}

/** The words of a platform's source for a code, where they differ from ours. */
function wordsFor(code: ProblemCode, vocabulary: Vocabulary): { top: string; inner: string } {
  if (problems[code].status !== 401) return { top: code, inner: code }
  if (vocabulary === 'azotte') return { top: code, inner: 'authentication_failed' }
  // The Theazo source promises auth/invalid_key for a missing key too, and names only one exception.
  if (vocabulary === 'theazo' && code !== 'auth/key_revoked') {
    return { top: 'auth/invalid_key', inner: 'auth/invalid_key' }
  }
  return { top: code, inner: code }
}

/**
 * Renders a refusal as status, headers and body. `WWW-Authenticate` (RFC 6750 section 3) goes with
 * every 401 and `Proxy-Status` (RFC 9209) with every 5xx made here; a 5xx carries no detail of its own.
 */
export function renderProblem(refusal: Refusal, context: ProblemContext): ProblemAnswer {
  const { code } = refusal
  const { status, type, title, message, detail } = problems[code]
  const words = wordsFor(code, context.vocabulary)
  const headers: Record<string, string> = {
    'content-type': 'application/problem+json',
    'cache-control': 'no-store',
    ...refusal.headers,
  }
  if (status === 401) headers['www-authenticate'] ??= challenge(code)
  if (status >= 500)
    headers['proxy-status'] ??= `postern; error=${proxyErrors[code] ?? 'proxy_internal_error'}`
  if (status === 503) headers['retry-after'] ??= '1'
  const body = JSON.stringify({
    type: `${context.ownDocs ? '/docs/errors' : context.docsBase}/${words.top}`,
    title,
    status,
    detail: status < 500 ? (refusal.detail ?? detail) : detail,
    instance: context.instance,
    code: words.top,
    requestId: context.requestId,
    success: false,
    message,
    error: {
      type,
      code: words.inner,
      message,
      param: refusal.param ?? null,
      doc_url: `${context.docsBase}/${words.top}`,
      request_id: context.requestId,
    },
    errors: refusal.errors ?? [],
  })
  return { status, code, headers, body }
}

/** RFC 6750 section 3.1: no error attribute when no credential was sent. */
function challenge(code: ProblemCode): string {
  if (code === 'auth/missing_key') return 'Bearer realm="postern"'
  const error = code === 'auth/malformed_key' ? 'invalid_request' : 'invalid_token'
  return `Bearer realm="postern", error="${error}"`
}

/** RFC 9209 section 2.3, where a code says more than that the gateway itself is in trouble. */
const proxyErrors: Readonly<Partial<Record<ProblemCode, string>>> = {
  'request/transfer_coding': 'http_request_error',
  'upstream/unreachable': 'destination_unavailable',
  'upstream/bad_response': 'http_protocol_error',
  'upstream/blocked_address': 'destination_ip_prohibited',
  'upstream/timeout': 'http_response_timeout',
}
