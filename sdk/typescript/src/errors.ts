/**
 * What went wrong, as something to branch on: a class for each family of statuses, and in `code` the
 * API's own word for it. No error holds a request header or a key.
 */

/** One field that was refused: where it stands, what is wrong, and what was probably meant. */
export type FieldError = {
  readonly location: string
  readonly code: string
  readonly message: string
  readonly fix?: string
}

type Facts = {
  readonly code: string
  readonly status: number | null
  readonly requestId: string | null
  readonly docUrl: string | null
  readonly errors: readonly FieldError[]
  readonly retryAfterMs: number | null
}

/** Every error of this client. Its message says what is wrong, in words for people. */
export class PosternError extends Error {
  // Said in each class, because a minifier renames classes.
  override readonly name: string = 'PosternError'
  /** The API's name for it, e.g. `auth/invalid_key`; `connection/…` and `response/…` are our own. */
  readonly code: string
  /** The status of the answer; null where there was none. */
  readonly status: number | null
  /** Names the request in the gateway's log; null where there was no answer. */
  readonly requestId: string | null
  /** A page about this code: cause, and fix. */
  readonly docUrl: string | null
  /** Every field that was refused. */
  readonly errors: readonly FieldError[]
  /** How long the server asked to wait. */
  readonly retryAfterMs: number | null

  constructor(message: string, facts: Facts, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = facts.code
    this.status = facts.status
    this.requestId = facts.requestId
    this.docUrl = facts.docUrl
    this.errors = facts.errors
    this.retryAfterMs = facts.retryAfterMs
  }
}

/** The request cannot be carried out as it was sent (400, 413, 415, 422, 428 and their like). */
export class InvalidRequestError extends PosternError {
  override readonly name: string = 'InvalidRequestError'
}
/** No good key was shown (401). */
export class AuthenticationError extends PosternError {
  override readonly name: string = 'AuthenticationError'
}
/** The key may not do this (403). */
export class PermissionError extends PosternError {
  override readonly name: string = 'PermissionError'
}
/** There is no such thing, as far as this key reaches (404). */
export class NotFoundError extends PosternError {
  override readonly name: string = 'NotFoundError'
}
/** It is another's turn, or it was changed in the meantime (409, 412). */
export class ConflictError extends PosternError {
  override readonly name: string = 'ConflictError'
}
/** Too much, too fast (429). `retryAfterMs` says when it may go on. */
export class RateLimitError extends PosternError {
  override readonly name: string = 'RateLimitError'
}
/** The server could not do it (5xx), or answered what it should not. */
export class ServerError extends PosternError {
  override readonly name: string = 'ServerError'
}
/** There was no answer: `connection/failed`, or `connection/timeout`. */
export class ConnectionError extends PosternError {
  override readonly name: string = 'ConnectionError'
}

/** No answer came, or it broke off. */
export function connectionError(
  code: 'failed' | 'timeout',
  message: string,
  cause?: unknown,
): ConnectionError {
  const facts = { status: null, requestId: null, docUrl: null, errors: [], retryAfterMs: null }
  return new ConnectionError(message, { ...facts, code: `connection/${code}` }, cause)
}

/** A success that cannot be read. */
export function unreadable({ status, headers }: Response, cause?: unknown): ServerError {
  const facts = { status, requestId: requestIdOf(headers), docUrl: null, errors: [] }
  const message = 'The server answered something that is not of this API; is baseUrl right?'
  return new ServerError(
    message,
    { ...facts, code: 'response/malformed', retryAfterMs: null },
    cause,
  )
}

/** The error that an answer is. `text`: its body, which need not be Postern's. */
export function errorOf(
  { status, headers }: Response,
  text: string,
  retryAfterMs: number | null,
): PosternError {
  const body = parsed(text)
  const code = wordIn(body, 'code')
  const Family = familyOf(status)
  if (code === null) {
    const facts = {
      status,
      requestId: requestIdOf(headers),
      docUrl: null,
      errors: [],
      retryAfterMs,
    }
    const message = `The server answered ${status}, and not in the words of this API.`
    return new Family(message, { ...facts, code: `http/${status}` })
  }
  const errors = fieldErrorsIn(body)
  const detail = wordIn(body, 'detail') ?? wordIn(body, 'title') ?? code
  const requestId = wordIn(body, 'requestId') ?? requestIdOf(headers)
  const docUrl = wordIn(isRecord(body) ? body.error : null, 'doc_url')
  const message = [detail, ...errors.slice(0, 5).map(sentenceOf)].join(' ')
  return new Family(message, { code, status, requestId, docUrl, errors, retryAfterMs })
}

/** `body.name is required: …` */
export const sentenceOf = ({ location, message, fix }: FieldError): string =>
  `${location} ${message}${fix === undefined ? '' : ` (${fix})`}.`

function familyOf(status: number): new (message: string, facts: Facts) => PosternError {
  if (status === 401) return AuthenticationError
  if (status === 403) return PermissionError
  if (status === 404) return NotFoundError
  if (status === 409 || status === 412) return ConflictError
  if (status === 429) return RateLimitError
  return status >= 400 && status < 500 ? InvalidRequestError : ServerError
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

const requestIdOf = (headers: Headers): string | null => headers.get('x-request-id')

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null

function wordIn(value: unknown, field: string): string | null {
  const held = isRecord(value) ? value[field] : null
  return typeof held === 'string' ? held : null
}

function fieldErrorsIn(body: unknown): FieldError[] {
  const listed = isRecord(body) && Array.isArray(body.errors) ? body.errors : []
  return listed.filter(isRecord).map((one) => {
    const fix = wordIn(one, 'fix')
    return {
      location: wordIn(one, 'location') ?? '',
      code: wordIn(one, 'code') ?? 'invalid',
      message: wordIn(one, 'message') ?? '',
      ...(fix !== null && { fix }),
    }
  })
}
