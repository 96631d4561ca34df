/**
 * Answers from an OpenAPI document instead of the service that it describes: the room's one door.
 *
 *     const sources = await gather(url, load)            // sources.ts; `load` reads the files
 *     const document = readDocument(sources, { basePath: null })
 *     const mock = createMock(document)
 *     mock.answer(call, { seed: 'plt_x/test/tenant_a', now })
 *
 * It knows nothing of keys, tenants and limits: whoever calls it has let the caller pass. Nothing of a
 * document is ever run, no connection is opened, and what it remembers is bounded by the document.
 */
import type { World } from '../context.ts'
import type { FieldError, Refusal } from '../problem.ts'
import { type Called, createAnswering, type MockAnswer, type MockSetting } from './answer.ts'
import { faultAt } from './check.ts'
import type { ApiDocument, Operation } from './document.ts'
import { createJudge, type MockCall } from './request.ts'
import { createSampler } from './sample.ts'
import { createValidator } from './schema.ts'
import { createTemplates } from './template.ts'
import { createVariants } from './variants.ts'
import { createRemembering } from './world.ts'

export type Mock = {
  /**
   * Answers a call: 400 `request/invalid` with `errors` or 415 when it is not what the document
   * describes, 501 `mock/no_response` when the document says too little. Does not throw.
   */
  answer(call: MockCall, setting: MockSetting): MockAnswer | Refusal
  /**
   * The same from a world that remembers what was sent before: also 404 and 409. Rejects when the
   * world's store does not answer.
   */
  remember(call: MockCall, setting: MockSetting, world: World): Promise<MockAnswer | Refusal>
  /** What is wrong with an answer of the service itself, by the document; none: it fits. */
  drift(call: Pick<MockCall, 'method' | 'path'>, status: number, body: unknown): FieldError[]
}

/** Builds the mock of a document. What operations need is compiled when they are first called. */
export function createMock(document: ApiDocument): Mock {
  const variants = createVariants()
  const judge = createJudge(createValidator('request'), variants)
  const validator = createValidator('response')
  const sampler = createSampler(validator, variants)
  const answering = createAnswering(validator, sampler)
  const remembering = createRemembering(document.operations, { sampler, variants, answering })
  const templates = createTemplates<Operation>()
  for (const operation of document.operations) {
    templates.add(operation.method, operation.template, operation)
  }

  function calledBy(call: MockCall, setting: MockSetting): Called | Refusal {
    const found =
      templates.find(call.method, call.path) ??
      (call.method === 'HEAD' ? templates.find('GET', call.path) : null)
    if (found === null) {
      return { code: 'mock/no_response', cause: 'mock: the document has no such operation' }
    }
    const { value: operation, parameters } = found
    return judge.judge(operation, call, parameters) ?? { operation, call, parameters, setting }
  }

  return {
    answer(call, setting) {
      const called = calledBy(call, setting)
      return 'code' in called ? called : answering.answer(called)
    },
    async remember(call, setting, world) {
      const called = calledBy(call, setting)
      if ('code' in called) return called
      // Whoever prefers a certain answer wants that one, and not what is remembered.
      const isPreferred = call.headers.get('prefer')?.includes('code') === true
      const answer = isPreferred ? null : await remembering.answer(called, world)
      return answer ?? answering.answer(called)
    },
    drift({ method, path }, status, body) {
      const operation = templates.find(method, path)?.value
      if (operation === undefined) {
        return [faultAt('path', 'unknown', 'is not in the document')]
      }
      const media = answering.media(operation, status)
      if (media === null) return [faultAt('status', 'unknown', `${status} is not in the document`)]
      return media.shape === null ? [] : validator.faults(media.shape, body, 'body')
    },
  }
}
