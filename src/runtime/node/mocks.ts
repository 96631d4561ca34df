/** The mocks of platforms whose config names an OpenAPI document, read from disk. */
import type { Platform } from '../../context.ts'
import { createMock, type Mock } from '../../mock/mock.ts'
import { readOpenApi } from './openapi.ts'

export type Mocks = {
  /** null: the platform names no document. */
  of(platform: string): Mock | null
  /**
   * Reads the documents anew, and takes them all when all are good. Rejects with a sentence when one
   * is not; then those from before stay. Of several at the same time the last call counts.
   */
  load(platforms: readonly Platform[]): Promise<void>
}

/** No mocks yet. */
export function createMocks(): Mocks {
  let mocks: ReadonlyMap<string, Mock> = new Map()
  let calls = 0
  return {
    of: (platform) => mocks.get(platform) ?? null,
    async load(platforms) {
      calls += 1
      const call = calls
      const next = new Map<string, Mock>()
      for (const { id, openapi } of platforms) {
        if (openapi !== null) next.set(id, createMock(await readOpenApi(openapi)))
      }
      if (call === calls) mocks = next
    },
  }
}
