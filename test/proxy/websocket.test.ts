import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as ws from 'ws'
import {
  closeFrame,
  createFrameTracker,
  serverFrame,
  upgradeOf,
} from '../../src/proxy/websocket.ts'

const good: Readonly<Record<string, string>> = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'sec-websocket-version': '13',
}
type Changes = Readonly<Record<string, string | null>>
const verdictOn = (changes: Changes, method = 'GET', version = '1.1') =>
  upgradeOf(method, version, { get: (name) => ({ ...good, ...changes })[name] ?? null })

describe('R23: a handshake that is not one', () => {
  test.each<[what: string, changes: Changes]>([
    ['no key', { 'sec-websocket-key': null }],
    ['an empty key', { 'sec-websocket-key': '' }],
    ['a key of 15 bytes', { 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAA' }],
    ['a key of 17 bytes', { 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAAA=' }],
    [
      'a key of 16 bytes that is not canonical',
      { 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZR==' },
    ],
    ['a key in base64url', { 'sec-websocket-key': '-_____________________AA==' }],
    ['a key without padding', { 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ' }],
    ['a key with a line after it', { 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==\n' }],
    ['two keys', { 'sec-websocket-key': `${good['sec-websocket-key']}, dGhlIHNhbXBsZSBub25jZQ==` }],
  ])('%s is a 400 that ends the connection', (_, changes) => {
    expect(verdictOn(changes)).toMatchObject({
      code: 'request/malformed',
      headers: { connection: 'close' },
    })
  })

  test.each([null, '', '8', '012', '13, 13', '13.0'])(
    'version %j is told the one there is',
    (v) => {
      expect(verdictOn({ 'sec-websocket-version': v })).toMatchObject({
        code: 'request/malformed',
        headers: { 'sec-websocket-version': '13', connection: 'close' },
      })
    },
  )

  test.each(['POST', 'HEAD', 'OPTIONS', 'get'])('%s opens none', (method) => {
    expect(verdictOn({}, method)).toMatchObject({ code: 'request/malformed' })
  })

  test.each<[what: string, changes: Changes, version?: string]>([
    ['no Upgrade', { upgrade: null }],
    ['h2c', { upgrade: 'h2c', connection: 'Upgrade, HTTP2-Settings' }],
    ['another protocol', { upgrade: 'websocket2' }],
    ['a protocol with a version', { upgrade: 'websocket/13' }],
    ['no Connection', { connection: null }],
    ['another Connection', { connection: 'keep-alive, x-upgrade' }],
    ['HTTP/1.0', {}, '1.0'],
  ])('%s asks for nothing', (_, changes, version) => {
    expect(verdictOn(changes, 'GET', version)).toBe('none')
  })

  test.each<[what: string, changes: Changes]>([
    ['as browsers send it', { connection: 'keep-alive, Upgrade' }],
    ['in any case', { connection: 'uPGRADE', upgrade: 'WebSocket' }],
    ['with an alternative', { upgrade: 'h2c , websocket' }],
  ])('%s is a handshake', (_, changes) => {
    expect(verdictOn(changes)).toBe('websocket')
  })
})

type Frame = { readonly bytes: Uint8Array }

/** A frame of any making: lengths in any of the three forms, masked or not, any opcode. */
const frames = fc
  .record({
    first: fc.integer({ min: 0, max: 255 }),
    form: fc.constantFrom('short', 'two', 'eight'),
    masked: fc.boolean(),
    length: fc.oneof(fc.integer({ min: 0, max: 130 }), fc.constantFrom(65_535, 65_536, 70_000)),
  })
  .map(({ first, form, masked, length }): Frame => {
    const bits = masked ? 0x80 : 0
    const head = [first]
    if (form === 'short' && length < 126) head.push(bits | length)
    else if (form !== 'eight' && length < 65_536) head.push(bits | 126, length >> 8, length & 255)
    else head.push(bits | 127, 0, 0, 0, 0, 0, length >> 16, (length >> 8) & 255, length & 255)
    const bytes = new Uint8Array(head.length + (masked ? 4 : 0) + length).fill(0x81)
    bytes.set(head)
    return { bytes }
  })

const streams = fc.array(frames, { maxLength: 6 })
const cuts = fc.array(fc.nat(), { maxLength: 20 })

const join = (parts: readonly Frame[]) => new Uint8Array(Buffer.concat(parts.map((f) => f.bytes)))

function pieces(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const ends = places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b)
  return [...ends, bytes.length].map((end, n) => bytes.subarray(ends[n - 1] ?? 0, end))
}

describe('the tracker of frames', () => {
  test('stands at a boundary exactly where a frame ends, however the bytes are cut', () => {
    fc.assert(
      fc.property(streams, cuts, (stream, places) => {
        const ends = new Set([0])
        let end = 0
        for (const { bytes } of stream) {
          end += bytes.length
          ends.add(end)
        }
        const tracker = createFrameTracker()
        let at = 0
        for (const piece of pieces(join(stream), places)) {
          tracker.take(piece)
          at += piece.length
          expect(tracker.atBoundary).toBe(ends.has(at))
        }
      }),
      { numRuns: 200 },
    )
  })

  test('stops at the first boundary, and nowhere else', () => {
    fc.assert(
      fc.property(streams, fc.nat(), (stream, place) => {
        const bytes = join(stream)
        const tracker = createFrameTracker()
        const begun = place % (bytes.length + 1)
        tracker.take(bytes.subarray(0, begun))
        let end = 0
        for (const frame of stream) if (end <= begun) end += frame.bytes.length
        const taken = tracker.takeToBoundary(bytes.subarray(begun))
        expect(begun + taken).toBe(Math.max(end, begun))
        expect(tracker.atBoundary).toBe(true)
      }),
      { numRuns: 200 },
    )
  })

  test('waits for a payload of any length without holding it', () => {
    const tracker = createFrameTracker()
    tracker.take(Uint8Array.of(0x82, 127, 0, 0, 0x10, 0, 0, 0, 0, 0))
    for (let n = 0; n < 1000; n += 1) tracker.take(new Uint8Array(65_536))
    expect(tracker.atBoundary).toBe(false)
  })
})

// Its types do not tell of it.
const Receiver = Reflect.get(ws, 'Receiver')

/** What an independent implementation reads in server frames. */
function read(frame: Uint8Array): Promise<unknown[]> {
  const receiver = new Receiver({ isServer: false })
  return new Promise((resolve, reject) => {
    receiver.on('conclude', (code: number, reason: Buffer) => resolve([code, String(reason)]))
    receiver.on('message', (data: Buffer) => resolve([data.length]))
    receiver.on('error', reject)
    receiver.write(Buffer.from(frame))
  })
}

describe('the close frame', () => {
  test.each<[number, string, string]>([
    [4401, 'auth/key_revoked', 'auth/key_revoked'],
    [1001, '', ''],
    [1000, 'a'.repeat(200), 'a'.repeat(123)],
    [1000, 'ü'.repeat(62), 'ü'.repeat(61)],
  ])('%i %.20j is what others read', async (code, reason, seen) => {
    expect(await read(closeFrame(code, reason))).toEqual([code, seen])
  })

  test.each([0, 999, 1004, 1005, 1006, 1015, 2999, 5000, Number.NaN])('%d is refused', (code) => {
    expect(() => closeFrame(code, '')).toThrow(RangeError)
  })
})

test.each([0, 125, 126, 65_535, 65_536, 1_048_576])(
  'a frame of %i bytes is whole',
  async (size) => {
    expect(await read(serverFrame(2, new Uint8Array(size)))).toEqual([size])
  },
)
