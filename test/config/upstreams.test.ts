import { METHODS } from 'node:http'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createRouter } from '../../src/routing.ts'
import { accepted, read, refused } from './parse.ts'

type Environment = Readonly<Record<string, string>>

const routes = 'routes: [{ path: /git/**, upstream: git }]'
const git = 'upstreams: [{ name: git, url: "https://git.example.com" }]'

/** The smallest platform with these lines in it; one that lacks routes or upstreams gets the usual. */
function file(...lines: readonly string[]): string {
  const given = (field: string) => lines.some((line) => line.startsWith(`${field}:`))
  const all = [...lines, ...(given('upstreams') ? [] : [git]), ...(given('routes') ? [] : [routes])]
  return `version: 1\nplatforms:\n  - id: plt_a\n    slug: a\n    ${all.join('\n    ')}\n`
}

const upstream = (fields: string) => file(`upstreams: [{ name: git, ${fields} }]`)
const withUrl = (fields: string) => upstream(`url: "https://git.example.com", ${fields}`)
const route = (fields: string, ...lines: readonly string[]) =>
  file(...lines, `routes: [{ path: /git/**, upstream: git, ${fields} }]`)

const platformOf = (text: string, env: Environment = {}) => accepted(text, env).platforms[0]!
const upstreamOf = (text: string, env: Environment = {}) => platformOf(text, env).upstreams[0]!
const routeOf = (text: string) => platformOf(text).routes[0]!
const said = (text: string, env: Environment = {}) => refused(text, env).join('\n')

const pem = (label: string) => `-----BEGIN ${label}-----\nMIIBCanary\n-----END ${label}-----\n`
const pems = { CERT: pem('CERTIFICATE'), KEY: pem('PRIVATE KEY'), EC: pem('EC PRIVATE KEY') }

