import { parseList, Token } from 'structured-headers'
import { describe, expect, it } from 'vitest'
import type { Vocabulary } from '../src/context.ts'
import {
  Problem,
  type ProblemCode,
  type ProblemContext,
  problems,
  type Refusal,
  renderProblem,
} from '../src/problem.ts'

// Object.keys forgets that these are codes.
const codes = Object.keys(problems) as ProblemCode[]
const vocabularies: readonly Vocabulary[] = ['slash', 'azotte', 'theazo']
const canary = 'CANARY_9f2c'

const context = (more: Partial<ProblemContext> = {}): ProblemContext => ({
  requestId: 'req_1',
  instance: '/v1/sessions',
  vocabulary: 'slash',
  docsBase: 'https://api.example.com/docs/errors',
  ownDocs: true,
  ...more,
})

const render = (refusal: Refusal, more: Partial<ProblemContext> = {}) => {
  const answer = renderProblem(refusal, context(more))
  return { ...answer, json: JSON.parse(answer.body) }
}

/** Codes are API: this literal is what clients rely on. A code may be added, never moved or renamed. */
const published: Record<number, string> = {
  400: 'auth/ambiguous_credentials auth/key_in_url request/duplicate_header request/invalid request/invalid_path request/malformed tenant/malformed tenant/missing',
  401: 'auth/invalid_key auth/key_disabled auth/key_expired auth/key_revoked auth/malformed_key auth/missing_key',
  403: 'auth/class_not_allowed auth/endpoint_not_allowed auth/insufficient_permission auth/ip_not_allowed auth/origin_not_allowed auth/secret_key_in_browser auth/wrong_environment request/https_required secret/not_declared tenant/mismatch tenant/suspended',
  404: 'resource/not_found route/not_found secret/not_found',
  405: 'route/method_not_allowed',
  408: 'request/timeout',
  409: 'idempotency/in_progress resource/conflict',
  412: 'resource/changed',
  413: 'request/too_large',
  414: 'request/uri_too_long',
  415: 'request/unsupported_media_type',
  417: 'request/expectation_failed',
  421: 'platform/unknown_host',
  422: 'idempotency/key_reused',
  428: 'resource/precondition_required',
  429: 'auth/too_many_failures quota/exceeded rate_limit/exceeded',
  431: 'request/headers_too_large',
  500: 'internal/error',
  501: 'mock/no_response request/transfer_coding sandbox/unavailable',
  502: 'upstream/bad_response upstream/blocked_address upstream/unreachable',
  503: 'auth/unavailable gateway/misconfigured gateway/overloaded limits/unavailable storage/unavailable',
  504: 'upstream/timeout',
}

describe('the table', () => {
  it('holds exactly the published codes, each with its published status', () => {
    const found: Record<number, string[]> = {}
    for (const code of codes) {
      const { status } = problems[code]
      found[status] = [...(found[status] ?? []), code].sort()
    }
    const joined = Object.entries(found).map(([status, list]) => [status, list.join(' ')])
    expect(Object.fromEntries(joined)).toEqual(published)
  })

  it.each(codes)('%s says what happened and what to do, and names no engine', (code) => {
    const { title, message, detail } = problems[code]
    expect(title).toMatch(/^[A-Z][^.]{3,40}$/)
    expect(message).toMatch(/^[A-Z].*[^.]$/)
    expect(detail).toMatch(/^[A-Z].*\.$/)
    expect(`${title} ${message} ${detail}`).not.toMatch(/postgres|redis|sql\b|drizzle|pglite/i)
  })

  it.each(codes)('%s has the error type that client SDKs map its status to', (code) => {
    const { status, type } = problems[code]
    const byStatus: Record<number, string> = {
      401: 'authentication_error',
      403: 'permission_error',
      422: 'idempotency_error',
      429: 'rate_limit_error',
    }
    const expected =
      code === 'idempotency/in_progress'
        ? 'idempotency_error'
        : status >= 500
          ? 'api_error'
          : (byStatus[status] ?? 'invalid_request_error')
    expect(type).toBe(expected)
  })
})

