/**
 * A page as data, and its two forms: HTML for people, Markdown for terminals and agents. It knows
 * nothing of what the pages say. The danger is a value that becomes markup, so text reaches HTML
 * through `escapeHtml` alone, and pages hold no script, no inline style and no foreign address.
 */

/** Text: plain but for `code` in backticks and [links](/docs/errors) to paths of this host. */
export type Block =
  | { readonly kind: 'heading'; readonly text: string }
  | { readonly kind: 'paragraph'; readonly text: string }
  | { readonly kind: 'code'; readonly text: string }
  | { readonly kind: 'list'; readonly items: readonly string[] }
  | {
      readonly kind: 'table'
      readonly head: readonly string[]
      readonly rows: readonly (readonly string[])[]
    }

export type Page = {
  readonly title: string
  readonly blocks: readonly Block[]
  /** Where its Markdown form is, and the page above it (null: none). */
  readonly markdownPath: string
  readonly parentPath: string | null
}

const replacements: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Makes any text safe between tags and in quoted attributes. */
export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => replacements[character] ?? '')

/** Odd pieces of the split are backticked code or a link; even ones are plain. */
const inlinePieces = /(`[^`]*`|\[[^\]]+\]\(\/[^)\s]*\))/

const inlineHtml = (text: string): string => text.split(inlinePieces).map(pieceHtml).join('')

function pieceHtml(piece: string, index: number): string {
  if (index % 2 === 0) return escapeHtml(piece)
  if (piece.startsWith('`')) return `<code>${escapeHtml(piece.slice(1, -1))}</code>`
  const end = piece.indexOf('](')
  const href = escapeHtml(piece.slice(end + 2, -1))
  return `<a href="${href}">${inlineHtml(piece.slice(1, end))}</a>`
}

function blockHtml(block: Block): string {
  if (block.kind === 'heading') return `<h2>${inlineHtml(block.text)}</h2>`
  if (block.kind === 'paragraph') return `<p>${inlineHtml(block.text)}</p>`
  // A region that scrolls has to take the focus, or it cannot be scrolled without a mouse.
  if (block.kind === 'code') return `<pre tabindex="0"><code>${escapeHtml(block.text)}</code></pre>`
  if (block.kind === 'list') {
    return `<ul>${block.items.map((item) => `<li>${inlineHtml(item)}</li>`).join('')}</ul>`
  }
  const row = (cells: readonly string[], open: string, close: string) =>
    `<tr>${cells.map((cell) => open + inlineHtml(cell) + close).join('')}</tr>`
  const body = block.rows.map((cells) => row(cells, '<td>', '</td>')).join('')
  return `<table><thead>${row(block.head, '<th scope="col">', '</th>')}</thead><tbody>${body}</tbody></table>`
}

/** The page as one HTML document; its only resource is /docs/style.css. */
export function toHtml(page: Page): string {
  const up = page.parentPath === null ? '' : `<a href="${escapeHtml(page.parentPath)}">Up</a> · `
  const markdown = escapeHtml(page.markdownPath)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(page.title)}</title>
<link rel="stylesheet" href="/docs/style.css">
<link rel="alternate" type="text/markdown" href="${markdown}">
</head>
<body>
<nav>${up}<a href="/docs">Docs</a> · <a href="${markdown}">Markdown</a></nav>
<main>
<h1>${escapeHtml(page.title)}</h1>
${page.blocks.map(blockHtml).join('\n')}
</main>
</body>
</html>
`
}

function blockMarkdown(block: Block): string {
  if (block.kind === 'heading') return `## ${block.text}`
  if (block.kind === 'paragraph') return block.text
  if (block.kind === 'code') return `\`\`\`\n${block.text}\n\`\`\``
  if (block.kind === 'list') return block.items.map((item) => `- ${item}`).join('\n')
  const line = (cells: readonly string[]) => `| ${cells.join(' | ').replaceAll('\n', ' ')} |`
  return [line(block.head), line(block.head.map(() => '---')), ...block.rows.map(line)].join('\n')
}

/** The same page as Markdown (CommonMark, with pipe tables). */
export const toMarkdown = (page: Page): string =>
  `${[`# ${page.title}`, ...page.blocks.map(blockMarkdown)].join('\n\n')}\n`