describe('G10: an upstream that is only half right is refused', () => {
  test.each([
    ['no name', file('upstreams: [{ url: "https://a.example" }]'), 'name: is required'],
    ['a name in upper case', file('upstreams: [{ name: Git, builtin: echo }]'), 'must be 1 to 32'],
    ['no target', upstream('retries: 1'), 'upstreams[0]: must have url, targets or builtin'],
    ['two kinds of target', withUrl('builtin: echo'), 'must have only one of url, targets or'],
    ['no targets', upstream('targets: []'), 'must name at least one target'],
    ['a target of its own name', upstream('targets: ["https://a.example"]'), 'section of fields'],
    ['another builtin', upstream('builtin: mirror'), 'must be echo, the only one there is'],
    ['a weight of 0', upstream('targets: [{ url: "https://a.example", weight: 0 }]'), 'from 1 to'],
    ['no family', withUrl('allow: ["0.0.0.0/0"]'), 'would allow every address there is'],
    ['no family', withUrl('allow: ["::/0"]'), 'would allow every address there is'],
    ['an address', withUrl('allow: [10.0.0.1]'), 'one address is /32'],
    ['host bits', withUrl('allow: [10.0.0.1/8]'), 'has bits set past its prefix length'],
    ['a host name', withUrl('allow: [localhost]'), 'must be a range of addresses'],
    ['S1: metadata', withUrl('allow: [169.254.0.0/16]'), 'allow[0]: is link-local, and of cloud'],
    ['S2: a tunnel', withUrl('allow: ["2002::/16"]'), 'allow[0]: is a tunnel to another address'],
    ['a space', withUrl('audience: "a b"'), 'must be 1 to 255 characters without a space'],
    ['a wildcard host', withUrl('host: "*.example.com"'), 'wildcards are not matched'],
    ['a host in upper case', withUrl('host: Git.internal'), 'in lower case'],
    ['a host that is a URL', withUrl('host: "http://git"'), 'host: must be'],
    ['a header more', withUrl('host: "git\\r\\nx-tn: t"'), 'host: must be'],
    ['a bare number', withUrl('timeouts: { connect: 5 }'), 'must be a duration'],
    ['no time', withUrl('timeouts: { headers: 0s }'), 'must be a duration from 1ms'],
    ['a misspelt time', withUrl('timeouts: { header: 1s }'), 'did you mean "headers"?'],
    ['L12: no connections', withUrl('connections: 0'), 'whole number from 1 to 10000'],
    ['L12: many connections', withUrl('connections: 10001'), 'whole number from 1 to 10000'],
    ['L12: half a queue', withUrl('queue: 0.5'), 'whole number from 0 to 100000'],
    ['L12: endless tries', withUrl('retries: .inf'), 'whole number from 0 to 3'],
    ['L12: four tries', withUrl('retries: 4'), 'whole number from 0 to 3'],
    ['L12: no failures', withUrl('breaker: { failures: 0 }'), 'whole number from 1'],
    ['no path', withUrl('health: { interval: 1s }'), 'health.path: is required'],
    ['S5: an authority', withUrl('health: { path: "@evil" }'), 'health.path: must be a path'],
    ['S5: an authority', withUrl('health: { path: "//evil" }'), 'health.path: must be a path'],
    ['S5: an authority', withUrl('health: { path: "\\\\evil" }'), 'health.path: must be a path'],
    ['S5: an authority', withUrl('health: { path: ":80@evil" }'), 'health.path: must be a path'],
    ['a dot segment', withUrl('health: { path: /../x }'), 'health.path: must be a path'],
    ['an escaped letter', withUrl('health: { path: /%61 }'), 'in canonical form: /a'],
    ['tls and no https', upstream('url: "http://a.example", tls: {}'), 'is for https targets, and'],
    ['a yes', withUrl('keepAuthorization: yes'), 'must be true or false'],
    ['its key elsewhere', withUrl('keepAuthorization: true'), 'come in x-api-key alone'],
    ['a builtin that is allowed', upstream('builtin: echo, allow: [10.0.0.0/8]'), 'of a builtin'],
    ['a builtin with TLS', upstream('builtin: echo, tls: {}'), 'says nothing of a builtin'],
    ['a builtin that is asked', upstream('builtin: echo, health: { path: / }'), 'of a builtin'],
    ['an issuer that is none', file('issuer: acme'), 'issuer: must be a URL'],
  ])('%s', (_, text, why) => {
    expect(said(text)).toContain(why)
  })

  test('two of one name, or of one target', () => {
    const two = 'upstreams: [{ name: git, builtin: echo }, { name: git, builtin: echo }]'
    expect(said(file(two))).toContain(
      'the upstream "git" is that of platforms[0].upstreams[0].name',
    )
    const targets = 'targets: [{ url: "https://a.example" }, { url: "https://a.example" }]'
    expect(said(upstream(targets))).toContain('the target "https://a.example" is that of')
  })

  test('two platforms of one issuer: their tokens could be taken for each other', () => {
    const one = (id: string) =>
      `  - { id: plt_${id}, slug: ${id}, hosts: [${id}.b], issuer: "https://a.b", routes: [{ path: /v1, handler: subscriptions }] }\n`
    expect(said(`version: 1\nplatforms:\n${one('a')}${one('b')}`)).toContain(
      'the issuer "https://a',
    )
  })

  test('O6: a hundred targets and a thousand upstreams are enough', () => {
    const many = (count: number, item: (index: number) => string) =>
      Array.from({ length: count }, (_, index) => item(index)).join(', ')
    const targets = many(101, (index) => `{ url: "https://t${index}.example" }`)
    expect(said(upstream(`targets: [${targets}]`))).toContain('has more than 100 targets')
    const upstreams = many(1001, (index) => `{ name: u${index}, builtin: echo }`)
    expect(said(file(`upstreams: [${upstreams}]`))).toContain('has more than 1000 upstreams')
  })
})

