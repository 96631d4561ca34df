import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { schemeFaults } from '../src/keys/schemes.ts'
import { createRouter } from '../src/routing.ts'
import { accepted, fragment, read, refused, route, withField, withRoute } from './config/parse.ts'

const example = readFileSync(new URL('../postern.yaml', import.meta.url), 'utf8')
const sources = readFileSync(new URL('../examples/sources.yaml', import.meta.url), 'utf8')

describe('a refusal', () => {
  test('names every bad field at once, each with its line, column and the near name', () => {
    const text = `version: 1
platforms:
  - id: plt_acme
    slug: Acme
    scheme: azote
    routes:
      - pth: /v1
        path: /v1
        handler: subscription
        permission: data:raed
        cost: 0
    permissions: { data: [read] }
server: { trustedProxies: [10.0.0.1/8] }
`
    expect(refused(text, { PORT: 'http' })).toEqual([
      'postern.yaml:4:11 platforms[0].slug: must be 1 to 32 of a-z 0-9 -, starting with a letter and not ending in -',
      'postern.yaml:5:13 platforms[0].scheme: "azote" is not known; did you mean "azotte"?',
      'postern.yaml:7:9 platforms[0].routes[0].pth: unknown field "pth"; did you mean "path"?',
      'postern.yaml:9:18 platforms[0].routes[0].handler: no handler "subscription"; did you mean "subscriptions"?',
      'postern.yaml:10:21 platforms[0].routes[0].permission: no permission "data:raed"; did you mean "data:read"?',
      'postern.yaml:11:15 platforms[0].routes[0].cost: must be a whole number from 1 to 1000000',
      'postern.yaml:13:28 server.trustedProxies[0]: has bits set past its prefix length; the range starts at 10.0.0.0',
      'environment PORT: must be a whole number from 0 to 65535',
    ])
  })

  test('of a missing field stands at the section that misses it, and says what is wanted', () => {
    expect(refused('version: 1\nplatforms:\n  - slug: a\n    routes: [{ path: /v1 }]\n')).toEqual([
      'postern.yaml:3:5 platforms[0].id: is required; it must be plt_ and 1 to 32 of a-z 0-9',
      'postern.yaml:4:14 platforms[0].routes[0]: must have handler or upstream',
    ])
  })

  test('lists a hundred errors and counts the rest', () => {
    const many = Array.from({ length: 250 }, (_, index) => `x${index}: 1`).join('\n')
    const lines = refused(`${example}\n${many}`)
    expect(lines).toHaveLength(101)
    expect(lines.at(-1)).toMatch(/and 150 more errors/)
  })

  test('cannot move the cursor of a terminal', () => {
    const lines = refused(`${fragment}"\\e[31m\\u202e": 1\n`)
    expect(lines).toEqual([expect.stringContaining('unknown field')])
    expect(lines.join()).not.toMatch(/[\p{Cc}\p{Cf}]/u)
  })
})

