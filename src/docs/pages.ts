/**
 * Which page of the gateway's own docs answers a path? It knows the error table and the texts beside
 * it, and nothing of platforms, so every host shows the same pages. The paths come from strangers:
 * only a path that is in the table below is rendered or kept, so the cache cannot be made to grow.
 */
import { type ProblemCode, problems, renderProblem } from '../problem.ts'
import { type Block, type Page, toHtml, toMarkdown } from './document.ts'
import { type ErrorPage, errorPages } from './errors.ts'
import { stylesheet } from './style.ts'

/** A finished answer. The same frozen object is given to every caller: copy before you change it. */
export type DocsAnswer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** The keys of the error table, in its order. `Object.keys` forgets that they are codes. */
const codes = Object.keys(problems) as ProblemCode[]

const heading = (text: string): Block => ({ kind: 'heading', text })
const paragraph = (text: string): Block => ({ kind: 'paragraph', text })
const code = (text: string): Block => ({ kind: 'code', text })

const index: Page = {
  title: 'Postern',
  markdownPath: '/docs/index.md',
  parentPath: null,
  blocks: [
    paragraph('This host is guarded by Postern, an API gateway. These pages explain its answers.'),
    paragraph('[All error codes](/docs/errors): what each means, how to fix it, how to see it.'),
    heading('What you send'),
    {
      kind: 'table',
      head: ['Header', 'Meaning'],
      rows: [
        ['`x-api-key`', 'Your API key; or `authorization: Bearer` and the key, not both.'],
        ['`x-tn`', 'The tenant you act for, on APIs whose keys do not imply it.'],
        ['`content-type`', '`application/json` with every body.'],
      ],
    },
    heading('What comes back'),
    {
      kind: 'table',
      head: ['Header', 'Meaning'],
      rows: [
        [
          '`x-request-id`',
          'On every answer, also as `request-id`. Quote it when you ask for help.',
        ],
        ['`ratelimit`', 'What is left of each limit; `ratelimit-policy` says what the limits are.'],
        ['`retry-after`', 'How many seconds to wait, on 429 and 503.'],
        ['`postern-mode`', '`test` when a test key was used.'],
        ['`proxy-status`', 'On a 5xx that the gateway itself made.'],
      ],
    },
    heading('In which order a request is checked'),
    paragraph('The first check that fails answers, so an error also tells what was right so far.'),
    {
      kind: 'list',
      items: [
        'HTTP framing (400, 417, 431, 501)',
        'host (421), path (400, 414), route and method (404, 405)',
        'HTTPS and the type and size of the body (403, 413, 415)',
        'API key (400, 401; 429 after too many failures)',
        'tenant (400, 403)',
        'class and environment of the key, permission, restrictions (403)',
        'limits (429), and then the work itself',
      ],
    },
    heading('Health'),
    paragraph('`/livez` answers while the process runs, `/readyz` says whether it can serve.'),
  ],
}

const list: Page = {
  title: 'Error codes',
  markdownPath: '/docs/errors.md',
  parentPath: '/docs',
  blocks: [
    paragraph('Decide by the top-level `code` of the body. A code never changes its meaning.'),
    {
      kind: 'table',
      head: ['Status', 'Code', 'Cause'],
      rows: codes.map((name) => [
        String(problems[name].status),
        `[\`${name}\`](/docs/errors/${name})`,
        errorPages[name].cause,
      ]),
    },
  ],
}

const vocabularyNote =
  '`error.code` may read otherwise: `authentication_failed` where the API uses the `azotte` vocabulary, `auth/invalid_key` where it uses `theazo` (there also at the top, except for `auth/key_revoked`). `detail` always says which it was.'