test('O6: any value of any field of an upstream and its route is either taken or refused', () => {
  const ofUpstream = ['name', 'url', 'targets', 'allow', 'host', 'timeouts', 'health', 'tls']
  const ofRoute = ['path', 'hosts', 'methods', 'upstream', 'rewrite', 'cors', 'body']
  const odd = fc.constantFrom<fc.JsonValue[]>(
    '',
    '/**',
    '/:a',
    ['/a', 1],
    [{ url: 'http://[' }],
    [''],
  )
  const field = fc.oneof(
    fc.record({ upstream: fc.constantFrom(...ofUpstream), value: fc.oneof(fc.jsonValue(), odd) }),
    fc.record({ route: fc.constantFrom(...ofRoute), value: fc.oneof(fc.jsonValue(), odd) }),
  )
  fc.assert(
    fc.property(field, (given) => {
      const named = { name: 'git', url: 'https://git.example.com' }
      const routed = { path: '/git/**', upstream: 'git' }
      const upstreams = ['upstream' in given ? { ...named, [given.upstream]: given.value } : named]
      const routes = ['route' in given ? { ...routed, [given.route]: given.value } : routed]
      const platform = { id: 'plt_a', slug: 'a', upstreams, routes }
      const parsed = read(JSON.stringify({ version: 1, platforms: [platform] }))
      if (parsed.ok) expect(createRouter(parsed.config.platforms)).toBeDefined()
      else expect(parsed.errors).not.toEqual([])
    }),
    { numRuns: 500 },
  )
})

describe('S1: a target', () => {
  test.each([
    'http://0x7f.1',
    'http://2130706433',
    'http://127.1',
    'http://0177.0.0.1',
    'http://①②⑦.⓪.⓪.①',
    'http://127。0。0。1',
    'http://%31%32%37.0.0.1',
    'http://169.254.169.254.',
    'http://[::]',
    'http://0',
    'http://[::ffff:a9fe:a9fe]',
    'http://localhost.',
    'http://foo.localhost',
    'http://metadata.google.internal',
    'http://a@169.254.169.254',
    'http://10.0.0.5',
    'https://git.example.com/path',
    'ftp://git.example.com',
  ])('%s is refused where it stands', (url) => {
    expect(refused(upstream(`url: "${url}"`))).toEqual([
      expect.stringMatching(/^postern\.yaml:5:35 platforms\[0\]\.upstreams\[0\]\.url: /),
    ])
    expect(said(upstream(`targets: [{ url: "${url}" }]`))).toContain(
      'upstreams[0].targets[0].url: ',
    )
  })

  test('of a private range passes where the range is allowed', () => {
    const text = upstream('url: "http://127.0.0.1:3000/", allow: [127.0.0.0/8]')
    expect(upstreamOf(text).targets).toEqual([{ origin: 'http://127.0.0.1:3000', weight: 1 }])
    expect(said(upstream('url: "http://127.0.0.1:3000"'))).toContain('"allow" does not hold')
  })

  test('that comes from the environment is judged, and not shown', () => {
    const text = upstream(`url: "\${env:GIT_URL}"`)
    expect(upstreamOf(text, { GIT_URL: 'https://git.example.com' }).targets).toHaveLength(1)
    const lines = said(text, { GIT_URL: 'https://Canary.example.com:443' })
    expect(lines).toContain('upstreams[0].url: is not what this field can hold')
    expect(lines).not.toMatch(/canary/i)
  })
})

describe('TLS', () => {
  const tls = (fields: string) => withUrl(`tls: { ${fields} }`)
  test.each([
    ['a certificate without its key', `cert: "\${env:CERT}"`, 'must have cert and key together'],
    ['a key without its certificate', `key: "\${env:KEY}"`, 'must have cert and key together'],
    ['a key where a certificate belongs', `ca: "\${env:KEY}"`, 'a PEM file with a certificate'],
    [
      'a certificate where a key belongs',
      `cert: "\${env:CERT}", key: "\${env:CERT}"`,
      'a PEM file with a private key',
    ],
    ['a path', 'ca: /etc/ssl/ca.pem', 'must be the text of a PEM file'],
    ['a key in the file', `key: "${pem('PRIVATE KEY').replaceAll('\n', '\\n')}"`, 'a private key'],
    ['a name with a port', 'serverName: "git.internal:443"', 'must have no port'],
  ])('with %s is refused, and no text is shown', (_, fields, why) => {
    const lines = said(tls(fields), pems)
    expect(lines).toContain(why)
    expect(lines).not.toContain('Canary')
  })

  test.each(['KEY', 'EC'])('takes PEM texts from the environment: %s', (key) => {
    const text = tls(
      `ca: "\${env:CERT}\${env:CERT}", cert: "\${env:CERT}", key: "\${env:${key}}", serverName: git.internal`,
    )
    expect(upstreamOf(text, pems).tls).toEqual({
      ca: pems.CERT + pems.CERT,
      cert: pems.CERT,
      key: pems[key as 'KEY'], // one of the two names above
      serverName: 'git.internal',
    })
  })
})