describe('the body', () => {
  it('slash: is this literal, member for member', () => {
    const answer = renderProblem({ code: 'auth/invalid_key' }, context())
    expect(answer.body).toBe(
      '{"type":"/docs/errors/auth/invalid_key","title":"Invalid API key","status":401,' +
        '"detail":"No active key matches. Check for typos and for a test/live mix-up.",' +
        '"instance":"/v1/sessions","code":"auth/invalid_key","requestId":"req_1","success":false,' +
        '"message":"Invalid API key provided","error":{"type":"authentication_error",' +
        '"code":"auth/invalid_key","message":"Invalid API key provided","param":null,' +
        '"doc_url":"https://api.example.com/docs/errors/auth/invalid_key","request_id":"req_1"},' +
        '"errors":[]}',
    )
  })

  it('azotte: is this literal; the inner code is its own and the top-level code is ours', () => {
    const answer = renderProblem({ code: 'auth/key_revoked' }, context({ vocabulary: 'azotte' }))
    expect(answer.body).toBe(
      '{"type":"/docs/errors/auth/key_revoked","title":"API key revoked","status":401,' +
        '"detail":"Use another key; a revoked key never works again.",' +
        '"instance":"/v1/sessions","code":"auth/key_revoked","requestId":"req_1","success":false,' +
        '"message":"This API key has been revoked","error":{"type":"authentication_error",' +
        '"code":"authentication_failed","message":"This API key has been revoked","param":null,' +
        '"doc_url":"https://api.example.com/docs/errors/auth/key_revoked","request_id":"req_1"},' +
        '"errors":[]}',
    )
  })

  it('theazo: is this literal; a missing key is auth/invalid_key in both places', () => {
    const answer = renderProblem({ code: 'auth/missing_key' }, context({ vocabulary: 'theazo' }))
    expect(answer.body).toBe(
      '{"type":"/docs/errors/auth/invalid_key","title":"API key missing","status":401,' +
        '"detail":"Send your API key in x-api-key or in Authorization: Bearer.",' +
        '"instance":"/v1/sessions","code":"auth/invalid_key","requestId":"req_1","success":false,' +
        '"message":"No API key provided","error":{"type":"authentication_error",' +
        '"code":"auth/invalid_key","message":"No API key provided","param":null,' +
        '"doc_url":"https://api.example.com/docs/errors/auth/invalid_key","request_id":"req_1"},' +
        '"errors":[]}',
    )
  })

  it.each(codes)('%s: speaks each vocabulary in its words, and only where they differ', (code) => {
    const is401 = problems[code].status === 401
    const theazo = is401 && code !== 'auth/key_revoked' ? 'auth/invalid_key' : code
    const words = vocabularies.map((vocabulary) => {
      const { json } = render({ code }, { vocabulary })
      return [json.code, json.error.code]
    })
    expect(words).toEqual([
      [code, code],
      [code, is401 ? 'authentication_failed' : code],
      [theazo, theazo],
    ])
  })

  it.each(vocabularies)(
    '%s: type and doc_url lead to the page of the code it shows',
    (vocabulary) => {
      for (const code of codes) {
        const { json } = render({ code }, { vocabulary })
        expect(json.type).toBe(`/docs/errors/${json.code}`)
        expect(json.error.doc_url).toBe(`https://api.example.com/docs/errors/${json.code}`)
        expect(codes).toContain(json.code)
      }
    },
  )

  it('type is absolute where the pages live elsewhere', () => {
    const elsewhere = { docsBase: 'https://docs.example.com/e', ownDocs: false }
    const { json } = render({ code: 'tenant/missing' }, elsewhere)
    expect(json.type).toBe('https://docs.example.com/e/tenant/missing')
    expect(json.error.doc_url).toBe(json.type)
  })

  it.each(codes)('%s: status, code and request id agree in every place they stand', (code) => {
    const { status, json, ...answer } = render({ code })
    expect(status).toBe(problems[code].status)
    expect(json.status).toBe(status)
    expect(answer.code).toBe(code)
    expect([json.requestId, json.error.request_id]).toEqual(['req_1', 'req_1'])
    expect(json.success).toBe(false)
    expect(json.message).toBe(json.error.message)
  })

  it('carries the detail, the param and the field errors of the refusal', () => {
    const errors = [
      { location: 'body.plan', code: 'too_small', message: 'is empty', fix: 'fill it' },
    ]
    const { json } = render({
      code: 'request/invalid',
      detail: 'One field.',
      param: 'plan',
      errors,
    })
    expect(json.detail).toBe('One field.')
    expect(json.error.param).toBe('plan')
    expect(json.errors).toEqual(errors)
  })
})

describe('what never leaves', () => {
  it.each(codes)('F9: %s: the cause is in no header and nowhere in the body', (code) => {
    for (const vocabulary of vocabularies) {
      const answer = renderProblem({ code, cause: canary }, context({ vocabulary }))
      expect(JSON.stringify(answer)).not.toContain(canary)
    }
  })

  it.each(codes.filter((code) => problems[code].status >= 500))(
    'F9: %s: a 5xx shows the words of the table, whatever detail it was given',
    (code) => {
      const answer = renderProblem({ code, detail: canary }, context())
      expect(JSON.stringify(answer)).not.toContain(canary)
    },
  )

  it('F9: a thrown Problem keeps its cause for the log, and its message holds only the code', () => {
    const problem = Problem.of({ code: 'storage/unavailable', cause: canary })
    expect(problem.cause).toBe(canary)
    expect(problem.message).toBe('storage/unavailable')
    expect(problem.refusal).toEqual({ code: 'storage/unavailable', cause: canary })
  })
})

