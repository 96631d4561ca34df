/**
 * Memory for pieces of bodies on their way through, used again and again.
 *
 * All connections read into one block: what arrives is looked at before anything else happens, so no
 * two of them need it at once. A piece that has to wait for a client is copied into a block of its
 * own, which comes back once the system has taken the bytes. Without this a large body leaves a trail
 * of garbage that grows faster than it is collected.
 */

/** As much as Node reads at once. */
const blockBytes = 65_536
/** Blocks that are kept for the next piece. */
const sparesMax = 64

/** What every connection reads into. Its bytes are good until the reader returns. */
export const readBlock: Buffer = Buffer.allocUnsafeSlow(blockBytes)

export class Block {
  readonly #bytes = Buffer.allocUnsafeSlow(blockBytes)

  /** A copy of these bytes, at most 64 KiB, good until `release` is called. */
  fill(bytes: Buffer, from: number, to: number): Buffer {
    bytes.copy(this.#bytes, 0, from, to)
    return this.#bytes.subarray(0, to - from)
  }

  /**
   * To be called when its bytes have been written. After an error they may still be on their way, and
   * the block is left to the garbage collector.
   */
  readonly release = (error?: Error | null): void => {
    if ((error === undefined || error === null) && spares.length < sparesMax) spares.push(this)
  }
}

const spares: Block[] = []

/** A block that nobody else holds. */
export const takeBlock = (): Block => spares.pop() ?? new Block()
