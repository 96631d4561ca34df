import { describe, expect, it } from 'vitest'
import { docsPage } from '../../src/docs/pages.ts'
import { stylesheet } from '../../src/docs/style.ts'

const [light = '', dark = ''] = stylesheet.split('@media (prefers-color-scheme: dark)')
const colours = (css: string): Record<string, string> =>
  Object.fromEntries(
    [...css.matchAll(/--(\w+): (#[0-9a-f]{6})/g)].map(([, name, hex]) => [name, hex]),
  )

/** WCAG 2.2, relative luminance. */
function luminance(hex: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const channel = Number.parseInt(hex.slice(at, at + 2), 16) / 255
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}

function contrast(a: string, b: string): number {
  const [low = 0, high = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y)
  return (high + 0.05) / (low + 0.05)
}

describe('the stylesheet', () => {
  it('is served as CSS', () => {
    expect(docsPage('/docs/style.css', null)).toMatchObject({
      status: 200,
      headers: { 'content-type': 'text/css; charset=utf-8' },
      body: stylesheet,
    })
  })

  it.each([
    ['light', light],
    ['dark', dark],
  ])('%s: every text colour has a contrast of 4.5:1 on every ground', (_, css) => {
    const found = colours(css)
    for (const text of ['text', 'muted', 'link']) {
      for (const ground of ['page', 'block']) {
        expect(
          contrast(found[text] ?? '', found[ground] ?? ''),
          `${text}/${ground}`,
        ).toBeGreaterThan(4.5)
      }
    }
  })

  it('both themes set every colour, and colours stand nowhere else', () => {
    expect(Object.keys(colours(dark))).toEqual(Object.keys(colours(light)))
    expect(light).toContain('color-scheme: light dark')
    const used = [...stylesheet.matchAll(/var\(--(\w+)\)/g)].map(([, name]) => name ?? '')
    for (const name of used) expect(colours(light)).toHaveProperty(name)
    expect(stylesheet.replaceAll(/--\w+: #[0-9a-f]{6}/g, '')).not.toMatch(/#[0-9a-f]{3}/)
  })

  it('fits 360 pixels and loads nothing: no fixed widths, no url(), no import', () => {
    expect(stylesheet).not.toMatch(/(?<!max-)width:\s*[\d.]+(px|rem)|url\(|@import|!important/)
  })
})
