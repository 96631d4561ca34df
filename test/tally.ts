import type { TestModule } from 'vitest/node'

/** What the closing line counts, read from the part of vitest's report that it needs. */
export type Report = {
  readonly state: () => ReturnType<TestModule['state']>
  readonly errors: () => readonly unknown[]
  readonly children: {
    allTests(): Iterable<{ result(): { readonly state: string } }>
    allSuites(): Iterable<{ errors(): readonly unknown[] }>
  }
}

/**
 * Counts so that nothing is lost: a test that neither passed nor was left out by a name pattern
 * (`picked`) has failed, and so has, once more, each file or group that broke outside its tests
 * and each error that belongs to none.
 */
export function countResults(
  reports: readonly Report[],
  strayErrors: number,
  picked: boolean,
): { passed: number; failed: number } {
  let passed = 0
  let failed = strayErrors
  for (const report of reports) {
    for (const test of report.children.allTests()) {
      const { state } = test.result()
      if (state === 'passed') passed += 1
      else if (state !== 'skipped' || !picked) failed += 1
    }
    for (const suite of report.children.allSuites()) failed += suite.errors().length
    failed += report.errors().length
    if (report.state() === 'pending' || report.state() === 'queued') failed += 1
  }
  return { passed, failed }
}