describe('O6: a poisoned file is refused with words, never with a throw', () => {
  test.each([
    ['nothing', '', 'is empty'],
    ['only a comment', '# later\n', 'is empty'],
    ['a list', '- 1\n', 'must be a section of fields'],
    ['a scalar', 'postern', 'must be a section of fields'],
    ['100 MB', 'a: b\n'.repeat(20_000_000), 'longer than 1048576 characters'],
    ['truncated flow', 'version: 1\nplatforms: [{ id: plt_a, slug: "a', 'not well-formed YAML'],
    ['truncated JSON', '{"version": 1, "platforms": [{"id": "plt_', 'not well-formed YAML'],
    ['200 000 brackets', '['.repeat(200_000), 'nested too deeply'],
    ['a deep tree', `a: ${'['.repeat(40)}1${']'.repeat(40)}`, 'nested too deeply'],
    ['an alias', `${fragment}server: &a {}\nstorage: *a\n`, 'anchors and aliases are not read'],
    [
      'an alias bomb',
      `a: &a [x, x]\n${[...'bcdefghij'].map((name, index) => `${name}: &${name} [*${'abcdefghi'[index]}, *${'abcdefghi'[index]}]`).join('\n')}`,
      'anchors and aliases are not read',
    ],
    ['a tag', `${fragment}server: !!map {}\n`, 'tags are not read'],
    ['code', `${fragment}log: !!js/function "x"\n`, 'tags are not read'],
    ['a second document', `${fragment}---\n${fragment}`, 'a second document'],
    ['YAML 1.1', `%YAML 1.1\n---\n${fragment}`, 'directives are not read'],
    ['a merge key', `${fragment}<<: { log: { level: debug } }\n`, 'unknown field "<<"'],
    ['a prototype', `${fragment}__proto__: { polluted: true }\n`, 'cannot be a name'],
    ['an inner prototype', `${fragment}log: { __proto__: { level: debug } }\n`, 'cannot be a name'],
    ['a name twice', `${fragment}version: 1\n`, '"version" is given a second time'],
    ['a section twice', `${fragment}log: {}\nlog: {}\n`, '"log" is given a second time'],
    ['a name without a value', `${fragment}server:\n`, 'has no value'],
    ['a list as a name', `${fragment}? [a, b]\n: 1\n`, 'not well-formed YAML'],
    ['a tab', 'version: 1\nplatforms:\n\t- id: plt_a\n', 'not well-formed YAML'],
    ['controls', '\0\x07\x1b', 'must be a section of fields'],
  ])('%s', (_, text, said) => {
    expect(refused(text).join('\n')).toContain(said)
    expect(Object.prototype).not.toHaveProperty('polluted')
  })

  test('the same platform ten times is ten refusals, not ten platforms', () => {
    const one = fragment.slice(fragment.indexOf('  - id'))
    const lines = refused(fragment + one.repeat(9))
    expect(
      lines.filter((line) => line.includes('the platform id "plt_a" is that of')),
    ).toHaveLength(9)
    expect(lines.filter((line) => line.includes('the slug "a" is that of'))).toHaveLength(9)
  })

  test('any text is either a config or a list of errors inside the file', () => {
    const lineCount = example.split('\n').length
    const edit = fc.record({
      at: fc.nat(example.length),
      drop: fc.nat(12),
      add: fc.oneof(
        fc.string({ maxLength: 6 }),
        fc.constantFrom(':', '- ', '[', '}', '\n', '&a ', '!', '"'),
      ),
    })
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        let text = example
        for (const { at, drop, add } of edits)
          text = text.slice(0, at) + add + text.slice(at + drop)
        const parsed = read(text)
        if (parsed.ok) {
          expect(createRouter(parsed.config.platforms)).toBeDefined()
          return
        }
        expect(parsed.errors).not.toEqual([])
        for (const { line, column } of parsed.errors) {
          expect(line).toBeGreaterThan(0)
          expect(line).toBeLessThan(lineCount + 30)
          expect(column).toBeGreaterThan(0)
        }
      }),
      { numRuns: 150 },
    )
  })

  test('any value of any field is either taken or refused', () => {
    const names = ['id', 'slug', 'scheme', 'adopted', 'hosts', 'permissions', 'environments']
    const fields = [...names, 'classes', 'routes', 'seed', 'docsUrl', 'port', 'upstreams', 'issuer']
    fc.assert(
      fc.property(fc.constantFrom(...fields), fc.jsonValue(), (field, value) => {
        const platform = { id: 'plt_a', slug: 'a', routes: [route], [field]: value }
        const parsed = read(JSON.stringify({ version: 1, platforms: [platform] }))
        if (!parsed.ok) expect(parsed.errors).not.toEqual([])
      }),
      { numRuns: 300 },
    )
  })
})

describe('L12: a cost, a quota or a window is a positive whole number', () => {
  const bad = ['0', '-1', '1.5', '.nan', '.inf', '-.inf', '1e309', '"5"', 'true', '[]', '1e16']
  test.each(bad)('%s is refused as a cost and as a quota', (value) => {
    expect(refused(withRoute(`cost: ${value}`)).join()).toMatch(/\.cost: must be a whole number/)
    const limit = `limits: [{ name: x, quota: ${value}, window: 1min }]`
    expect(refused(withRoute(limit)).join()).toMatch(/\.quota: must be a whole number/)
  })

  test.each([
    '0/min',
    '-1/min',
    '1.5/min',
    '1e3/min',
    '100',
    '100/m',
    '100/fortnight',
    '/min',
    '5',
  ])('%s is refused as a limit', (value) => {
    expect(refused(withRoute(`limits: [${value}]`)).join()).toMatch(/must be a limit such as/)
  })

  test.each(['0s', '60', '500ms', '32d', '1.5s', '-1s', '1e3s', '""'])(
    '%s is refused as a window',
    (value) => {
      const lines = refused(withRoute(`limits: [{ name: x, quota: 1, window: ${value} }]`))
      expect(lines.join()).toMatch(/\.window: must be a duration of whole seconds/)
    },
  )

  test('whatever passes is a positive safe integer', () => {
    fc.assert(
      fc.property(fc.oneof(fc.double(), fc.integer(), fc.float()), (value) => {
        const platform = { id: 'plt_a', slug: 'a', routes: [{ ...route, cost: value }] }
        const parsed = read(JSON.stringify({ version: 1, platforms: [platform] }))
        const fine = Number.isInteger(value) && value > 0 && value <= 1_000_000
        expect(parsed.ok).toBe(fine)
      }),
      { numRuns: 200 },
    )
  })

  test('a cost above a quota of its own route is refused: no call could pass', () => {
    expect(refused(withRoute('cost: 11\n        limits: [10/min]')).join()).toMatch(
      /no call could pass/,
    )
    expect(accepted(withRoute('cost: 10\n        limits: [10/min]')).platforms).toHaveLength(1)
  })
})