describe('an upstream', () => {
  test('has the defaults that docs state', () => {
    const platform = platformOf(file())
    expect(platform.issuer).toBe('urn:postern:plt_a')
    expect(platform.upstreams).toEqual([
      {
        name: 'git',
        audience: 'git',
        builtin: null,
        targets: [{ origin: 'https://git.example.com', weight: 1 }],
        host: null,
        allow: [],
        connectMs: 2000,
        headersMs: 30_000,
        idleMs: 60_000,
        connectionsMax: 128,
        queueMax: 1024,
        retries: 1,
        breaker: { failures: 5, openMs: 5000 },
        health: null,
        tls: { ca: null, cert: null, key: null, serverName: null },
        keepAuthorization: false,
      },
    ])
    expect(upstreamOf(withUrl('health: { path: "/healthz?full=1" }')).health).toEqual({
      path: '/healthz?full=1',
      intervalMs: 5000,
      timeoutMs: 2000,
      healthyAfter: 2,
      unhealthyAfter: 3,
    })
  })

  test('takes every field, each in the unit that code uses', () => {
    const text = file(
      'scheme: { preset: azotte, headers: [x-api-key] }',
      'issuer: https://api.example.com/',
      `upstreams: [{ name: git, audience: "https://git", host: "git.internal:8080",
        targets: [{ url: "http://10.0.0.5", weight: 3 }, { url: "http://[fd12::5]:80/" , weight: 1 }],
        allow: ["::ffff:10.0.0.0/104", "FD12:0::/16"],
        timeouts: { connect: 500ms, headers: 2min, idle: 1h }, connections: 10000, queue: 0, retries: 0,
        breaker: { failures: 1, open: 1min }, keepAuthorization: true,
        health: { path: /, interval: 1s, timeout: 200ms, healthyAfter: 1, unhealthyAfter: 1 } }]`,
    ).replace(':80/', ':8080/')
    const platform = platformOf(text)
    expect(platform.issuer).toBe('https://api.example.com')
    expect(platform.upstreams[0]).toMatchObject({
      audience: 'https://git',
      host: 'git.internal:8080',
      targets: [
        { origin: 'http://10.0.0.5', weight: 3 },
        { origin: 'http://[fd12::5]:8080', weight: 1 },
      ],
      allow: ['10.0.0.0/8', 'fd12::/16'],
      connectMs: 500,
      headersMs: 120_000,
      idleMs: 3_600_000,
      connectionsMax: 10_000,
      queueMax: 0,
      retries: 0,
      breaker: { failures: 1, openMs: 60_000 },
      keepAuthorization: true,
      health: { intervalMs: 1000, timeoutMs: 200, healthyAfter: 1, unhealthyAfter: 1 },
    })
  })

  test('that is built in has a target of a name that nobody can resolve', () => {
    const echo = upstreamOf(upstream('builtin: echo'))
    expect(echo).toMatchObject({
      builtin: 'echo',
      targets: [{ origin: 'http://echo.invalid', weight: 1 }],
    })
  })

  test('that no route leads to is fine, and frozen like the rest', () => {
    const text = file(git, 'routes: [{ path: /v1, handler: subscriptions }]')
    expect(Object.isFrozen(upstreamOf(text).targets[0])).toBe(true)
  })
})

