/** `postern mock drift`, against a gateway that fits its document and a service that does not. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Sources, startSources } from '../sources-gate.ts'
import { type HttpUpstream, startHttpUpstream } from '../upstream.ts'
import { postern } from './terminal.ts'

let sources: Sources
beforeAll(async () => {
  sources = await startSources()
})
afterAll(async () => {
  await sources?.stop()
})

const drift = (url: string, key: string, ...args: string[]) =>
  postern(['mock', 'drift', 'theazo-openapi.yaml', '--url', url, ...args], {
    cwd: sources.place.folder,
    env: { POSTERN_API_KEY: key },
  })

test.each(['TH_LIVE', 'TH_TEST'])(
  'the gateway fits the document of Theazo, with %s',
  async (name) => {
    const key = sources.keyOf('theazo', name)
    const url = sources.urlOf('theazo')
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
    const made = await fetch(`${url}/v1/sessions`, {
      method: 'POST',
      headers,
      body: '{"userId":"u"}',
    })
    expect(made.status).toBe(201)
    const { code, out, err } = await drift(url, key, '-o', 'json')
    const found: { operation: string; result: string; path: string }[] = JSON.parse(out)
    const of = (result: string) => found.filter((one) => one.result === result)
    expect([of('drifts'), of('failed')]).toEqual([[], []])
    expect(of('fits').map(({ operation }) => operation)).toEqual(
      expect.arrayContaining(['listSessions', 'getSession', 'listSecrets', 'listAgents']),
    )
    expect(found.find(({ operation }) => operation === 'getSession')?.path).toMatch(/ses_/)
    expect([code, err]).toEqual([0, expect.stringContaining('fit the document')])
  },
)

describe('a service that has moved on', () => {
  let service: HttpUpstream
  const asked: string[] = []
  beforeAll(async () => {
    service = await startHttpUpstream((request, answer) => {
      asked.push(`${request.method} ${request.url} ${request.headers.authorization}`)
      const bodies: Record<string, unknown> = {
        '/v1/sessions': { sessions: [{ id: 'ses_1', userId: 7, note: 'canary-value' }], total: 1 },
        '/v1/sessions/ses_1': { id: 'ses_1' },
        '/v1/subscriptions': '',
      }
      const body = bodies[request.url ?? '']
      answer.statusCode = body === undefined ? 418 : body === '' ? 401 : 200
      answer.setHeader('content-type', 'application/json')
      answer.end(JSON.stringify(body ?? {}))
    })
  })
  afterAll(() => service.stop())

  test('is told where, by field and without a value', async () => {
    const { code, out, err } = await drift(service.url, 'sk-drift-key')
    expect(code).toBe(1)
    expect(out).toMatch(/listSessions +200 +drifts +body\.sessions\[0\]\.status is required/)
    expect(out).toMatch(/listSecrets +418 +drifts +status 418 is not in the document/)
    expect(out).toMatch(/listSubscriptions +401 +failed/)
    expect(out).toMatch(/getSubscription +- +skipped +path\.id has no value/)
    expect(out + err).not.toMatch(/canary-value|sk-drift-key/)
    expect(err).toMatch(/\d of \d+ drift, 1 failed/)
    expect(asked.every((line) => /^GET .* Bearer sk-drift-key$/.test(line))).toBe(true)
  })

  test('parameters can be given, and nobody is asked who was not named', async () => {
    asked.length = 0
    await drift(service.url, 'k', '--param', 'sid=ses/7', '--param', 'id=sub_1')
    expect(asked.join('\n')).toContain('/v1/sessions/ses%2F7')
    expect(asked.join('\n')).toContain('/v1/subscriptions/sub_1')
    const nowhere = await postern(['mock', 'drift', 'theazo-openapi.yaml'], {
      cwd: sources.place.folder,
    })
    expect([nowhere.code, nowhere.err]).toEqual([2, expect.stringContaining('--url')])
    const bad = await drift(service.url, 'k', '--param', 'sid')
    expect([bad.code, bad.err]).toEqual([2, expect.stringContaining('must be like')])
    const gone = await drift('http://127.0.0.1:1', 'k', '-o', 'json')
    expect([gone.code, gone.out]).toEqual([1, expect.stringContaining('no answer')])
  })
})

test('a document that is not there is a sentence', async () => {
  const { code, err } = await postern(['mock', 'drift', 'none.yaml', '--url', 'http://127.0.0.1:1'])
  expect([code, err]).toEqual([1, expect.stringContaining('none.yaml is not there')])
})
