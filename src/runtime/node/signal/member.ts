/**
 * The signal port of a node that is one of several: what it does with the record between them
 * (channel.ts), whichever store holds it. A turn is taken about every half second, and at once when
 * there is something to say or to hear. What the answer tells is forgotten before the next turn says
 * that it was heard: that is the acknowledgement.
 *
 * It refuses to know what is remembered. The dangers: a node that is cut off and goes on trusting its
 * memory, so its lease runs on two clocks from before the turn was sent, and whoever was without one
 * forgets everything before it trusts again; and a receipt that says more than is true, so it is
 * complete only when the store has said of every live node that it has heard.
 */
import type { Change, Receipt, Signal } from '../../../context.ts'
import { type Answer, type Channel, leaseMs, readEntry } from './channel.ts'
import { Unsent } from './unsent.ts'

export type MemberOptions = {
  /** Its id in the record: nobody else's, and another one after each start. */
  readonly node: string
  /** See `Turn`. */
  readonly first: boolean
  /** How long a node that is cut off from everything goes by its memory. */
  maxStaleMs(): number
  /** For the log: each change, with its reason. */
  onState(state: 'ready' | 'down', cause: string): void
  /** For the log: what was found in the record and is not of this version. At most once a minute. */
  warn(message: string): void
}

/** How often a turn is taken, where others wake this node and where nobody does. */
const beatMs = 500
const aloneMs = 250
/** The same while an announcement waits: what wakes the announcer may be lost. */
const awaitingMs = 100
/** How long an announcement waits to reach the store, however little it is to wait for others. */
const reachMs = 200
const waitMaxMs = 60_000
const warnEveryMs = 60_000

type Announcement = {
  readonly change: Change
  readonly waits: boolean
  readonly waitUntil: number
  /** null: the store does not know of it. */
  epoch: number | null
  nodes: number
  acknowledged: number
  timer: NodeJS.Timeout | undefined
  resolve(receipt: Receipt): void
}

export class Member implements Signal {
  readonly #channel: Channel
  readonly #options: MemberOptions
  readonly #open = new Set<Announcement>()
  #listener: (change: Change | null) => void = () => {}
  #unsent = new Unsent()
  #owed = new Set<string>()
  #heard = 0
  #first: boolean
  #nodes = 1
  #leaseEnd = Number.NEGATIVE_INFINITY
  #wallEnd = Number.NEGATIVE_INFINITY
  #running = false
  #turning: Promise<void> = Promise.resolve()
  #again = false
  #closed = false
  #ready = false
  #warnedAt = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  #certain = Promise.withResolvers<void>()

  constructor(channel: Channel, options: MemberOptions) {
    this.#channel = channel
    this.#options = options
    this.#first = options.first
  }

  listen(heard: (change: Change | null) => void): void {
    this.#listener = heard
  }