describe('hostile text', () => {
  it.each(['\ud800', 'a\udfffb', '\0', '\u2028', '"}', '</script>', '__proto__'])(
    'K14: %j in detail, param and instance stays inside its JSON string',
    (text) => {
      const refusal: Refusal = { code: 'request/invalid', detail: text, param: text }
      const answer = renderProblem(refusal, context({ instance: text }))
      const bytes = new TextEncoder().encode(answer.body)
      expect(new TextDecoder('utf-8', { fatal: true }).decode(bytes)).toBe(answer.body)
      const json = JSON.parse(answer.body)
      expect([json.detail, json.error.param, json.instance]).toEqual([text, text, text])
      expect(Object.keys(json)).toHaveLength(11)
    },
  )

  it('a path that never became canonical is null, not an empty string', () => {
    expect(render({ code: 'request/invalid_path' }, { instance: null }).json.instance).toBeNull()
  })
})

describe('the headers', () => {
  it.each(codes)('%s: is problem+json and is not to be stored', (code) => {
    const { headers } = render({ code })
    expect(headers['content-type']).toBe('application/problem+json')
    expect(headers['cache-control']).toBe('no-store')
  })

  it.each(codes)('%s: WWW-Authenticate stands on a 401 and nowhere else (RFC 6750)', (code) => {
    const challenge = render({ code }).headers['www-authenticate']
    if (problems[code].status !== 401) return expect(challenge).toBeUndefined()
    const parameters = /^Bearer realm="([^"\\]+)"(?:, error="([a-z_]+)")?$/.exec(challenge ?? '')
    expect(parameters?.[1]).toBe('postern')
    // Section 3.1: a request without credentials is not told of an error.
    const expected =
      code === 'auth/missing_key'
        ? undefined
        : code === 'auth/malformed_key'
          ? 'invalid_request'
          : 'invalid_token'
    expect(parameters?.[2]).toBe(expected)
  })

  it('the challenge names what was wrong in every vocabulary alike', () => {
    for (const vocabulary of vocabularies) {
      const { headers } = render({ code: 'auth/missing_key' }, { vocabulary })
      expect(headers['www-authenticate']).toBe('Bearer realm="postern"')
    }
  })

  it.each(codes)('%s: Proxy-Status stands on a 5xx and nowhere else (RFC 9209)', (code) => {
    const field = render({ code }).headers['proxy-status']
    if (problems[code].status < 500) return expect(field).toBeUndefined()
    const members = parseList(field ?? '')
    expect(members).toHaveLength(1)
    const [name, parameters] = members[0] ?? []
    expect(name).toEqual(new Token('postern'))
    expect([...(parameters?.keys() ?? [])]).toEqual(['error'])
    expect(parameters?.get('error')).toEqual(new Token(proxyErrors[code] ?? 'proxy_internal_error'))
  })

  it.each(codes)('%s: a 503, and no other refusal by itself, says when to come back', (code) => {
    const expected = problems[code].status === 503 ? '1' : undefined
    expect(render({ code }).headers['retry-after']).toBe(expected)
  })

  it('what a room has set wins over the default', () => {
    const own = {
      'retry-after': '30',
      'proxy-status': 'postern; error=dns_error',
    }
    const { headers } = render({ code: 'auth/unavailable', headers: own })
    expect(headers).toMatchObject(own)
    const asks = { 'www-authenticate': 'Bearer realm="other"' }
    expect(render({ code: 'auth/invalid_key', headers: asks }).headers).toMatchObject(asks)
  })

  it('the headers of a refusal are copied: the refusal can be a shared constant', () => {
    const shared = Object.freeze({ allow: 'GET' })
    const { headers } = render({ code: 'route/method_not_allowed', headers: shared })
    expect(headers).not.toBe(shared)
    expect(headers.allow).toBe('GET')
  })
})

/** RFC 9209 section 2.3; everything else made here is the gateway's own trouble. */
const proxyErrors: Partial<Record<ProblemCode, string>> = {
  'request/transfer_coding': 'http_request_error',
  'upstream/unreachable': 'destination_unavailable',
  'upstream/bad_response': 'http_protocol_error',
  'upstream/blocked_address': 'destination_ip_prohibited',
  'upstream/timeout': 'http_response_timeout',
}
