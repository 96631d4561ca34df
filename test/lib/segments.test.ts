import { describe, expect, test } from 'vitest'
import { createSegmentTree, parsePattern } from '../../src/lib/segments.ts'

describe('parsePattern', () => {
  test.each([
    ['', 'must start with /'],
    ['a/b', 'must start with /'],
    ['/a//b', 'has an empty segment'],
    ['/a/**/b', 'has ** before its last segment'],
    ['/a/b*', 'has a * inside a segment; * is a whole one, a last ** the rest'],
    ['/a/***', 'has a * inside a segment; * is a whole one, a last ** the rest'],
    ['/:*', 'has a * inside a segment; * is a whole one, a last ** the rest'],
    ['/:9', 'has a parameter named "9"; use letters, digits and _'],
    ['/a b', 'has "a b", which no path can hold'],
    [`${'/a'.repeat(21)}`, 'has more than 20 segments'],
  ])('%j is refused, and it says why', (pattern, reason) => {
    expect(parsePattern(pattern)).toBe(reason)
  })

  test('literals, parameters, * and a last ** are read', () => {
    expect(parsePattern('/')).toEqual([])
    expect(parsePattern('/v1/:id/*/*/**')).toEqual([
      { kind: 'literal', text: 'v1' },
      { kind: 'parameter', name: 'id' },
      { kind: 'parameter', name: null },
      { kind: 'parameter', name: null },
      { kind: 'rest' },
    ])
  })
})

describe('createSegmentTree', () => {
  const treeOf = (...patterns: string[]) => {
    const tree = createSegmentTree<string>()
    for (const pattern of patterns) {
      const segments = parsePattern(pattern)
      if (typeof segments === 'string') throw new Error(segments)
      tree.place(segments, () => pattern)
    }
    return tree
  }

  test('what is not there is null', () => {
    expect(treeOf().find('/')).toBeNull()
    expect(treeOf('/a/:x').find('/a')).toBeNull()
    expect(treeOf('/a/:x').find('/a/b/c')).toBeNull()
    expect(treeOf('/').find('/a')).toBeNull()
  })

  test('patterns that differ in names only are one place, and the first value stays', () => {
    expect(treeOf('/a/:x', '/a/:y').find('/a/1')).toBe('/a/:x')
  })

  test('* takes exactly one segment, as a parameter does: they are one place', () => {
    const tree = treeOf('/a/*', '/a/:x', '/a/*/c')
    expect(tree.find('/a/b')).toBe('/a/*')
    expect(tree.find('/a/b/c')).toBe('/a/*/c')
    for (const path of ['/a', '/a/', '/a/b/', '/a/b/c/d']) expect(tree.find(path)).toBeNull()
  })

  test('** takes nothing, one segment, or all the rest', () => {
    const tree = treeOf('/a/**')
    for (const path of ['/a', '/a/', '/a/b', `/a${'/b'.repeat(2000)}`]) {
      expect(tree.find(path)).toBe('/a/**')
    }
  })

  test('a literal that leads nowhere gives way to the parameter beside it', () => {
    expect(treeOf('/a/b/c', '/:x/b/d').find('/a/b/d')).toBe('/:x/b/d')
  })
})
