import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createSegmentTree, parsePattern } from '../../src/lib/segments.ts'
import { compileRewrite } from '../../src/proxy/rewrite.ts'
import { canonicalPath } from '../../src/routing.ts'

/** The rewritten path; throws the fault of a template that is none. */
function rewritten(pattern: string, template: string, path: string): string {
  const rewrite = compileRewrite(pattern, template)
  if (typeof rewrite === 'string') throw new Error(rewrite)
  return rewrite(path)
}

describe('a template is refused', () => {
  test.each([
    ['/a/:x', '/:y', 'has a :y that the path does not have'],
    ['/a', '/**', 'has a ** that the path does not have'],
    ['/a/**', '/*/b', 'has a *, which has no name to take it by'],
    ['/a/*', '/*', 'has a *, which has no name to take it by'],
    ['/a/**', '/**/b', 'has ** before its last segment'],
    ['/a/:x', '/:x/:x', 'names :x twice'],
    ['/a/:x', 'b/:x', 'must start with /'],
    ['/a/:x', '/b-:x.json*', 'has a * inside a segment; * is a whole one, a last ** the rest'],
    ['/a/**', '/%61/**', 'has an escape in a literal'],
    ['/a/**', '/%2e%2e/**', 'has an escape in a literal'],
    ['/a/**', '/../**', 'has a dot segment'],
    ['/a/**', '/./**', 'has a dot segment'],
    ['a', '/', 'cannot be made of a path that must start with /'],
  ])('%s -> %s: %s', (pattern, template, fault) => {
    expect(compileRewrite(pattern, template)).toBe(fault)
  })

  test.each([
    '@evil/x',
    '\\evil',
    '//evil',
    ':80@evil',
    '/\\evil',
    '/a//evil',
    'http://evil/',
    '/a?b',
    '/a#b',
    '/a b',
    '',
  ])('S5: %j could become an authority, or more than a path', (template) => {
    expect(compileRewrite('/**', template)).toBeTypeOf('string')
  })
})

describe('a path is rewritten', () => {
  test.each([
    ['/git/**', '/**', '/git', '/'],
    ['/git/**', '/**', '/git/', '/'],
    ['/git/**', '/**', '/git/a', '/a'],
    ['/git/**', '/**', '/git/a/b/', '/a/b/'],
    ['/git/**', '/**', '/git/git/a', '/git/a'],
    ['/git/**', '/repos/**', '/git', '/repos'],
    ['/git/**', '/repos/**', '/git/', '/repos/'],
    ['/git/**', '/repos/**', '/git/a%20b/c%2Fd', '/repos/a%20b/c%2Fd'],
    ['/git/**', '/', '/git/a/b', '/'],
    ['/git/**', '/one/two', '/git/a/b', '/one/two'],
    ['/**', '/x/**', '/', '/x'],
    ['/**', '/x/**', '/a', '/x/a'],
    ['/**', '/**', '/', '/'],
    ['/', '/health', '/', '/health'],
    ['/v1/:id', '/items/:id', '/v1/a%2Fb', '/items/a%2Fb'],
    ['/:a/:b/**', '/:b/x/:a/**', '/1/2/3/4', '/2/x/1/3/4'],
    ['/:a/:b/**', '/:b/**', '/1/2', '/2'],
    ['/:a/*/:b/**', '/:b/**', '/1/2/3/', '/3/'],
    ['/:a/*/c', '/:a', '/1/2/c', '/1'],
    ['/:__proto__', '/x/:__proto__', '/constructor', '/x/constructor'],
    ['/a/:x', '/:x', '/a/:y', '/:y'],
  ])('%s -> %s: %s becomes %s', (pattern, template, path, becomes) => {
    expect(rewritten(pattern, template, path)).toBe(becomes)
  })
})

describe('P14 P16: for any path that the pattern takes', () => {
  const inner = fc.constantFrom<string[]>('x', 'v1', ':a', ':b', ':c', '*', '@', 'a:80')
  const last = fc.constantFrom<string[][]>([], ['**'])
  const joined = ([parts, rest]: [string[], string[]]) => `/${[...parts, ...rest].join('/')}`
  const patterns = fc.tuple(fc.uniqueArray(inner, { maxLength: 5 }), last).map(joined)
  const templateFor = (pattern: string) => {
    const named: string[] = pattern.match(/:[abc]|\*\*/g) ?? []
    const parts = fc.constantFrom(
      'y',
      '@evil',
      '@evil:80',
      ...named.filter((name) => name !== '**'),
    )
    const rest = named.includes('**') ? last : fc.constant<string[]>([])
    return fc.tuple(fc.uniqueArray(parts, { maxLength: 4 }), rest).map(joined)
  }
  const pieces = ['x', 'a:80', '@', '%2F', '%25', '%C3%A9', '.', '..', '%20', '%2E', ';', '\\', '']
  const value = fc.array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 3 })
  const segment = value.map((parts) => parts.join(''))
  /** Targets that the pattern takes, if they have a canonical form at all. */
  const targetFor = (pattern: string) => {
    const parts = pattern.slice(1).split('/')
    const taken = parts.map((part) => {
      if (part === '**') return fc.array(segment, { maxLength: 3 })
      return /^[:*]/.test(part) ? segment.map((text) => [text]) : fc.constant([part])
    })
    return fc.tuple(...taken).map((lists) => `/${lists.flat().join('/')}`)
  }
  const cases = patterns.chain((pattern) =>
    fc.tuple(fc.constant(pattern), templateFor(pattern), targetFor(pattern)),
  )

  test('the result is canonical, and of the same origin', () => {
    let judged = 0
    fc.assert(
      fc.property(cases, ([pattern, template, target]) => {
        const canonical = canonicalPath(target, { encodedSlash: true })
        const segments = parsePattern(pattern)
        const rewrite = compileRewrite(pattern, template)
        if (typeof segments === 'string' || typeof rewrite === 'string') {
          throw new Error(`${pattern} -> ${template} was refused`)
        }
        const tree = createSegmentTree<true>()
        tree.place(segments, () => true)
        if ('code' in canonical || tree.find(canonical.path) === null) return
        judged++
        const result = rewrite(canonical.path)
        expect(canonicalPath(result, { encodedSlash: true })).toEqual({ path: result, search: '' })
        const url = new URL(result, 'https://upstream.example')
        expect(url.origin + url.pathname).toBe(`https://upstream.example${result}`)
      }),
      { numRuns: Number(process.env.FUZZ_RUNS ?? 5000) },
    )
    expect(judged).toBeGreaterThan(100)
  })
})
