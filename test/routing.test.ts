import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import type { Platform, Route } from '../src/context.ts'
import { canonicalPath, createRouter } from '../src/routing.ts'

const numRuns = Number(process.env.FUZZ_RUNS ?? 2000)

const route = (path: string, more: Partial<Route> = {}): Route => ({
  id: path,
  path,
  methods: null,
  handler: 'echo',
  hosts: [],
  upstream: null,
  sandbox: null,
  secrets: null,
  rewrite: null,
  cors: null,
  permission: null,
  classes: ['secret'],
  environments: ['test', 'live'],
  cost: 1,
  limits: [],
  bodyBytesMax: 1024,
  jsonOnly: false,
  requireHttps: false,
  encodedSlash: false,
  ...more,
})

const platform = (routes: readonly Route[], more: Partial<Platform> = {}): Platform => ({
  id: 'plt_1',
  slug: 'one',
  name: 'One',
  scheme: { name: 'azotte', prefixes: [], adopted: [], headers: [], tenancy: 'none' },
  hosts: [],
  port: null,
  vocabulary: 'slash',
  docsUrl: null,
  issuer: 'urn:postern:test',
  upstreams: [],
  testMode: 'sandbox',
  openapi: null,
  permissions: [],
  limits: {
    environments: { test: { key: [], tenant: [] }, live: { key: [], tenant: [] } },
    classes: {},
  },
  routes,
  ...more,
})

/** The path as accepted, or the code of the refusal. */
function canon(target: string, encodedSlash = false): string {
  const canonical = canonicalPath(target, { encodedSlash })
  return 'code' in canonical ? canonical.code : canonical.path
}

/** The id of the route, or the code of the refusal. */
function found(routes: readonly Route[], path: string, method = 'GET', host = ''): string {
  const only = platform(routes)
  const match = createRouter([only]).match(only, method, path, host)
  return 'code' in match ? match.code : match.id
}

describe('canonicalPath', () => {
  const refused: [threat: string, target: string][] = [
    ['P1', '/ad%0dmin/x'],
    ['P1', '/ad%09min/x'],
    ['P1', '/%0aadmin/x'],
    ['P2', '/x%5c..%5cadmin%5cx'],
    ['P2', '/x\\..\\admin'],
    ['P2', '/x/.%0a./admin/x'],
    ['P3', '//admin/x'],
    ['P3', '//evil.example/x'],
    ['P3', '/%5cevil.example/x'],
    ['P3', '/a//b'],
    ['P3', '/a//'],
    ['P4', '/admin%2fx'],
    ['P4', '/pub/..%2fadmin'],
    ['P5', '/pub/%2e%2e/admin'],
    ['P5', '/pub/./../admin'],
    ['P5', '/pub/..'],
    ['P5', '/.'],
    ['P6', '/admin;x=1/y'],
    ['P6', '/user/..;foo=bar/admin'],
    ['P6', '/user/..%3bfoo=bar/admin'],
    ['P9', '/%c0%ae%c0%ae/admin'],
    ['P9', '/%zz'],
    ['P9', '/a%'],
    ['P9', '/a%4'],
    ['P9', '/%ed%a0%80'],
    ['P10', '/a%00b'],
    ['P10', '/a\0b'],
    ['P11', '/pub%252f..%252fadmin'],
    ['P12', '/a#b'],
    ['P12', '/a?x#b'],
    ['P3', ''],
    ['P3', '*'],
    ['P3', 'a/b'],
    ['P3', '?x'],
    ['P1', '/a b'],
    ['P1', '/a\tb'],
    ['P1', '/ä'],
    ['P1', '/a\u2028b'],
    ['P1', '/a?x y'],
    ['P1', '/a?x\r\ny'],
    ['P1', '/a<b'],
  ]
  test.each(refused)('%s: %j is refused', (_threat, target) => {
    expect(canonicalPath(target)).toMatchObject({ code: 'request/invalid_path' })
  })

  test('a refusal does not repeat the path, which may hold line breaks', () => {
    expect(JSON.stringify(canonicalPath('/ad\r\nmin'))).not.toContain('min')
  })

  test.each([
    ['/', '/'],
    ['/v1/items', '/v1/items'],
    ['/v1/items/', '/v1/items/'],
    ['/.well-known/jwks.json', '/.well-known/jwks.json'],
    ['/...', '/...'],
    ["/a:b@c!$&'()*+,=~_-.", "/a:b@c!$&'()*+,=~_-."],
    ['/%7Euser', '/~user'],
    ['/caf%c3%a9', '/caf%C3%A9'],
    ['/a%20b', '/a%20b'],
    ['/__proto__/constructor', '/__proto__/constructor'],
  ])('%j is accepted as %j', (target, path) => {
    expect(canonicalPath(target)).toEqual({ path, search: '' })
  })

  test('P8: an encoded letter is the letter', () => {
    expect(canon('/%61dmin')).toBe('/admin')
  })

  test('P15: the query is kept byte for byte', () => {
    const search = '?b=2&a=1&a=%zz&%61=+&"<>\\^`{|}'
    expect(canonicalPath(`/x${search}`)).toEqual({ path: '/x', search })
    expect(canonicalPath('/x?')).toEqual({ path: '/x', search: '?' })
    expect(canonicalPath('/x?a?b')).toEqual({ path: '/x', search: '?a?b' })
  })

  test('a path over 4 KiB and a query over 8 KiB are 414, one byte less is not', () => {
    expect(canon(`/${'a'.repeat(4096)}`)).toBe('request/uri_too_long')
    expect(canon(`/?${'a'.repeat(8193)}`)).toBe('request/uri_too_long')
    expect(canon(`/${'a'.repeat(4095)}?${'a'.repeat(8192)}`)).toBe(`/${'a'.repeat(4095)}`)
  })

  test('with encodedSlash, %2F and %25 stay as they are, in upper case', () => {
    expect(canon('/a%2fb', true)).toBe('/a%2Fb')
    expect(canon('/100%25', true)).toBe('/100%25')
  })

  test.each([
    '/a%2f..%2fb',
    '/%2fevil',
    '/a/%2fb',
    '/a%2f%2fb',
    '/a%252fb',
    '/a%25%36%31',
    '/a%2f.',
    '/a%2f',
  ])('P4 P11: with encodedSlash too, %j is refused', (target) => {
    expect(canon(target, true)).toBe('request/invalid_path')
  })
})

