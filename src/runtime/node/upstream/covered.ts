/**
 * A hop whose answer is looked through: its request carried secrets, and none of them may come back to
 * the client. Everything in it keeps its length, so the framing of the answer stays true.
 *
 * The danger is the last piece: what was kept of it, because a secret might have begun there, must go
 * out before the end does.
 */
import { createMask } from '../../../lib/mask.ts'
import { coverFields, coverText, encodedAnswer } from '../../../proxy/cover.ts'
import { readBlock } from './blocks.ts'
import { HopHandler } from './hop.ts'

type Given = ConstructorParameters<typeof HopHandler>

export class CoveredHop extends HopHandler {
  readonly #hop: Given[0]
  readonly #covered: readonly string[]
  readonly #mask
  /** Of a body whose length is known: what of it has not come; -1 where it is not. */
  #leftBytes = -1

  constructor(...given: Given) {
    super(...given)
    this.#hop = given[0]
    this.#covered = this.#hop.covered ?? []
    // Covered texts are ASCII.
    this.#mask = createMask(this.#covered.map((text) => Buffer.from(text, 'latin1')))
  }

  override onInformation(status: number, headers: string[]): void {
    super.onInformation(status, coverFields(headers, this.#covered))
  }

  override onHead(status: number, reason: string, headers: string[], bodyBytes: number): void {
    const problem = encodedAnswer(headers, this.#hop)
    if (problem !== null) {
      this.onFault(problem)
      return
    }
    this.#leftBytes = bodyBytes
    const covered = this.#covered
    super.onHead(status, coverText(reason, covered), coverFields(headers, covered), bodyBytes)
  }

  override onBody(bytes: Buffer, from: number, to: number): void {
    const shown = this.#mask.push(bytes.subarray(from, to))
    if (this.#leftBytes < 0) this.#pass(shown)
    else {
      this.#leftBytes -= to - from
      // With its head and in one write, where it is short.
      if (this.#leftBytes > 0) this.#pass(shown)
      else this.#pass(joined(shown, this.#mask.end()))
    }
  }

  /** Also nothing: something has arrived, and is being waited with. */
  #pass(shown: Uint8Array): void {
    const { buffer, byteOffset, length } = shown
    const bytes = Buffer.from(buffer, byteOffset, length)
    // With what was kept before, a piece can be longer than any that was read.
    const first = Math.min(length, readBlock.length)
    super.onBody(bytes, 0, first)
    if (first < length) super.onBody(bytes, first, length)
  }

  override onEnd(trailers: string[]): void {
    super.onEnd(coverFields(trailers, this.#covered), this.#mask.end())
  }
}

const joined = (first: Uint8Array, second: Uint8Array): Uint8Array =>
  second.length === 0 ? first : Buffer.concat([first, second])