  silentMs(): number {
    // The monotonic clock stands still while a machine is suspended; the other one may be set.
    const over = Math.max(performance.now() - this.#leaseEnd, Date.now() - this.#wallEnd)
    // What was sure to be heard is what had been announced when the last turn was sent.
    return over > 0 ? over + leaseMs : 0
  }

  announce(change: Change, waitMs: number): Promise<Receipt> {
    this.#listener(change)
    return new Promise((resolve) => {
      const waits = waitMs > 0
      const boundMs = waits ? Math.min(waitMs, waitMaxMs) : 0
      const one: Announcement = {
        ...{ change, waits, waitUntil: performance.now() + boundMs, resolve },
        ...{ epoch: null, nodes: this.#nodes, acknowledged: 1, timer: undefined },
      }
      if (this.#closed) return this.#settle(one, null)
      this.#unsent.add(change)
      this.#open.add(one)
      // A store that is known to be away is not waited for as long as other nodes are.
      const reach = this.silentMs() === 0 ? Math.max(boundMs, reachMs) : reachMs
      this.#arm(one, reach)
      this.wake()
    })
  }

  /** Takes a turn now, or another one when one is under way. */
  wake(): void {
    this.#again = true
    if (!this.#running && !this.#closed) void this.#run()
  }

  /** The connection is gone: what is remembered is not trusted from now on. */
  lost(cause: string): void {
    this.#leaseEnd = Math.min(this.#leaseEnd, performance.now())
    this.#tell(cause)
  }

  /** Resolves when it is certain for the first time, or after `ms`. */
  async certain(ms: number): Promise<void> {
    const timer = setTimeout(this.#certain.resolve, ms)
    await this.#certain.promise
    clearTimeout(timer)
  }

  /** For operators. `ok` is false while nothing that is announced is certain to be heard. */
  health(): { readonly ok: boolean; readonly detail: string } {
    const { name } = this.#channel
    if (this.silentMs() > 0) {
      const detail = `${name} does not answer: keys are looked up in the database, and what is revoked elsewhere is not heard of`
      return { ok: false, detail }
    }
    const pushes = this.#channel.pushes()
    const how = pushes === 'push' ? 'is woken' : `asks every ${aloneMs} ms`
    const why = pushes === 'lacking' ? ', for its subscription is down' : ''
    return { ok: true, detail: `${this.#nodes} live, through ${name}; this one ${how}${why}` }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#timer)
    const wasCertain = this.silentMs() === 0
    this.#leaseEnd = Number.NEGATIVE_INFINITY
    const waits = [...this.#open].some((one) => one.waits)
    for (const one of this.#open) this.#settle(one, null)
    // One turn at a time; what it could not send goes with the last one.
    await this.#turning
    if (wasCertain) await this.#leave(waits)
    await this.#channel.close()
  }

  async #leave(waits: boolean): Promise<void> {
    const entry = this.#unsent.entry(this.#options.node, waits)
    const turn = { heard: this.#heard, entry, asks: false, awaited: [...this.#owed] }
    const staleMs = this.#options.maxStaleMs()
    await this.#channel
      .take({ ...turn, staleMs, leaves: true, first: false })
      .catch(() => undefined)
  }

  async #run(): Promise<void> {
    this.#running = true
    clearTimeout(this.#timer)
    while (this.#again && !this.#closed) {
      this.#again = false
      this.#turning = this.#turn()
      await this.#turning
    }
    this.#running = false
    if (this.#closed) return
    const usual = this.#ready && this.#channel.pushes() === 'push' ? beatMs : aloneMs
    const delay = this.#open.size > 0 ? awaitingMs : usual
    this.#timer = setTimeout(() => this.wake(), delay).unref()
  }

  async #turn(): Promise<void> {
    const sent = { at: performance.now(), wall: Date.now() }
    const [unsent, owed] = [this.#unsent, this.#owed]
    this.#unsent = new Unsent()
    this.#owed = new Set()
    const raised = [...this.#open].filter(({ epoch }) => epoch === null)
    const waits = raised.some((one) => one.waits)
    try {
      const answer = await this.#channel.take({
        heard: this.#heard,
        entry: unsent.entry(this.#options.node, waits),
        asks: this.#open.size > 0,
        awaited: [...owed],
        leaves: false,
        first: this.#first,
        staleMs: this.#options.maxStaleMs(),
      })
      if (!this.#closed) this.#hear(answer, sent, raised)
    } catch (error) {
      // It may have been done all the same; then it is announced twice, which harms nobody.
      this.#unsent.addAll(unsent)
      for (const node of owed) this.#owed.add(node)
      this.#tell(error instanceof Error ? error.message : String(error))
    }
  }

  /** Forgets what the answer tells, and only then has heard it and holds a lease. */
  #hear(
    answer: Answer,
    sent: { readonly at: number; readonly wall: number },
    raised: readonly Announcement[],
  ): void {
    const lapsed = this.silentMs() > 0
    if (lapsed || answer.entries === null || answer.epoch < this.#heard) this.#listener(null)
    if (answer.entries === null || answer.entries.length > 0) this.#again = true
    for (const text of answer.entries ?? []) this.#hearEntry(text)
    this.#heard = answer.epoch
    this.#nodes = Math.max(1, answer.nodes)
    this.#first = false
    this.#leaseEnd = sent.at + leaseMs
    this.#wallEnd = sent.wall + leaseMs
    this.#tell('answers')
    for (const one of raised) {
      one.epoch = answer.epoch
      one.nodes = this.#nodes
    }
    for (const one of this.#open) {
      if (one.epoch === null) continue
      // The store that took it may not be the one that answers now.
      if (lapsed && !raised.includes(one)) this.#raiseAgain(one)
      else this.#count(one, answer)
    }
  }

  #hearEntry(text: string): void {
    const entry = readEntry(text)
    if (entry === null) this.#warn()
    if (entry?.by === this.#options.node) return
    if (entry?.waits) this.#owed.add(entry.by)
    if (entry === null || entry.changes === null) this.#listener(null)
    else for (const change of entry.changes) this.#listener(change)
  }

  #raiseAgain(one: Announcement): void {
    one.epoch = null
    this.#unsent.add(one.change)
    this.#again = true
  }

  /** Who has gone is not waited for, as it will not answer; but the receipt says so. */
  #count(one: Announcement, { heards, youngMs, gone, goneMs }: Answer): void {
    const { epoch } = one
    if (epoch === null) return
    const missing = heards.filter((heard) => heard < epoch).length + gone
    one.acknowledged = Math.max(1, one.nodes - missing)
    if (missing === gone && youngMs === 0) this.#settle(one, goneMs)
    else if (performance.now() >= one.waitUntil) this.#settle(one, null)
  }

  #arm(one: Announcement, ms: number): void {
    one.timer = setTimeout(() => {
      const left = one.waitUntil - performance.now()
      if (one.epoch === null || left <= 0) this.#settle(one, null)
      else this.#arm(one, left)
    }, ms)
  }

  /** `staleMs`: how long a node may go by what was before, as the store says; null: it does not say. */
  #settle(one: Announcement, staleMs: number | null): void {
    clearTimeout(one.timer)
    this.#open.delete(one)
    const maxStalenessMs = staleMs ?? this.#options.maxStaleMs()
    const { epoch, nodes } = one
    const acknowledged = epoch === null ? 1 : one.acknowledged
    const effectiveAt = Date.now() + maxStalenessMs
    one.resolve({ epoch, nodes, acknowledged, effectiveAt, maxStalenessMs })
  }

  #tell(cause: string): void {
    const ready = this.silentMs() === 0
    if (ready) this.#certain.resolve()
    if (ready === this.#ready || this.#closed) return
    this.#ready = ready
    this.#options.onState(ready ? 'ready' : 'down', cause)
  }

  #warn(): void {
    if (performance.now() - this.#warnedAt < warnEveryMs) return
    this.#warnedAt = performance.now()
    this.#options.warn(
      `${this.#channel.name} holds an announcement that is not of this version: everything remembered was forgotten`,
    )
  }
}