describe('P16: canonical paths, for any target', () => {
  const pieces = ['/', '.', '%', '2', 'e', 'f', '5', 'c', ';', '\\', 'a', 'A', '#', '?', '\0', '\t']
  const more = ['%2f', '%2e', '%61', '%25', '%C3%A9', '..', 'pub', 'admin', '/pub/', '/admin/', ':']
  const targets = fc
    .array(fc.constantFrom(...pieces, ...more), { maxLength: 12 })
    .map((parts) => `/${parts.join('')}`)
  const base = new URL('https://upstream.example')

  test.each([false, true])('come out as themselves again (encodedSlash %s)', (encodedSlash) => {
    fc.assert(
      fc.property(targets, (target) => {
        const canonical = canonicalPath(target, { encodedSlash })
        if ('code' in canonical) return
        const { path, search } = canonical
        expect(canonicalPath(path + search, { encodedSlash })).toEqual(canonical)
      }),
      { numRuns },
    )
  })

  test.each([false, true])('survive the URL parser (encodedSlash %s)', (encodedSlash) => {
    fc.assert(
      fc.property(targets, (target) => {
        const path = canon(target, encodedSlash)
        if (!path.startsWith('/')) return
        const url = new URL(path, base)
        expect(url.pathname).toBe(path)
        expect(url.origin).toBe(base.origin)
        expect(url.search + url.hash).toBe('')
      }),
      { numRuns },
    )
  })

  const decode = (path: string): string => {
    try {
      return decodeURIComponent(path)
    } catch {
      return path
    }
  }
  const decoders: Record<string, (path: string) => string> = {
    none: (path) => path,
    once: decode,
    twice: (path) => decode(decode(path)),
    parameters: (path) => path.replace(/;[^/]*/g, ''),
    slashes: (path) => path.replace(/\/{2,}/g, '/'),
    dots: (path) => new URL(path, base).pathname,
    all: (path) => new URL(decode(decode(path)).replace(/\\|\/+/g, '/'), base).pathname,
  }
  const mount = (path: string): string => path.split('/')[1] ?? ''

  test.each(Object.keys(decoders))('are under the same mount for a decoder: %s', (name) => {
    fc.assert(
      fc.property(targets, (target) => {
        const path = canon(target)
        if (!path.startsWith('/')) return
        const seen = mount(decoders[name]?.(path) ?? '')
        for (const guarded of ['pub', 'admin']) {
          expect(seen === guarded).toBe(mount(path) === guarded)
        }
      }),
      { numRuns },
    )
  })

  test('with and without encodedSlash are the same where both accept', () => {
    fc.assert(
      fc.property(targets, (target) => {
        const strict = canonicalPath(target)
        if (!('code' in strict))
          expect(canonicalPath(target, { encodedSlash: true })).toEqual(strict)
      }),
      { numRuns },
    )
  })

  test('any string at all is answered, and no accepted path holds a control character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
        const path = canon(`/${text}`)
        if (path.startsWith('/')) expect(path).toMatch(/^[!-~]+$/)
        else expect(path).toBe('request/invalid_path')
      }),
      { numRuns },
    )
  })
})