describe('a route to an upstream that is only half right is refused', () => {
  test.each([
    ['neither', file('routes: [{ path: /v1 }]'), 'routes[0]: must have handler or upstream'],
    ['both', route('handler: subscriptions'), 'must have only one of handler or upstream'],
    ['a near name', file('routes: [{ path: /v1, upstream: gti }]'), 'did you mean "git"?'],
    [
      'a name of Object',
      file('routes: [{ path: /v1, upstream: constructor }]'),
      'no upstream "con',
    ],
    ['a host of nobody', route('hosts: [git.b]'), 'no host of the platform "git.b"'],
    ['a near host', route('hosts: [gti.b]', 'hosts: [git.b]'), 'did you mean "git.b"?'],
    ['no host', route('hosts: []', 'hosts: [git.b]'), 'must name at least one host'],
    ['a host twice', route('hosts: [a.b, a.b]', 'hosts: [a.b]'), 'the host "a.b" is that of'],
    ['TRACE', route('methods: [TRACE]'), '"TRACE" is not known'],
    ['CONNECT', route('methods: [CONNECT]'), '"CONNECT" is not known'],
    ['a large body', route('body: { maxBytes: 1099511627777 }'), 'from 0 to 1099511627776'],
    ['a template without its name', route('rewrite: "/:x"'), 'has a :x that the path does not'],
    ['S5: an authority', route('rewrite: "@evil/x"'), 'rewrite: must start with /'],
    ['S5: an authority', route('rewrite: "//evil"'), 'rewrite: has an empty segment'],
    ['S5: an authority', route('rewrite: "\\\\evil"'), 'rewrite: must start with /'],
    ['S5: an authority', route('rewrite: ":80@evil"'), 'rewrite: must start with /'],
    ['a dot segment', route('rewrite: /../**'), 'rewrite: has a dot segment'],
    ['a long template', route(`rewrite: /${'a'.repeat(1024)}`), 'longer than 1024 characters'],
    ['no leave', route('cors: false'), 'must be true, or a section of fields'],
    ['a leave for all', route('cors: { origins: ["*"] }'), 'must be an origin such as'],
    ['a leave for null', route('cors: { origins: ["null"] }'), 'must be an origin such as'],
    ['a wildcard', route('cors: { origins: ["https://*.b.c"] }'), 'must be an origin such as'],
    ['a slash', route('cors: { origins: ["https://a.b/"] }'), 'as a browser sends it'],
    ['the usual port', route('cors: { origins: ["https://a.b:443"] }'), 'as a browser sends it'],
    ['upper case', route('cors: { origins: ["https://A.b"] }'), 'as a browser sends it'],
    ['every header', route('cors: { requestHeaders: ["*"] }'), 'must be a header name in lower'],
    ['an upper header', route('cors: { exposedHeaders: [X-A] }'), 'must be a header name in lower'],
    ['two headers', route('cors: { exposedHeaders: ["a, b"] }'), 'must be a header name in lower'],
    ['a misspelt leave', route('cors: { origin: [] }'), 'did you mean "origins"?'],
    ['no time', route('cors: { maxAge: 0s }'), 'must be a duration of whole seconds'],
  ])('%s', (_, text, why) => {
    expect(said(text)).toContain(why)
  })

  test('a rewrite must fit each path of the route', () => {
    const paths = file('routes: [{ path: [/a/:x, /b/:y], upstream: git, rewrite: "/:x" }]')
    expect(refused(paths)).toEqual([
      expect.stringContaining('that the path does not have (platforms[0].routes[0].path[1])'),
    ])
  })

  test('a handler has no rewrite, no method of WebDAV, and a body that fits into memory', () => {
    const handler = (fields: string) =>
      said(file(`routes: [{ path: /v1, handler: subscriptions, ${fields} }]`))
    expect(handler('rewrite: /')).toContain('rewrite: is for routes with an upstream')
    expect(handler('methods: [GET, PROPFIND]')).toContain('methods[1]: a handler answers GET, HEAD')
    expect(handler('body: { maxBytes: 1073741825 }')).toContain('from 0 to 1073741824')
  })

  test.each([
    ['[a.b]', '[a.b]', true],
    ['[a.b, c.d]', '[c.d]', true],
    ['[a.b]', '[c.d]', false],
  ])('two on one path, one on hosts %s and one on %s', (one, other, clash) => {
    const text = file(
      'hosts: [a.b, c.d]',
      `routes: [{ path: "/a/:x", hosts: ${one}, upstream: git }, { path: /a/*, hosts: ${other}, upstream: git }]`,
    )
    if (clash)
      expect(said(text)).toContain('takes the same requests as platforms[0].routes[0].path')
    else expect(platformOf(text).routes.map(({ id }) => id)).toEqual(['* a.b/a/:x', '* c.d/a/*'])
  })
})

