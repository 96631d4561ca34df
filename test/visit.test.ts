import { describe, expect, test } from 'vitest'
import { StoreDown } from '../src/context.ts'
import { DatabaseFault } from '../src/db/fault.ts'
import { Problem, problems, type Refusal } from '../src/problem.ts'
import { isFailedProof, must, refusalOf } from '../src/visit.ts'

describe('what is thrown becomes a refusal', () => {
  const secret = 'SECRET_VALUE'
  const thrown: readonly [string, unknown, string][] = [
    ['anything', new Error(secret), 'internal/error'],
    ['what is no error at all', secret, 'internal/error'],
    ['nothing', undefined, 'internal/error'],
    ['a store that is away', new StoreDown('gone'), 'storage/unavailable'],
    ['a unique violation', new DatabaseFault('23505'), 'resource/conflict'],
    ['another constraint', new DatabaseFault('23514'), 'request/invalid'],
    ['a value that does not fit', new DatabaseFault('22001'), 'request/invalid'],
    ['a serialization failure', new DatabaseFault('40001'), 'storage/unavailable'],
    ['a deadlock', new DatabaseFault('40P01'), 'storage/unavailable'],
    ['a statement that is wrong', new DatabaseFault('42601'), 'internal/error'],
    ['a privilege that is missing', new DatabaseFault('42501'), 'internal/error'],
    ['a Problem', new Problem('tenant/missing'), 'tenant/missing'],
  ]
  test.each(thrown)('%s', (_, error, code) => {
    const refusal = refusalOf(error)
    expect(refusal.code).toBe(code)
    // What broke is for the log; the caller is told nothing of it.
    expect(refusal.detail ?? '').not.toContain(secret)
    if (code === 'internal/error') expect(refusal).toEqual({ code, cause: expect.any(String) })
  })
})

describe('must', () => {
  const refusal: Refusal = { code: 'tenant/mismatch' }

  test.each([refusal, { ok: false as const, refusal }])('throws what refuses: %j', (verdict) => {
    let thrown: unknown
    try {
      must(verdict)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(Problem)
    expect(refusalOf(thrown)).toMatchObject(refusal)
  })

  test('lets everything else through, as it is', () => {
    const verdict = { ok: true as const, tenant: 'a' }
    expect(must(verdict)).toBe(verdict)
    expect(must(null)).toBeNull()
  })
})

test('L14: a 401 is charged to the address, but for a missing key; nothing else is', () => {
  // Codes are the names of the table.
  const codes = Object.keys(problems) as Refusal['code'][]
  const charged = codes.filter((code) => isFailedProof({ code })).sort()
  expect(charged).toEqual([
    'auth/invalid_key',
    'auth/key_disabled',
    'auth/key_expired',
    'auth/key_revoked',
    'auth/malformed_key',
  ])
})