describe('G10: what is only half right does not pass', () => {
  test.each([
    ['an unknown preset', 'scheme: stripe', '"stripe" is not known'],
    ['the operators’ scheme', 'scheme: operator', 'is not known'],
    ['a scheme of neither kind', 'scheme: {}', 'either preset or prefixes'],
    [
      'a scheme of both kinds',
      'scheme: { preset: azotte, prefixes: [{ prefix: a_, class: secret, environment: live }] }',
      'either preset or prefixes',
    ],
    ['no prefixes', 'scheme: { prefixes: [] }', 'at least one prefix'],
    [
      'a prefix twice',
      'scheme: { prefixes: [{ prefix: a_, class: secret, environment: live }, { prefix: a_, class: secret, environment: test }] }',
      'the prefix "a_" is that of',
    ],
    [
      'the operators’ prefix',
      'adopted: [{ prefix: op_live_, class: secret, environment: live }]',
      'belongs to the operators',
    ],
    [
      'an adopted prefix that means another thing when issued',
      'adopted: [{ prefix: sk_live_, class: secret, environment: test }]',
      'is not what the scheme issues it for; make it live',
    ],
    ['a permission tree that is a list', 'permissions: [data]', 'must be a tree'],
    ['a service without actions', 'permissions: { data: [] }', 'must name an action'],
    ['a wildcard permission', 'permissions: { data: ["*"] }', 'must be 1 to 32'],
    ['an unknown environment', 'environments: { prod: {} }', 'known here: test, live'],
    ['an upper-case host', 'hosts: [API.example.com]', 'in lower case'],
    ['a host with a port', 'hosts: ["a.example.com:80"]', 'must have no port'],
    ['a wildcard host', 'hosts: ["*.example.com"]', 'wildcards are not matched'],
    ['a host twice', 'hosts: [a.example.com, a.example.com]', 'is that of'],
    ['port 0', 'port: 0', 'whole number from 1 to 65535'],
    ['the deployment’s port as text', 'port: "8787"', 'whole number from 1 to 65535'],
    ['docs without a scheme', 'docsUrl: docs.example.com', 'must be a URL'],
    ['docs in a script', 'docsUrl: javascript:alert(1)', 'must be a URL'],
    ['docs with a query', 'docsUrl: https://a.example.com/?b=c', 'no query'],
    ['a tenant with a space', 'seed: [{ id: "tenant a" }]', 'must be 1 to 63'],
    ['a tenant that starts with -', 'seed: [{ id: -a }]', 'must be 1 to 63'],
    ['a tenant twice', 'seed: [{ id: t }, { id: t }]', 'the tenant "t" is that of'],
    [
      'a tenant where there are none',
      'scheme: { preset: azotte, tenant: none }\n    seed: [{ id: t }]',
      'has no tenants',
    ],
    [
      'two limits of one name',
      'environments: { live: { limits: { key: [10/s, 20/s] } } }',
      'has the name of platforms[0].environments.live.limits.key[0]',
    ],
    ['a yes that is text', 'seed: [{ id: t, suspended: yes }]', 'must be true or false'],
  ])('%s', (_, field, said) => {
    expect(refused(withField(field)).join('\n')).toContain(said)
  })

  test.each([
    ['an own path', 'path: /livez', "is the gateway's own (/livez)"],
    ['an own path', 'path: /readyz/**', "is the gateway's own (/readyz)"],
    ['below /docs', 'path: /docs/mine', "is the gateway's own (/docs)"],
    ['the key set', 'path: /.well-known/jwks.json', "is the gateway's own (/.well-known)"],
    ['no slash', 'path: v1', 'must start with /'],
    ['an empty segment', 'path: /v1//a', 'has an empty segment'],
    ['a slash at the end', 'path: /v1/', 'has an empty segment'],
    ['a dot segment', 'path: /v1/../a', 'is not in the form'],
    ['an escape of a letter', 'path: /%61', 'is not in the form'],
    ['** in the middle', 'path: /v1/**/a', 'has ** before its last segment'],
    ['a pattern', 'path: /v1/a*', 'has a * inside a segment'],
    ['a name twice', 'path: /:a/:a', 'names :a twice'],
    ['no path', 'path: []', 'at least one path'],
    ['an unknown method', 'methods: [TRACE]', '"TRACE" is not known'],
    ['a method in lower case', 'methods: [get]', 'did you mean "GET"?'],
    ['no method', 'methods: []', 'at least one method'],
    ['no class', 'classes: []', 'at least one class'],
    ['no environment', 'environments: []', 'at least one environment'],
    ['a grant as a permission', 'permission: data:*', 'must be one permission'],
    ['a permission outside the tree', 'permission: data:erase', 'no permission "data:erase"'],
    ['a constructor as a handler', 'handler: constructor', 'no handler "constructor"'],
    ['a fractional body', 'body: { maxBytes: 1.5 }', 'whole number from 0'],
  ])('a route with %s: %s', (_, field, said) => {
    expect(refused(withRoute(field)).join('\n')).toContain(said)
  })

  test('P17: a path has at most 20 segments and 10 wildcards', () => {
    const path = (count: number, segment: (index: number) => string) =>
      `path: ${Array.from({ length: count }, (_, index) => `/${segment(index)}`).join('')}`
    expect(refused(withRoute(path(21, () => 'a'))).join()).toContain('more than 20 segments')
    expect(refused(withRoute(path(11, (index) => `:p${index}`))).join()).toContain('more than 10')
    expect(accepted(withRoute(path(20, () => 'a'))).platforms).toHaveLength(1)
    expect(accepted(withRoute(path(10, (index) => `:p${index}`))).platforms).toHaveLength(1)
  })

  test.each(['data:admin', 'admin:keys'])(
    'a publishable key cannot be let in for %s',
    (permission) => {
      const tree = 'permissions: { data: [admin], admin: [keys] }'
      const text = (classes: string) =>
        `${withRoute(`permission: ${permission}\n        classes: [${classes}]`)}    ${tree}\n`
      expect(refused(text('secret, publishable')).join()).toContain(
        'cannot hold an admin permission',
      )
      expect(accepted(text('secret')).platforms[0]?.routes[0]?.permission).toBe(permission)
    },
  )

  test.each([
    ['the same method', '[GET]', '/a/:x', '[GET]', '/a/:y', true],
    ['one of two methods', '[GET, POST]', '/a/**', '[POST]', '/a/**', true],
    ['other methods', '[GET]', '/a/:x', '[POST]', '/a/:x', false],
    ['another path', '[GET]', '/a/:x', '[GET]', '/a/**', false],
  ])('two routes on one path with %s', (_, methods, path, others, otherPath, clash) => {
    const routes = `routes: [{ path: ${path}, methods: ${methods}, handler: subscriptions }, { path: ${otherPath}, methods: ${others}, handler: subscriptions }]`
    const parsed = read(`version: 1\nplatforms:\n  - id: plt_a\n    slug: a\n    ${routes}\n`)
    expect(parsed.ok).toBe(!clash)
    if (!parsed.ok) expect(parsed.errors[0]?.message).toContain('takes the same requests as')
  })

  test('several platforms need hosts or ports of their own', () => {
    const two = (first: string, second: string) =>
      `version: 1\nplatforms:\n${[first, second].map((more, index) => `  - { id: plt_${index}, slug: p${index}, routes: [{ path: /v1, handler: subscriptions }]${more} }\n`).join('')}`
    expect(refused(two('', ', port: 8801')).join()).toContain('need hosts, or each a port')
    expect(refused(two(', port: 8801', ', port: 8801')).join()).toContain('the port is that of')
    expect(refused(two(', hosts: [a.b]', ', hosts: [a.b]')).join()).toContain('the host "a.b" is')
    expect(refused(two(', hosts: [a.b]', ', port: 8787')).join()).toContain('8787 is the port of')
    expect(accepted(two(', hosts: [a.b]', ', hosts: [b.b]')).platforms).toHaveLength(2)
    expect(accepted(two(', port: 8787', ', port: 8801')).platforms).toHaveLength(2)
  })

  test.each([
    '10.0.0.1',
    '10.0.0.1/8',
    '010.0.0.0/8',
    '0.0.0.0/0',
    '::/0',
    '10.0.0.0/33',
    '10.0.0/8',
    '0x0a.0.0.0/8',
    'fe80::1%eth0/64',
    '2001:db8::1/32',
    'example.com',
    '10.0.0.0/08',
    '10.0.0.0/8/8',
  ])('%s is no range of trusted proxies', (range) => {
    const lines = refused(`${fragment}server: { trustedProxies: ["${range}"] }\n`)
    expect(lines).toHaveLength(1)
    expect(lines[0]).toContain('server.trustedProxies[0]: ')
  })
})

