/**
 * Numbers that look random and are the same for the same seed: what makes a mock's answer repeatable.
 * They are guessable on purpose, so nothing secret is ever made of them.
 */

export class Random {
  #a: number
  #b: number
  #c: number
  #d = 1

  /** Whatever the text, the numbers that follow depend on all of it. */
  constructor(seed: string) {
    // Three FNV-1a walks with bases of their own: 96 bits of state, so that ids made of it differ.
    let [a, b, c] = [0x811c9dc5, 0x01000193, 0x9e3779b9]
    for (let i = 0; i < seed.length; i++) {
      const unit = seed.charCodeAt(i)
      a = Math.imul(a ^ unit, 0x01000193)
      b = Math.imul(b ^ unit, 0x85ebca6b)
      c = Math.imul(c ^ unit, 0xc2b2ae35)
    }
    this.#a = a | 0
    this.#b = b | 0
    this.#c = c | 0
    for (let i = 0; i < 12; i++) this.#draw()
  }

  /** sfc32, by Chris Doty-Humphrey: 32 bits. */
  #draw(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#d) | 0
    this.#d = (this.#d + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0
    return sum >>> 0
  }

  /** From 0, below 1. */
  next(): number {
    return this.#draw() / 0x1_0000_0000
  }

  /** A whole number from `least` to `most`, both included. */
  whole(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1))
  }

  /** One of a list, which must not be empty. */
  pick<T>(list: readonly T[]): T {
    // The index is below the length, and the list is not empty.
    return list[Math.floor(this.next() * list.length)] as T
  }

  /** So many characters of an alphabet. */
  text(alphabet: string, length: number): string {
    let made = ''
    while (made.length < length) made += alphabet.charAt(Math.floor(this.next() * alphabet.length))
    return made
  }
}