function errorPage(name: ProblemCode): Page {
  const { title, status } = problems[name]
  const page: ErrorPage = errorPages[name]
  const run: Block[] =
    page.curl === null
      ? []
      : [
          paragraph('With `npm start` running, in its folder, in bash:'),
          code(`set -a; . ./.env.local; set +a\n${page.curl}`),
        ]
  return {
    title,
    markdownPath: `/docs/errors/${name}.md`,
    parentPath: '/docs/errors',
    blocks: [
      paragraph(`\`${name}\` · status ${status}`),
      paragraph(page.cause),
      heading('Fix'),
      paragraph(page.fix),
      heading('Reproduce'),
      paragraph(page.reproduce),
      ...run,
      heading('Example answer'),
      code(exampleAnswer(name)),
      ...(status === 401 ? [paragraph(vocabularyNote)] : []),
    ],
  }
}

/** Rendered by the code that renders the real ones, so the example cannot go stale. */
function exampleAnswer(name: ProblemCode): string {
  const { status } = problems[name]
  const headers: Record<string, string> = {}
  if (status === 405) headers.allow = 'GET, HEAD, POST'
  if (status === 429) headers['retry-after'] = '12'
  const requestId = 'req_5f0c2d9e8b7a4c6d9e1f2a3b4c5d6e7f'
  const answer = renderProblem(
    { code: name, headers },
    {
      requestId,
      instance: '/v1/subscriptions',
      vocabulary: 'slash',
      docsBase: 'https://api.example.com/docs/errors',
      ownDocs: true,
    },
  )
  const lines = Object.entries({ ...answer.headers, 'x-request-id': requestId })
  const head = lines.map(([header, value]) => `${header}: ${value}`).join('\n')
  return `HTTP/1.1 ${status}\n${head}\n\n${JSON.stringify(JSON.parse(answer.body), null, 2)}`
}

/** Every page there is, by the path of its HTML form; built when it is first asked for. */
const pages = new Map<string, () => Page>([
  ['/docs', () => index],
  ['/docs/errors', () => list],
  ...codes.map((name) => [`/docs/errors/${name}`, () => errorPage(name)] as const),
])

const markdownPaths = new Map<string, string>(
  [...pages.keys()].map((path) => [path === '/docs' ? '/docs/index.md' : `${path}.md`, path]),
)

/** At most two forms of each page, and the stylesheet. */
const rendered = new Map<string, DocsAnswer>()

/**
 * The answer to a GET of `path` (without query), or null when there is no such page. A page is
 * Markdown when the path ends in `.md` or `accept` names `text/markdown` no lower than HTML.
 */
export function docsPage(path: string, accept: string | null): DocsAnswer | null {
  if (path === '/docs/style.css') return keep(path, () => answer('text/css', stylesheet))
  const asMarkdown = markdownPaths.get(path)
  const known = asMarkdown ?? (path.endsWith('/') ? path.slice(0, -1) : path)
  const build = pages.get(known)
  if (build === undefined) return null
  if (asMarkdown !== undefined || prefersMarkdown(accept)) {
    return keep(`${known}.md`, () => answer('text/markdown', toMarkdown(build())))
  }
  return keep(known, () => answer('text/html', toHtml(build())))
}

function keep(name: string, render: () => DocsAnswer): DocsAnswer {
  const found = rendered.get(name)
  if (found !== undefined) return found
  const made = render()
  rendered.set(name, made)
  return made
}

function answer(type: string, body: string): DocsAnswer {
  const headers = Object.freeze({
    'content-type': `${type}; charset=utf-8`,
    'cache-control': 'public, max-age=300',
    // Nothing may run, load or embed but our own stylesheet.
    'content-security-policy':
      "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    vary: 'accept',
  })
  return Object.freeze({ status: 200, headers, body })
}

/** RFC 9110 section 12.5.1, for the two types there are. A wildcard alone means HTML. */
function prefersMarkdown(accept: string | null): boolean {
  if (accept === null || !/text\/markdown/i.test(accept)) return false
  const quality = new Map<string, number>()
  for (const range of accept.split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase())
    const q = parameters.find((parameter) => parameter.startsWith('q='))
    quality.set(type, q === undefined ? 1 : Number(q.slice(2)))
  }
  const markdown = quality.get('text/markdown') ?? 0
  const html = quality.get('text/html') ?? quality.get('text/*') ?? quality.get('*/*') ?? 0
  return markdown > 0 && markdown >= html
}