describe('a route to an upstream', () => {
  test('carries the very upstream of its platform, and its own defaults', () => {
    const platform = platformOf(file())
    expect(platform.routes[0]).toMatchObject({
      id: '* /git/**',
      hosts: [],
      methods: null,
      handler: null,
      rewrite: null,
      cors: null,
      bodyBytesMax: 10_485_760,
    })
    expect(platform.routes[0]?.upstream).toBe(platform.upstreams[0])
  })

  test('takes every method that the parser knows, but for CONNECT and TRACE', () => {
    const known = METHODS.filter((method) => method !== 'CONNECT' && method !== 'TRACE')
    const taken = routeOf(route(`methods: [${known.join(', ')}]`))
    expect(taken.methods).toEqual(known)
  })

  test('may be of some hosts, and stands beside one of all', () => {
    const platform = platformOf(
      file(
        'hosts: [api.b, git.b]',
        'routes: [{ path: /**, hosts: [git.b], upstream: git, rewrite: /x/**, body: { maxBytes: 1099511627776 } }, { path: /**, handler: subscriptions }]',
      ),
    )
    const router = createRouter([platform])
    expect(router.match(platform, 'REPORT', '/a', 'git.b')).toMatchObject({
      id: '* git.b/**',
      rewrite: '/x/**',
      bodyBytesMax: 1_099_511_627_776,
    })
    expect(router.match(platform, 'GET', '/a', 'api.b')).toMatchObject({ handler: 'subscriptions' })
  })

  test('gives browsers the usual leave with true, and says what differs', () => {
    const usual = {
      origins: [],
      requestHeaders: [
        ...['authorization', 'content-type', 'x-api-key', 'x-tn', 'idempotency-key'],
        'traceparent',
      ],
      exposedHeaders: [
        ...['x-request-id', 'ratelimit', 'ratelimit-policy', 'retry-after', 'postern-mode'],
      ],
      maxAgeSeconds: 600,
    }
    expect(routeOf(route('cors: true')).cors).toEqual(usual)
    expect(routeOf(route('cors: {}')).cors).toEqual(usual)
    const fields =
      'origins: ["https://a.b", "http://localhost:5173"], exposedHeaders: [], maxAge: 1d'
    expect(routeOf(route(`cors: { ${fields} }`)).cors).toEqual({
      ...usual,
      origins: ['https://a.b', 'http://localhost:5173'],
      exposedHeaders: [],
      maxAgeSeconds: 86_400,
    })
  })
})