describe('match', () => {
  test('P7: other spellings of a route are not the route', () => {
    for (const path of ['/ADMIN', '/admin.', '/admin/', '/admin%20', '/admi', '/admin/x', '/']) {
      expect(found([route('/admin')], path)).toBe('route/not_found')
    }
  })

  test('P13: a prefix ends at a segment', () => {
    const routes = [route('/v1/prod/**')]
    expect(found(routes, '/v1/prod-backup')).toBe('route/not_found')
    expect(found(routes, '/v1/prod1')).toBe('route/not_found')
    expect(found(routes, '/v1')).toBe('route/not_found')
    for (const path of ['/v1/prod', '/v1/prod/', '/v1/prod/a/b']) {
      expect(found(routes, path)).toBe('/v1/prod/**')
    }
  })

  test('literal comes before parameter comes before wildcard, at each segment', () => {
    const routes = ['/**', '/a/**', '/a/:x', '/a/b', '/a/:x/c', '/a/b/d', '/:y/b'].map((path) =>
      route(path),
    )
    const expected: Record<string, string> = {
      '/': '/**',
      '/z': '/**',
      '/a': '/a/**',
      '/a/b': '/a/b',
      '/a/z': '/a/:x',
      '/a/b/d': '/a/b/d',
      '/a/b/c': '/a/:x/c',
      '/a/b/z': '/a/**',
      '/z/b': '/:y/b',
      '/z/b/c': '/**',
    }
    for (const [path, id] of Object.entries(expected)) expect(found(routes, path), path).toBe(id)
  })

  test('* stands where a parameter would, and has no name', () => {
    const routes = ['/a/*/c', '/a/b/c', '/a/*', '/a/**'].map((path) => route(path))
    expect(found(routes, '/a/b/c')).toBe('/a/b/c')
    expect(found(routes, '/a/x/c')).toBe('/a/*/c')
    expect(found(routes, '/a/x')).toBe('/a/*')
    expect(found(routes, '/a/')).toBe('/a/**')
    expect({ ...createRouter([platform(routes)]).paramsOf(routes[0]!, '/a/x/c') }).toEqual({})
  })

  test('routes of the named host go before routes of all hosts, and those of another are not there', () => {
    const routes = [
      route('/a/:x', { id: 'all' }),
      route('/a/b', { id: 'exact' }),
      route('/a/**', { id: 'git', hosts: ['git.example'] }),
      route('/only', { id: 'two', hosts: ['git.example', 'www.example'], methods: ['GET'] }),
      route('/only', { id: 'post', methods: ['POST'] }),
    ]
    const ask = (path: string, host: string, method = 'GET') => found(routes, path, method, host)
    expect(ask('/a/b', 'git.example')).toBe('git')
    expect(ask('/a/b', 'www.example')).toBe('exact')
    expect(ask('/a/z', '')).toBe('all')
    expect(ask('/a', 'www.example')).toBe('route/not_found')
    expect(ask('/only', 'git.example')).toBe('two')
    expect(ask('/only', 'www.example')).toBe('two')
    expect(ask('/only', 'api.example')).toBe('route/method_not_allowed')
    // The host's own routes know the path, so they decide of the method too.
    expect(ask('/only', 'git.example', 'POST')).toBe('route/method_not_allowed')
    expect(ask('/only', '__proto__', 'POST')).toBe('post')
  })

  test('P4: an encoded slash on a host of its own asks the route that is found', () => {
    const hosts = ['git.example']
    const routes = [route('/a/:x'), route('/a/:x', { id: 'git', hosts, encodedSlash: true })]
    expect(found(routes, '/a/b%2Fc', 'GET', 'git.example')).toBe('git')
    expect(found(routes, '/a/b%2Fc', 'GET', 'www.example')).toBe('request/invalid_path')
  })

  test('a parameter takes no empty segment', () => {
    expect(found([route('/a/:x')], '/a/')).toBe('route/not_found')
  })

  test('another method is a 405 that names the right ones, and HEAD comes with GET', () => {
    const only = platform([
      route('/a', { id: 'r', methods: ['GET'] }),
      route('/a', { methods: ['PUT'] }),
    ])
    const router = createRouter([only])
    expect(router.match(only, 'POST', '/a', '')).toEqual({
      code: 'route/method_not_allowed',
      headers: { allow: 'GET, HEAD, PUT' },
    })
    expect(router.match(only, 'HEAD', '/a', '')).toMatchObject({ id: 'r' })
    expect(router.match(only, 'PUT', '/a', '')).toMatchObject({ id: '/a' })
    expect(router.match(only, 'get', '/a', '')).toMatchObject({ code: 'route/method_not_allowed' })
    expect(router.match(only, '__proto__', '/a', '')).toMatchObject({
      code: 'route/method_not_allowed',
    })
  })

  test('a method never leads to a less exact route', () => {
    const routes = [route('/a/b', { methods: ['GET'] }), route('/a/:x', { methods: ['POST'] })]
    expect(found(routes, '/a/b', 'POST')).toBe('route/method_not_allowed')
  })

  test('a named method comes before a route that takes all', () => {
    const routes = [route('/a', { id: 'all' }), route('/a', { id: 'named', methods: ['POST'] })]
    expect(found(routes, '/a', 'POST')).toBe('named')
    expect(found(routes, '/a', 'DELETE')).toBe('all')
  })

  test('P4: an encoded slash reaches only a route that has opted in', () => {
    const routes = [route('/open/:x', { encodedSlash: true }), route('/shut/:x')]
    expect(found(routes, '/open/a%2Fb')).toBe('/open/:x')
    expect(found(routes, '/open/a%25')).toBe('/open/:x')
    for (const path of ['/shut/a%2Fb', '/shut/a%25', '/none%2F', '/open%2Fa']) {
      expect(found(routes, path)).toBe('request/invalid_path')
    }
    expect(found(routes, '/shut/a%20b')).toBe('/shut/:x')
  })

  test.each(['/__proto__', '/constructor', '/toString', '/__proto__/__proto__'])(
    'R28: %s is a path like any other',
    (path) => {
      expect(found([route('/a'), route('/a/:x')], path)).toBe('route/not_found')
      expect(found([route(path)], path)).toBe(path)
    },
  )

  test('parameters are decoded, and may have any name', () => {
    const only = route('/a/:constructor/:__proto__')
    const router = createRouter([platform([only])])
    const params = router.paramsOf(only, '/a/x%20y/%C3%A9')
    expect(Object.entries(params)).toEqual([
      ['constructor', 'x y'],
      ['__proto__', 'é'],
    ])
  })

  test('P17: the work is bounded by the patterns, however long the path', () => {
    const names = Array.from({ length: 2 ** 10 }, (_, index) =>
      Array.from({ length: 10 }, (_, bit) => ((index >> bit) & 1 ? 'a' : `:p${bit}`)).join('/'),
    )
    const only = platform(names.map((name) => route(`/${name}/end`)))
    const router = createRouter([only])
    const count = (path: string): number => {
      const lookups = vi.spyOn(Map.prototype, 'get')
      const match = router.match(only, 'GET', path, '')
      const { length } = lookups.mock.calls
      lookups.mockRestore()
      expect(match).toMatchObject({ code: 'route/not_found' })
      return length
    }
    // 2^11 nodes to try at worst, and two lookups before any.
    expect(count('/a'.repeat(11))).toBeLessThanOrEqual(2 ** 11 + 2)
    expect(count('/a'.repeat(2048))).toBeLessThanOrEqual(2 ** 11 + 2)
    expect(count(`/${'a'.repeat(4095)}`)).toBeLessThanOrEqual(4)
  })
})

