import { describe, expect, test } from 'vitest'
import { nearest, suggest } from '../../src/lib/nearest.ts'

const known = ['path', 'methods', 'handler', 'permission', 'classes', 'environments', 'body']

describe('nearest', () => {
  test.each([
    ['zebra', null],
    ['', null],
    ['x', null],
    ['pa', null],
    ['constructor', null],
    ['pth', 'path'],
    ['paht', 'path'],
    ['PATH', 'path'],
    ['method', 'methods'],
    ['permisions', 'permission'],
    ['perm', 'permission'],
    ['env', 'environments'],
    ['clases', 'classes'],
  ])('%s -> %s', (name, meant) => {
    expect(nearest(name, known)).toBe(meant)
  })

  test('takes time bounded by the known names, however long the name', () => {
    expect(nearest('path'.repeat(1_000_000), known)).toBeNull()
  })
})

describe('suggest', () => {
  test('names the near one, else all there are, else nothing', () => {
    expect(suggest('pth', known)).toBe('did you mean "path"?')
    expect(suggest('zebra', ['test', 'live'])).toBe('known here: test, live')
    expect(suggest('zebra', [])).toBeUndefined()
  })

  test('lists no more than twenty', () => {
    const many = Array.from(
      { length: 30 },
      (_, index) => `field${'abcdefghijklmnopqrstuvwxyzABCD'[index]}`,
    )
    expect(suggest('zebra', many)?.split(', ')).toHaveLength(21)
  })
})
