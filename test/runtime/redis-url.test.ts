import { describe, expect, it } from 'vitest'
import { parseRedisUrl } from '../../src/runtime/redis-url.ts'

describe('Redis URLs', () => {
  it.each([
    '',
    'localhost:6379',
    'http://localhost',
    'redis://',
    'redis://h:notaport',
    'redis://h:0',
    'redis://h:70000',
    'redis://h:1/db',
    'redis://h:1,',
    'redis+cluster://h:1/1',
    'redis+sentinel://h:1',
    'redis+sentinel://h:1/name/one',
    'redis+other://h:1',
    'redis://user:pass word@h:1@x',
    'redis://h:1?x=1',
  ])('%j is refused', (url) => {
    expect(() => parseRedisUrl(url)).toThrow(RangeError)
  })

  it('a refusal repeats no credentials', () => {
    expect(() => parseRedisUrl('redis://user:hunter2@h:nope')).not.toThrow(/hunter2/)
  })

  const [a, b] = [
    { host: 'a', port: 1 },
    { host: 'b', port: 2 },
  ]
  it.each([
    ['redis://a:1', { kind: 'single', endpoints: [a], tls: false, db: 0, username: undefined }],
    ['redis://a/3', { kind: 'single', endpoints: [{ host: 'a', port: 6379 }], db: 3 }],
    ['rediss://u:p%40ss@a:1', { tls: true, username: 'u', password: 'p@ss' }],
    ['redis://:p@a:1', { username: undefined, password: 'p' }],
    ['redis://[::1]:7', { endpoints: [{ host: '::1', port: 7 }] }],
    ['redis+cluster://a:1,b:2', { kind: 'cluster', endpoints: [a, b] }],
    ['rediss+cluster://a:1', { kind: 'cluster', tls: true }],
    ['redis://a:1,redis://b:2', { kind: 'cluster', endpoints: [a, b] }],
    ['redis://a:1, redis://b:2', { kind: 'cluster', endpoints: [a, b] }],
    ['redis://u:p@a:1,b:2', { kind: 'cluster', endpoints: [a, b], username: 'u' }],
    [
      'redis+sentinel://:p@a:1,b/main',
      { kind: 'sentinel', endpoints: [a, { host: 'b', port: 26379 }], primary: 'main', db: 0 },
    ],
    ['redis+sentinel://a:1/main/2', { kind: 'sentinel', primary: 'main', db: 2 }],
  ])('%s', (url, expected) => {
    expect(parseRedisUrl(url)).toMatchObject(expected)
  })
})
