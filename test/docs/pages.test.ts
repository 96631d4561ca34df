import { describe, expect, it } from 'vitest'
import { docsPage } from '../../src/docs/pages.ts'
import { type ProblemCode, problems, renderProblem } from '../../src/problem.ts'

// Object.keys forgets that these are codes.
const codes = Object.keys(problems) as ProblemCode[]
const paths = ['/docs', '/docs/errors', ...codes.map((code) => `/docs/errors/${code}`)]
const markdownOf = (path: string) => (path === '/docs' ? '/docs/index.md' : `${path}.md`)

const page = (path: string, accept: string | null = null) => {
  const answer = docsPage(path, accept)
  if (answer === null) throw new Error(`${path} has no page`)
  return answer
}

describe('which page', () => {
  it.each([
    '',
    '/',
    'docs',
    '/Docs',
    '/docs//errors',
    '/docs//',
    '/docs.md',
    '/docs/style.css/',
    '/docs/style.css.md',
    '/docs/errors/auth',
    '/docs/errors/nothing',
    '/docs/errors/auth/invalid_key.md/',
    '/docs/errors/auth/invalid_key.md.md',
    '/docs/errors/auth/invalid_key.html',
    '/docs/errors/auth/%69nvalid_key',
    '/docs/errors/../errors',
    '/docs/errors/__proto__',
    '/docs/errors/constructor',
    '/docs/errors/toString/x',
    '/docs/errors?x=1',
    `/docs/errors/${'a'.repeat(100_000)}`,
  ])('%.60s is nobody: null', (path) => {
    expect(docsPage(path, null)).toBeNull()
    expect(docsPage(path, 'text/markdown')).toBeNull()
  })

  it.each(paths)('%s: is HTML, with one slash at the end too, and Markdown under .md', (path) => {
    expect(page(path).headers['content-type']).toBe('text/html; charset=utf-8')
    expect(page(`${path}/`)).toBe(page(path))
    expect(page(markdownOf(path)).headers['content-type']).toBe('text/markdown; charset=utf-8')
    expect(page(path, 'text/markdown')).toBe(page(markdownOf(path)))
  })

  it.each([
    ['*/*', 'html'],
    ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 'html'],
    ['text/markdown;q=0, */*', 'html'],
    ['text/markdown;q=0.5, text/html', 'html'],
    ['text/markdown;q=0.5, text/*', 'html'],
    ['text/markdown;q=nonsense', 'html'],
    ['text/markdownish', 'html'],
    ['application/json', 'html'],
    ['text/markdown', 'markdown'],
    ['TEXT/Markdown; Q=0.9 , text/html;q=0.8', 'markdown'],
    ['text/markdown, text/html, */*', 'markdown'],
    ['text/markdown, */*;q=0.1', 'markdown'],
  ])('accept: %s gets %s', (accept, form) => {
    const type = page('/docs/errors', accept).headers['content-type']
    expect(type).toBe(`text/${form}; charset=utf-8`)
    expect(page('/docs/errors.md', accept).headers['content-type']).toContain('markdown')
  })

  it('a page is rendered once and shared, so nobody can change it', () => {
    const once = page('/docs/errors')
    expect(page('/docs/errors')).toBe(once)
    expect(Object.isFrozen(once) && Object.isFrozen(once.headers)).toBe(true)
  })
})

describe('what a page says', () => {
  it.each(codes)('%s: the code, its status, and an answer as the gateway gives it', (code) => {
    const { body } = page(`/docs/errors/${code}.md`)
    expect(body).toContain(`\`${code}\` · status ${problems[code].status}`)
    for (const heading of ['## Fix', '## Reproduce', '## Example answer']) {
      expect(body).toContain(heading)
    }
    const example = body.slice(body.indexOf('{\n'), body.lastIndexOf('\n}') + 2)
    expect(JSON.parse(example)).toMatchObject({ code, status: problems[code].status })
  })

  it('the list names every code once, with a link to its page', () => {
    for (const code of codes) {
      expect(page('/docs/errors').body.split(`href="/docs/errors/${code}"`)).toHaveLength(2)
    }
  })

  it('no dead links: type of every refusal, in every vocabulary, is a page', () => {
    for (const vocabulary of ['slash', 'azotte', 'theazo'] as const) {
      for (const code of codes) {
        const context = { requestId: 'r', instance: null, docsBase: 'x', ownDocs: true, vocabulary }
        const { type } = JSON.parse(renderProblem({ code }, context).body)
        expect(docsPage(type, null), type).not.toBeNull()
      }
    }
  })

  it.each(paths)('no dead links: everything %s leads to is there', (path) => {
    const html = [...page(path).body.matchAll(/(?:href|src)="([^"]*)"/g)]
    const markdown = [...page(markdownOf(path)).body.matchAll(/\]\(([^)]*)\)/g)]
    expect(html.length).toBeGreaterThan(2)
    for (const [, target = ''] of [...html, ...markdown]) {
      expect(docsPage(target, null), target).not.toBeNull()
    }
  })
})

describe('what a page cannot do', () => {
  it.each([...paths, '/docs/style.css'])('%s: may load its stylesheet and nothing else', (path) => {
    const { status, headers } = page(path)
    expect(status).toBe(200)
    expect(headers['content-security-policy']?.split('; ').sort()).toEqual([
      "base-uri 'none'",
      "default-src 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
      "style-src 'self'",
    ])
    expect(headers.vary).toBe('accept')
  })

  it.each(paths)('%s: holds no script, style, handler, form, frame or foreign address', (path) => {
    const { body } = page(path)
    const tags = body.match(/<[a-z][^>]*>/gi) ?? []
    for (const tag of tags) {
      expect(tag).not.toMatch(/^<(script|style|iframe|form|img|object|base)\b/i)
      expect(tag).not.toMatch(/\s(on\w+|style)\s*=/i)
      expect(tag).not.toMatch(/=\s*"(?!\/)[a-z]+:/i)
    }
  })

  it.each(paths)('%s: every element is closed in order', (path) => {
    const open: string[] = []
    for (const [, slash, name = ''] of page(path).body.matchAll(/<(\/?)([a-z][a-z0-9]*)[^>]*>/g)) {
      if (slash === '/') expect(open.pop()).toBe(name)
      else if (name !== 'meta' && name !== 'link') open.push(name)
    }
    expect(open).toEqual([])
  })
})