describe('the management API', () => {
  const withManagement = (management: string, path: string, hosts = '') =>
    `version: 1
platforms:
  - { id: plt_a, slug: a, ${hosts} routes: [{ path: ${path}, handler: subscriptions }] }
management: ${management}
`

  test.each([
    ['{}', '/v1/api-keys', ''],
    ['{}', '/v1/tenants/:id/**', ''],
    ['{}', '[/v2, /v1/docs/mine]', ''],
    ['{ basePath: /admin }', '/admin/audit-events', ''],
    ['{ hosts: [b.com] }', '/v1/api-keys', 'hosts: [a.com, b.com],'],
  ])('%s hides %s, which is refused', (management, path, hosts) => {
    expect(refused(withManagement(management, path, hosts)).join()).toContain(
      "is the management API's own (",
    )
  })

  test.each([
    ['{}', '/v1/**', ''],
    ['{}', '/v1/:id', ''],
    ['{}', '/v1/api-keysx', ''],
    ['{ basePath: /admin/v1 }', '/v1/api-keys', ''],
    ['{ hosts: [b.com] }', '/v1/api-keys', 'hosts: [a.com],'],
    ['{ hosts: [b.com] }', '/v1/api-keys', ''],
  ])('%s leaves %s alone', (management, path, hosts) => {
    const { platforms } = accepted(withManagement(management, path, hosts))
    expect(platforms[0]?.routes).toHaveLength(1)
  })

  test.each([
    ['basePath: v1', 'must be one to four segments'],
    ['basePath: /', 'must be one to four segments'],
    ['basePath: /v1/', 'must be one to four segments'],
    ['basePath: /docs', "is the gateway's own (/docs)"],
    ['basePath: 7', 'must be a path'],
    ['hosts: [A.com]', 'must be in lower case'],
    ['rotation: { live: 1h }', 'must be a duration from 1d'],
    ['basepath: /v2', 'did you mean "basePath"'],
  ])('%s is refused', (field, said) => {
    expect(refused(`${fragment}management: { ${field} }\n`).join()).toContain(said)
  })

  test('stands below /v1 of every host, and expects keys to be rotated, unless told otherwise', () => {
    const day = 86_400_000
    expect(accepted(fragment).management).toEqual({
      ...{ basePath: '/v1', hosts: [], rotationMs: { test: 180 * day, live: 90 * day } },
    })
  })
})