describe('what answers test keys', () => {
  const two =
    'upstreams: [{ name: git, url: "https://a.example" }, { name: try, url: "https://b.example" }]'
  const discard = 'environments: { test: { mode: discard } }'

  test.each([
    [
      'an unknown mode',
      file('environments: { test: { mode: real } }'),
      '"real" is not known; known here: mock, sandbox, discard',
    ],
    ['a mode of live', file('environments: { live: { mode: sandbox } }'), 'live.mode'],
    ['an unknown sandbox', route('sandbox: try'), 'sandbox: '],
    [
      'a sandbox of a handler',
      file('routes: [{ path: /a, handler: subscriptions, sandbox: git }]'),
      'is for routes with an upstream',
    ],
    [
      'an upstream that would not be discarded',
      route('', discard),
      'upstream: would do for test keys what cannot be discarded',
    ],
    ['the same by the preset', route('', 'scheme: generic'), 'cannot be discarded'],
    [
      'the same by a scheme made of it',
      route('', 'scheme: { preset: generic, tenant: required }'),
      'cannot be discarded',
    ],
  ])('%s is refused', (_, text, what) => {
    expect(said(text)).toContain(what)
  })

  test('the mode is the one that is said, else the one of the preset', () => {
    const modeOf = (...lines: string[]) =>
      platformOf(file('routes: [{ path: /a, handler: subscriptions }]', ...lines)).testMode
    expect(modeOf()).toBe('sandbox')
    expect(modeOf('scheme: tenzro')).toBe('sandbox')
    expect(modeOf('scheme: generic')).toBe('discard')
    expect(modeOf('scheme: generic', 'environments: { test: { mode: sandbox } }')).toBe('sandbox')
  })

  test('a discarding platform may forward live calls alone, or test calls to a sandbox', () => {
    expect(routeOf(route('environments: [live]', discard)).sandbox).toBeNull()
    expect(routeOf(route('sandbox: try', two, discard)).sandbox?.name).toBe('try')
  })
})

describe('secrets for an upstream', () => {
  const secrets = (headers: string) => route(`secrets: { headers: ${headers} }`)

  test.each([
    ['no headers', route('secrets: {}'), 'secrets.headers: is required'],
    ['an empty list', secrets('{}'), 'secrets.headers: '],
    ['a header in upper case', secrets('{ X-Key: "{{secret.A}}" }'), 'in lower case'],
    ...[
      'host',
      'content-length',
      'connection',
      'te',
      'via',
      'x-tn',
      'postern-tenant',
      'x-request-id',
    ]
      .concat(
        'x-forwarded-for',
        'transfer-encoding',
        'accept-encoding',
        'range',
        'if-range',
        'upgrade',
      )
      .map((name): [string, string, string] => [
        `H1: the header ${name}`,
        secrets(`{ ${name}: "{{secret.A}}" }`),
        'of a header that the gateway writes itself',
      ]),
    ['a text without a secret', secrets('{ x-key: Bearer }'), 'must have a {{secret.NAME}} in it'],
    [
      'X10: a reference of another kind',
      secrets('{ x-key: "{{env.A}}" }'),
      'no other double braces',
    ],
    ['X10: a space in it', secrets('{ x-key: "{{ secret.A }}" }'), 'no other double braces'],
    [
      'X10: one that is not closed',
      secrets('{ x-key: "{{secret.A}} {{secret.B" }'),
      'no other double',
    ],
    ['a name that is none', secrets('{ x-key: "{{secret.A-B}}" }'), 'can be no secret'],
    ['a name that no secret may have', secrets('{ x-key: "{{secret.PATH}}" }'), 'can be no secret'],
    ['a line break', secrets('{ x-key: "{{secret.A}}\\r\\nx: 1" }'), 'printable ASCII'],
    ['a space at its end', secrets('{ x-key: "{{secret.A}} " }'), 'printable ASCII'],
    [
      'secrets of a handler',
      file(
        'routes: [{ path: /a, handler: subscriptions, secrets: { headers: { x-k: "{{secret.A}}" } } }]',
      ),
      'is for routes with an upstream',
    ],
    [
      'a platform without tenants',
      route(
        'secrets: { headers: { x-k: "{{secret.A}}" } }',
        'scheme: { preset: azotte, tenant: none }',
      ),
      'sessions are of tenants, and this platform has none',
    ],
  ])('%s is refused', (_, text, what) => {
    expect(said(text)).toContain(what)
  })

  test('a text is taken apart, once', () => {
    const text =
      '{ authorization: "Bearer {{secret.A}}.{{secret._b2}}", x-api-key: "{{secret.A}}" }'
    expect(routeOf(secrets(text)).secrets).toEqual([
      { name: 'authorization', texts: ['Bearer ', '.', ''], secrets: ['A', '_b2'] },
      { name: 'x-api-key', texts: ['', ''], secrets: ['A'] },
    ])
    expect(routeOf(route('')).secrets).toBeNull()
  })
})