describe('platformFor', () => {
  const [a, b, c] = [
    platform([], { slug: 'a', hosts: ['a.example', '[::1]'] }),
    platform([], { slug: 'b', hosts: ['b.example'], port: 8788 }),
    platform([], { slug: 'c', port: 8789 }),
  ]
  const router = createRouter([a, b, c])

  test('H5: a host that is not named exactly is nobody', () => {
    for (const host of [
      '',
      'xa.example',
      'a.example.evil',
      'a.example.',
      '__proto__',
      'evil-a.example',
    ]) {
      expect(router.platformFor(host, 8787), host).toBeNull()
    }
  })

  test('a platform is found by its host, or on its own port under any host', () => {
    expect(router.platformFor('a.example', 8787)).toBe(a)
    expect(router.platformFor('[::1]', 8787)).toBe(a)
    expect(router.platformFor('b.example', 8787)).toBe(b)
    expect(router.platformFor('127.0.0.1', 8788)).toBe(b)
    expect(router.platformFor('127.0.0.1', 8789)).toBe(c)
  })

  test("another platform's host on a platform's own port is nobody", () => {
    expect(router.platformFor('a.example', 8788)).toBeNull()
    expect(router.platformFor('a.example', 8789)).toBeNull()
  })

  test('the only platform serves every host when it names none, and no other when it does', () => {
    const open = platform([])
    expect(createRouter([open]).platformFor('anything', 1)).toBe(open)
    expect(createRouter([a]).platformFor('anything', 1)).toBeNull()
  })
})