describe('a reference to the environment', () => {
  test('stands for the text of the variable, whole or inside other text', () => {
    const text = withField(`name: "\${env:A} of \${env:B}"\n    hosts: ["\${env:HOSTNAME_}"]`)
    const [platform] = accepted(text, {
      A: 'Acme',
      B: 'Bern',
      HOSTNAME_: 'a.example.com',
    }).platforms
    expect(platform?.name).toBe('Acme of Bern')
    expect(platform?.hosts).toEqual(['a.example.com'])
  })

  test('is not looked for again in what it stood for', () => {
    const [platform] = accepted(withField(`name: \${env:A}`), { A: `\${env:B}`, B: 'no' }).platforms
    expect(platform?.name).toBe(`\${env:B}`)
  })

  test.each([
    ['a variable that is not set', `\${env:NOPE}`, 'the environment variable NOPE is not set'],
    ['a variable that is empty', `\${env:EMPTY}`, 'the environment variable EMPTY is not set'],
    ['a name of Object', `\${env:constructor}`, 'the environment variable constructor is not set'],
    ['another kind', `\${file:/etc/passwd}`, 'a reference that is not known'],
    ['a bare one', `\${HOME}`, 'a reference that is not known'],
    ['a broken one', `\${env:A`, 'a reference that is not known'],
  ])('to %s is refused', (_, value, said) => {
    expect(refused(withField(`name: "${value}"`), { EMPTY: '' }).join('\n')).toContain(said)
  })

  test('that gives a wrong value is refused without showing the value', () => {
    const canary = 'Canary"7f3\u001b'
    const fields = [
      ...[
        'id',
        'slug',
        'scheme',
        'vocabulary',
        'docsUrl',
        'port',
        'permissions',
        'seed',
        'classes',
      ],
      ...['hosts: [', 'adopted: [', 'seed: [{ id: '],
    ]
    for (const field of fields) {
      const open = field.includes(':') ? field : `${field}: `
      const close = { '[': ']', '{': '}]' }[/[[{](?=[^[{]*$)/.exec(open)?.[0] ?? ''] ?? ''
      const text = `version: 1\nplatforms:\n  - ${open}"\${env:CANARY}"${close}\n`
      expect(refused(text, { CANARY: canary }).join('\n')).not.toContain('7f3')
    }
    for (const field of ['path', 'handler', 'permission', 'cost', 'limits', 'methods']) {
      const lines = refused(withRoute(`${field}: "\${env:CANARY}"`), { CANARY: canary })
      expect(lines.join('\n')).not.toContain('7f3')
    }
  })
})

describe('the environment', () => {
  const stores = { DATABASE_URL: 'postgres://a/b', REDIS_URL: 'redis://a' }
  test('says where the gateway listens and where its data is', () => {
    const env = {
      HOST: '0.0.0.0',
      PORT: '0',
      DATABASE_URL: 'postgres://postgres:pw@db/postern',
      POSTERN_TENANT_DATABASE_URL: 'postgresql://tenant:pw@db/postern',
      POSTERN_GATEWAY_DATABASE_URL: 'postgresql://gateway:pw@db/postern',
      POSTERN_OWNER_DATABASE_URL: 'postgresql://owner:pw@db/postern',
      REDIS_URL: 'redis+cluster://a:7000,b:7000',
      POSTERN_SHRED_URL: 'postgresql://tenant:pw@salts/postern',
      POSTERN_DIR: '/var/lib/postern',
    }
    const { server, storage } = accepted(fragment, env)
    expect(server).toMatchObject({ host: '0.0.0.0', port: 0 })
    expect(storage).toEqual({
      databaseUrl: env.DATABASE_URL,
      tenantDatabaseUrl: env.POSTERN_TENANT_DATABASE_URL,
      gatewayDatabaseUrl: env.POSTERN_GATEWAY_DATABASE_URL,
      ownerDatabaseUrl: env.POSTERN_OWNER_DATABASE_URL,
      redisUrl: env.REDIS_URL,
      shredUrl: env.POSTERN_SHRED_URL,
      folder: env.POSTERN_DIR,
      scope: 'hardened',
      pooler: false,
    })
  })

  test.each([
    [{ PORT: '65536' }, 'environment PORT: '],
    [{ PORT: '8787 ' }, 'environment PORT: '],
    [{ PORT: '-1' }, 'environment PORT: '],
    [{ HOST: 'a b' }, 'environment HOST: '],
    [{ DATABASE_URL: 'mysql://root:hunter2@db' }, 'environment DATABASE_URL: '],
    [{ DATABASE_URL: 'hunter2' }, 'environment DATABASE_URL: '],
    [{ REDIS_URL: 'http://hunter2@redis' }, 'environment REDIS_URL: '],
    [
      { POSTERN_TENANT_DATABASE_URL: 'postgres://hunter2@db' },
      'environment POSTERN_GATEWAY_DATABASE_URL: is required beside POSTERN_TENANT_DATABASE_URL',
    ],
    [{ POSTERN_WORKERS: 'two' }, 'environment POSTERN_WORKERS: must be auto, or a whole number'],
    [{ POSTERN_WORKERS: '0' }, 'environment POSTERN_WORKERS: must be auto'],
    [{ POSTERN_WORKERS: '257', REDIS_URL: 'redis://a' }, 'POSTERN_WORKERS: must be auto, or a'],
    [{ POSTERN_WORKERS: '2' }, 'POSTERN_WORKERS: POSTERN_WORKERS=2 needs REDIS_URL'],
    [{ POSTERN_WORKERS: 'auto' }, 'POSTERN_WORKERS: POSTERN_WORKERS=auto needs REDIS_URL'],
    [
      { POSTERN_WORKERS: 'auto', REDIS_URL: 'redis://a' },
      'POSTERN_WORKERS: POSTERN_WORKERS=auto needs a PostgreSQL',
    ],
  ])('%j is refused by its name, without its value', (env, said) => {
    const lines = refused(fragment, env)
    expect(lines.join()).toContain(said)
    expect(lines.join()).not.toContain('hunter2')
  })

  test.each([
    [{}, 1],
    [{ POSTERN_WORKERS: '1' }, 1],
    [{ POSTERN_WORKERS: '256', ...stores }, 256],
    [{ POSTERN_WORKERS: 'auto', ...stores }, 'auto'],
  ])('%j says how many processes serve: %s', (env, workers) => {
    expect(accepted(fragment, env).server.workers).toBe(workers)
  })

  test('G12: without any, it is loopback, port 8787, the folder here, and no database', () => {
    const { server, storage } = accepted(fragment, { PORT: '', DATABASE_URL: '' })
    expect(server).toMatchObject({ host: '127.0.0.1', port: 8787, trustedProxies: [] })
    expect(storage).toMatchObject({ folder: './.postern', databaseUrl: null, redisUrl: null })
  })
})

describe('V4: keys.stale', () => {
  test.each(['{ stale: 1h, outage: 30min }', '{ stale: 1h }', '{ outage: 30s }'])(
    'that is longer than keys.outage is refused: %s',
    (keys) => {
      const said = 'must not be longer than keys.outage'
      expect(refused(`${fragment}keys: ${keys}\n`).join()).toContain(said)
    },
  )

  test.each(['{ stale: 15min }', '{ stale: 0s, outage: 0s }', '{ stale: 30min, outage: 1h }'])(
    'that is not is taken: %s',
    (keys) => {
      const { staleMs, outageMs } = accepted(`${fragment}keys: ${keys}\n`).keys
      expect(staleMs).toBeLessThanOrEqual(outageMs)
    },
  )
})

describe('a config', () => {
  test('has the defaults that design and docs state', () => {
    const { platforms, keys, log, server, storage, seeds } = accepted(fragment)
    expect(platforms[0]).toMatchObject({
      name: 'a',
      scheme: { name: 'azotte', tenancy: 'required', adopted: [] },
      vocabulary: 'slash',
      hosts: [],
      port: null,
      docsUrl: null,
      permissions: [],
    })
    const perMinute = (quota: number) => [
      { name: 'minute', quota, windowSeconds: 60, onStoreDown: 'local' },
    ]
    expect(platforms[0]?.limits).toEqual({
      environments: {
        test: { key: perMinute(100), tenant: perMinute(500) },
        live: { key: perMinute(1000), tenant: perMinute(5000) },
      },
      classes: { publishable: perMinute(100) },
    })
    expect(platforms[0]?.routes).toEqual([
      {
        id: '* /v1',
        hosts: [],
        path: '/v1',
        methods: null,
        handler: 'subscriptions',
        upstream: null,
        sandbox: null,
        rewrite: null,
        secrets: null,
        cors: null,
        permission: null,
        classes: ['secret'],
        environments: ['test', 'live'],
        cost: 1,
        limits: [],
        bodyBytesMax: 1_048_576,
        jsonOnly: false,
        requireHttps: false,
        encodedSlash: false,
      },
    ])
    expect(keys).toEqual({
      knownMax: 150_000,
      unknownMax: 20_000,
      positiveTtlMs: 60_000,
      negativeTtlMs: 5000,
      outageMs: 900_000,
      staleMs: 60_000,
      failures: { count: 20, windowSeconds: 60 },
      lookupsPerAddress: 4,
    })
    expect(log).toEqual({ level: 'info' })
    expect(server).toMatchObject({ publicUrl: null, shutdownDelayMs: 0, shutdownGraceMs: 10_000 })
    expect(server).toMatchObject({ overloadMs: 100, workers: 1 })
    expect(storage.scope).toBe('hardened')
    expect(seeds).toEqual([{ platform: 'plt_a', tenants: [] }])
  })

  test('is frozen all the way down, defaults and all, and equal when parsed again', () => {
    const config = accepted(sources)
    const thawed: string[] = []
    const visit = (value: unknown, path: string): void => {
      if (typeof value !== 'object' || value === null) return
      if (!Object.isFrozen(value)) thawed.push(path)
      for (const [name, inner] of Object.entries(value)) visit(inner, `${path}.${name}`)
    }
    visit(config, 'config')
    expect(thawed).toEqual([])
    expect(accepted(sources)).toEqual(config)
  })

  test('narrows a preset, or takes a scheme of its own, that the key room has nothing against', () => {
    const narrowed = accepted(withField('scheme: { preset: tenzro, headers: [authorization] }'))
    expect(narrowed.platforms[0]?.scheme).toMatchObject({
      name: 'tenzro',
      headers: ['authorization'],
      tenancy: 'implied',
    })
    const own = accepted(
      withField(
        'scheme: { prefixes: [{ prefix: acme_live_, class: secret, environment: live }], tenant: none }\n    adopted: [{ prefix: AK, class: secret, environment: live }]',
      ),
    ).platforms[0]?.scheme
    expect(own).toEqual({
      name: 'custom',
      prefixes: [{ prefix: 'acme_live_', class: 'secret', environment: 'live' }],
      adopted: [{ prefix: 'AK', class: 'secret', environment: 'live' }],
      headers: ['x-api-key', 'authorization'],
      tenancy: 'none',
    })
    expect(own && schemeFaults(own)).toEqual([])
  })

  test.each([
    ['CRLF', fragment.replaceAll('\n', '\r\n')],
    ['a byte order mark', `\ufeff${fragment}`],
    [
      'JSON',
      JSON.stringify({ version: 1, platforms: [{ id: 'plt_a', slug: 'a', routes: [route] }] }),
    ],
  ])('is the same from a file with %s', (_, text) => {
    expect(accepted(text)).toEqual(accepted(fragment))
  })

  test('has URLs without a slash at their end, so that a path can follow', () => {
    const text = `${withField('docsUrl: https://a.example.com/errors/')}server: { publicUrl: "https://b.example.com/" }\n`
    const { platforms, server } = accepted(text)
    expect(platforms[0]?.docsUrl).toBe('https://a.example.com/errors')
    expect(server.publicUrl).toBe('https://b.example.com')
  })

  test('says explicitly that there is no limit with an empty list, and only so', () => {
    const { limits } = accepted(
      withField(
        'environments: { test: { limits: { key: [] } } }\n    classes: { publishable: { limits: [] } }',
      ),
    ).platforms[0]!
    expect(limits.environments.test.key).toEqual([])
    expect(limits.environments.test.tenant).toHaveLength(1)
    expect(limits.classes.publishable).toEqual([])
  })
})

describe('the files that come with Postern', () => {
  test('postern.yaml is one platform on azotte with the two tenants of its source', () => {
    const { platforms, seeds } = accepted(example)
    expect(platforms).toHaveLength(1)
    expect(platforms[0]).toMatchObject({ scheme: { name: 'azotte' }, vocabulary: 'azotte' })
    expect(seeds[0]?.tenants.map(({ id }) => id)).toEqual(['tenant_abc123', 'tenant_xyz789'])
    expect(platforms[0]?.permissions).toContain('admin:keys')
    const router = createRouter(platforms)
    for (const path of ['/v1/subscriptions', '/api/v1/subscriptions/sub_1']) {
      const found = (method: string) => router.match(platforms[0]!, method, path, '')
      expect(found('GET')).toMatchObject({ permission: 'data:read' })
      expect(found('DELETE')).toMatchObject({ permission: 'data:write', classes: ['secret'] })
    }
  })

  test('examples/sources.yaml is one platform per source, each on a port of its own', () => {
    const { platforms, seeds } = accepted(sources)
    expect(platforms.map(({ scheme }) => scheme.name)).toEqual([
      'azotte',
      'theazo',
      'tenzro',
      'generic',
    ])
    expect(platforms.map(({ port }) => port)).toEqual([8801, 8802, 8803, 8804])
    expect(seeds.every(({ tenants }) => tenants.length > 0)).toBe(true)
    expect(() => createRouter(platforms)).not.toThrow()
  })

  test('both tell editors their schema in the first line', () => {
    expect(example).toMatch(/^# yaml-language-server: \$schema=\.\/postern\.schema\.json\n/)
    expect(sources).toMatch(/^# yaml-language-server: \$schema=\.\.\/postern\.schema\.json\n/)
  })
})
