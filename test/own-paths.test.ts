import { describe, expect, test } from 'vitest'
import type { Health } from '../src/context.ts'
import { isKeySet, isManagementPath, ownPath } from '../src/own-paths.ts'
import { Problem } from '../src/problem.ts'

const health = (status: Health['status']) => async (): Promise<Health> => ({
  status,
  parts: { database: { ok: status !== 'unavailable', detail: 'as told' } },
})

const ask = (target: string, method = 'GET', status: Health['status'] = 'ready') =>
  ownPath({ method, target, requestHeaders: new Headers() }, health(status))

function codeOf(target: string, method?: string): string {
  try {
    void ask(target, method)
  } catch (error) {
    if (error instanceof Problem) return error.refusal.code
  }
  return ''
}

describe('what is not an own path', () => {
  test.each([
    ...['/', '/v1/livez', '/livezz', '/livez-x', '/Livez', '/%6civez', '//livez'],
    ...['/docsx', '/.well-knownx', '/readyz;x', '', '?/livez', 'http://x/livez'],
  ])('%j is left to the platforms', (target) => {
    expect(ask(target)).toBeNull()
  })
})

describe('what is one', () => {
  test.each(['/livez', '/livez?x=1', '/docs', '/docs/errors', '/docs/errors/auth/missing_key'])(
    '%s is answered, to GET and HEAD',
    async (target) => {
      for (const method of ['GET', 'HEAD']) expect((await ask(target, method))?.status).toBe(200)
    },
  )

  test.each(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])('not to %s', (method) => {
    for (const target of ['/livez', '/readyz', '/docs']) {
      expect(codeOf(target, method)).toBe('route/method_not_allowed')
    }
  })

  test.each([
    '/livez/',
    '/readyz/x',
    '/docs/errors/auth/nothing',
    '/docs/../etc',
    '/.well-known/x',
  ])('%s below one is a 404 of the gateway: no route may take it', (target) => {
    expect(codeOf(target)).toBe('route/not_found')
  })

  test('the key set is left to the platform, but neither what is beside it nor another method', () => {
    for (const target of ['/.well-known/jwks.json', '/.well-known/jwks.json?x=1']) {
      expect([ask(target), isKeySet(target)]).toEqual([null, true])
      expect(codeOf(target, 'POST')).toBe('route/method_not_allowed')
    }
    for (const target of ['/.well-known/jwks.jsonx', '/.well-known/jwks.json/', '/jwks.json']) {
      expect(isKeySet(target)).toBe(false)
    }
    expect(codeOf('/.well-known/jwks.json/')).toBe('route/not_found')
  })

  test('readiness is not kept, and says what is missing', async () => {
    const degraded = await ask('/readyz', 'GET', 'degraded')
    expect(degraded?.headers.get('cache-control')).toBe('no-store')
    expect(await degraded?.json()).toEqual(await health('degraded')())
  })

  const statuses: readonly [Health['status'], number][] = [
    ['ready', 200],
    ['degraded', 200],
    ['unavailable', 503],
    ['draining', 503],
  ]
  test.each(statuses)('%s is a %d; alive it is in any case', async (status, expected) => {
    expect((await ask('/readyz', 'GET', status))?.status).toBe(expected)
    expect((await ask('/livez', 'GET', status))?.status).toBe(200)
  })
})

describe('the management API', () => {
  test.each([
    ['/v1/api-keys', true],
    ['/v1/api-keys/', true],
    ['/v1/api-keys/key_1/rotate', true],
    ['/v1/openapi.json', true],
    ['/v1/docs/start.js', true],
    ['/v1/api-keysx', false],
    ['/v1/api-key', false],
    ['/v1/subscriptions', false],
    ['/v1', false],
    ['/v1/', false],
    ['/v1x/api-keys', false],
    ['/api-keys', false],
    ['/v1/:id', false],
    ['/v1/**', false],
    ['/x/v1/api-keys', false],
  ])('%s: %s', (path, expected) => {
    expect(isManagementPath(path, '/v1')).toBe(expected)
  })
})
