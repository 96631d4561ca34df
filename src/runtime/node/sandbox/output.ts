/** What a sandboxed program prints: bounded, and without the values that it was given. */
import type { Readable } from 'node:stream'
import { createMask, patternsOf } from '../../../lib/mask.ts'

/** The two streams of one process, in the order in which their pieces arrive. */
export class Output {
  readonly #bytesMax: number
  readonly #patterns: readonly Uint8Array[]
  readonly #ends: (() => void)[] = []
  readonly #pieces: Uint8Array[] = []
  #size = 0
  #truncated = false

  /** `secrets` are covered wherever they are printed whole. */
  constructor(bytesMax: number, secrets: readonly string[]) {
    this.#bytesMax = bytesMax
    this.#patterns = secrets.flatMap(patternsOf)
  }

  /** Goes on reading when it is full: a program that cannot print would wait for ever. */
  read(stream: Readable | null): void {
    const mask = createMask(this.#patterns)
    stream?.on('data', (piece: Buffer) => this.#add(mask.push(piece)))
    this.#ends.push(() => this.#add(mask.end()))
  }

  /** Nothing more will come. */
  end(): void {
    for (const end of this.#ends.splice(0)) end()
  }

  text(): { text: string; truncated: boolean } {
    return { text: Buffer.concat(this.#pieces).toString('utf8'), truncated: this.#truncated }
  }

  #add(piece: Uint8Array): void {
    const room = this.#bytesMax - this.#size
    if (piece.length > room) this.#truncated = true
    if (room <= 0 || piece.length === 0) return
    // A copy: what a stream hands out is a part of a larger buffer, which would be kept whole.
    const kept = Uint8Array.from(piece.subarray(0, room))
    this.#size += kept.length
    this.#pieces.push(kept)
  }
}
