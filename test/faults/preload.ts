/**
 * Loaded into a gate before anything else (`--import`): what SIGUSR2 then does to the process is what
 * FAULT_PRELOAD names. `clock`: the wall clock steps an hour ahead, at the next signal an hour behind,
 * then back; timers and the monotonic clock go on, as when a system's time is set. `block`: the event
 * loop stands still for half a second.
 */
const what = process.env.FAULT_PRELOAD

if (what === 'clock') {
  const hour = 3_600_000
  const steps = [hour, -hour, 0]
  let offset = 0
  const Real = Date
  class Stepped extends Real {
    constructor(...given: [] | [number | string]) {
      super(given.length === 0 ? Real.now() + offset : given[0])
    }

    static override now(): number {
      return Real.now() + offset
    }
  }
  // It lacks what nobody here uses: several numbers, and a call without `new`.
  globalThis.Date = Stepped as unknown as DateConstructor
  process.on('SIGUSR2', () => {
    offset = steps.shift() ?? 0
    process.stderr.write(`the clock is ${offset} ms off\n`)
  })
}

if (what === 'block') {
  process.on('SIGUSR2', () => {
    const end = performance.now() + 500
    while (performance.now() < end);
    process.stderr.write('stood still for 500 ms\n')
  })
}