describe('createRouter refuses', () => {
  test.each([
    ['a', 'must start with /'],
    ['/a/', 'has an empty segment'],
    ['/a//b', 'has an empty segment'],
    ['/**/a', 'has ** before its last segment'],
    ['/a*', 'has a * inside a segment'],
    ['/(.*)', 'has a * inside a segment'],
    ['/:a-b', 'has a parameter named "a-b"'],
    ['/:', 'has a parameter named ""'],
    ['/:a/:a', 'names :a twice'],
    ['/a;b', 'has "a;b"'],
    ['/..', 'is not in canonical form'],
    ['/%61', 'is not in canonical form'],
    ['/a%2Fb', 'is not in canonical form'],
    ['/a'.repeat(21), 'has more than 20 segments'],
  ])('the pattern %s', (path, reason) => {
    expect(() => createRouter([platform([route(path)])])).toThrow(reason)
  })

  test('two routes for one method of one path', () => {
    const twice = (one: Partial<Route>, other: Partial<Route>) => () =>
      createRouter([platform([route('/a/:x', one), route('/a/:y', { id: 'second', ...other })])])
    expect(twice({}, {})).toThrow('route second')
    expect(twice({ methods: ['GET', 'PUT'] }, { methods: ['PUT'] })).toThrow('route second')
    expect(twice({ methods: ['GET'] }, { methods: ['HEAD'] })).not.toThrow()
    expect(twice({ path: '/a/*' }, {})).toThrow('route second')
    expect(twice({ hosts: ['a.b'] }, { hosts: ['c.d', 'a.b'] })).toThrow('route second')
    expect(twice({ hosts: ['a.b'] }, { hosts: ['c.d'] })).not.toThrow()
    expect(twice({ hosts: ['a.b'] }, {})).not.toThrow()
  })

  test('two platforms for one host or one port', () => {
    const pair = (more: Partial<Platform>) => () =>
      createRouter([platform([], more), platform([], { slug: 'two', ...more })])
    expect(pair({ hosts: ['a.example'] })).toThrow('one and two both claim a.example')
    expect(pair({ port: 8788 })).toThrow('one and two both claim 8788')
  })

  test('to match for a platform it was not given', () => {
    expect(() => createRouter([]).match(platform([]), 'GET', '/', '')).toThrow('plt_1')
  })
})
