import { describe, expect, it } from 'vitest'
import { type Block, escapeHtml, toHtml, toMarkdown } from '../../src/docs/document.ts'

const pageOf = (...blocks: Block[]) => ({
  title: 'T',
  markdownPath: '/t.md',
  parentPath: null,
  blocks,
})

const hostile = `<script>alert("1")</script>' onload='x' &lt; <img src=x>`
const everywhere: Block[] = [
  { kind: 'heading', text: hostile },
  { kind: 'paragraph', text: `${hostile} \`${hostile}\` [${hostile}](/docs)` },
  { kind: 'code', text: hostile },
  { kind: 'list', items: [hostile] },
  { kind: 'table', head: [hostile], rows: [[hostile]] },
]

describe('a page as HTML', () => {
  it('text that looks like markup stays text, wherever it stands', () => {
    const page = { ...pageOf(...everywhere), title: hostile, parentPath: hostile }
    const html = toHtml({ ...page, markdownPath: hostile })
    expect(html).not.toMatch(/<script|<img|alert\("/)
    const tags = html.match(/<[^>]*>/g) ?? []
    for (const tag of tags) expect(tag).not.toContain("'")
  })

  it.each([
    ['[x](https://evil.example)', '[x](https://evil.example)'],
    ['[x](javascript:alert)', '[x](javascript:alert)'],
    ['[x](/docs"onclick)', '<a href="/docs&quot;onclick">x</a>'],
    ['[`x`](/docs)', '<a href="/docs"><code>x</code></a>'],
    ['`[x](/docs)`', '<code>[x](/docs)</code>'],
    ['a `b', 'a `b'],
  ])('%s becomes %s', (text, expected) => {
    expect(toHtml(pageOf({ kind: 'paragraph', text }))).toContain(`<p>${expected}</p>`)
  })

  it('escapes the five characters that HTML gives a meaning to', () => {
    expect(escapeHtml(`&<>"'x`)).toBe('&amp;&lt;&gt;&quot;&#39;x')
  })
})

describe('a page as Markdown', () => {
  it('holds the same blocks', () => {
    expect(
      toMarkdown(
        pageOf(
          { kind: 'heading', text: 'H' },
          { kind: 'code', text: 'a\nb' },
          { kind: 'list', items: ['x', 'y'] },
          { kind: 'table', head: ['k', 'v'], rows: [['1', '2']] },
        ),
      ),
    ).toBe('# T\n\n## H\n\n```\na\nb\n```\n\n- x\n- y\n\n| k | v |\n| --- | --- |\n| 1 | 2 |\n')
  })
})
