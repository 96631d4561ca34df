import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { HopFault } from '../../../../src/context.ts'
import { AnswerParser } from '../../../../src/runtime/node/upstream/answer.ts'
import { sectionBytesMax } from '../../../../src/runtime/node/upstream/section.ts'
import { readByNode } from './node-parser.ts'

type Read = {
  status: number
  reason: string
  headers: string[]
  bodyBytes: number
  body: string
  trailers: string[]
  information: number[]
  persists: boolean
  /** Bytes behind the end; null: the answer is not over. */
  surplus: number | null
  /** Why it was refused. */
  fault: string | null
}

type Options = { readonly isHead?: boolean; readonly upgrade?: boolean; readonly closes?: boolean }

/** Reads pieces as one answer, as far as it goes. */
function read(pieces: readonly string[], options: Options = {}): Read {
  const { isHead = false, upgrade = false, closes = false } = options
  const got: Read = {
    ...{ status: 0, reason: '', headers: [], bodyBytes: -1, body: '', trailers: [] },
    ...{ information: [], persists: false, surplus: null, fault: null },
  }
  const parser = new AnswerParser()
  parser.expect(
    {
      onInformation: (status) => void got.information.push(status),
      onHead: (status, reason, headers, bodyBytes) =>
        void Object.assign(got, { status, reason, headers, bodyBytes }),
      onBody(bytes, from, to) {
        got.body += bytes.toString('latin1', from, to)
      },
    },
    isHead,
    upgrade,
  )
  try {
    for (const piece of pieces) {
      const bytes = Buffer.from(piece, 'latin1')
      if (got.surplus !== null) got.surplus += bytes.length
      else {
        const end = parser.take(bytes, bytes.length)
        if (end >= 0) got.surplus = bytes.length - end
      }
    }
    if (closes && got.surplus === null) {
      parser.end()
      got.surplus = 0
    }
  } catch (error) {
    if (!(error instanceof HopFault)) throw error
    got.fault = error.failure
  }
  if (got.surplus !== null) got.trailers = parser.trailers()
  got.persists = parser.persists
  return got
}

const splits = (text: string): string[][] =>
  Array.from({ length: text.length - 1 }, (_, at) => [text.slice(0, at + 1), text.slice(at + 1)])

const ok = 'HTTP/1.1 200 OK\r\n'

describe('R25: what is no answer is refused, and named', () => {
  const protocol = 'http_protocol_error'
  test.each<[string, string, string, Options?]>([
    ['another protocol', 'SSH-2.0-x\r\n', protocol],
    ['HTTP/0.9', '<html>', protocol],
    ['HTTP/2', 'HTTP/2 200 OK\r\n\r\n', protocol],
    ['HTTP/1.2', 'HTTP/1.2 200 OK\r\n\r\n', protocol],
    ['lower case', 'http/1.1 200 OK\r\n\r\n', protocol],
    ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n', protocol],
    ['a status of four digits', 'HTTP/1.1 2000 OK\r\n\r\n', protocol],
    ['a status below 100', 'HTTP/1.1 099 OK\r\n\r\n', protocol],
    ['two blanks before the status', 'HTTP/1.1  200 OK\r\n\r\n', protocol],
    ['a leading empty line', '\r\nHTTP/1.1 200 OK\r\n\r\n', protocol],
    ['a bare line feed behind the status', 'HTTP/1.1 200 OK\nA: b\r\n\r\n', protocol],
    ['a bare line feed behind a field', `${ok}A: b\nC: d\r\n\r\n`, protocol],
    ['a bare carriage return in a value', `${ok}A: b\rc\r\n\r\n`, protocol],
    ['an end of bare line feeds', `${ok}A: b\r\n\n`, protocol],
    ['a carriage return alone at the end', `${ok}A: b\r\n\rX`, protocol],
    ['NUL in a value', `${ok}A: b\0c\r\n\r\n`, protocol],
    ['NUL in the reason', 'HTTP/1.1 200 O\0K\r\n\r\n', protocol],
    ['DEL in a value', `${ok}A: b\x7f\r\n\r\n`, protocol],
    ['a folded line', `${ok}A: b\r\n c\r\n\r\n`, protocol],
    ['a field that begins with a tab', `${ok}\tA: b\r\n\r\n`, protocol],
    ['a field without a name', `${ok}: b\r\n\r\n`, protocol],
    ['a field without a colon', `${ok}Abc\r\n\r\n`, protocol],
    ['a blank before the colon', `${ok}Content-Length : 3\r\n\r\nabc`, protocol],
    ['a name beyond ASCII', `${ok}\u00e4: b\r\n\r\n`, protocol],
    ['a name in brackets', `${ok}(a): b\r\n\r\n`, protocol],
    [
      'two lengths that differ',
      `${ok}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd`,
      protocol,
    ],
    ['a length twice', `${ok}Content-Length: 3\r\ncontent-length: 3\r\n\r\nabc`, protocol],
    ['a length in a list', `${ok}Content-Length: 3, 3\r\n\r\nabc`, protocol],
    ['a length with a sign', `${ok}Content-Length: +3\r\n\r\nabc`, protocol],
    ['a length below zero', `${ok}Content-Length: -1\r\n\r\n`, protocol],
    ['a length in hexadecimal', `${ok}Content-Length: 0x3\r\n\r\nabc`, protocol],
    ['a length with an exponent', `${ok}Content-Length: 1e3\r\n\r\n`, protocol],
    ['an empty length', `${ok}Content-Length:\r\n\r\n`, protocol],
    ['a length of 20 digits', `${ok}Content-Length: ${'9'.repeat(20)}\r\n\r\n`, protocol],
    [
      'a coding and a length',
      `${ok}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      protocol,
    ],
    [
      'a length and a coding',
      `${ok}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n`,
      protocol,
    ],
    ['a coding before chunked', `${ok}Transfer-Encoding: gzip, chunked\r\n\r\n`, protocol],
    ['another coding', `${ok}Transfer-Encoding: gzip\r\n\r\n`, protocol],
    [
      'chunked twice',
      `${ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`,
      protocol,
    ],
    ['something like chunked', `${ok}Transfer-Encoding: xchunked\r\n\r\n`, protocol],
    ['a coding in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', protocol],
    ['a 101 that nobody asked for', 'HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n', protocol],
    [
      'too much of header lines',
      `${ok}A: ${'a'.repeat(sectionBytesMax)}`,
      'http_response_header_section_size',
    ],
    [
      'too much of header lines, and whole',
      `${ok}A: ${'a'.repeat(sectionBytesMax)}\r\n\r\n`,
      'http_response_header_section_size',
    ],
    ['nothing', '', 'connection_terminated', { closes: true }],
    ['half a head', `${ok}A: b`, protocol, { closes: true }],
    [
      'less than the length',
      `${ok}Content-Length: 3\r\n\r\nab`,
      'http_response_incomplete',
      { closes: true },
    ],
  ])('%s', (_, text, failure, options = {}) => {
    expect(read([text], options).fault).toBe(failure)
    if (text.length > 1000) return
    for (const pieces of splits(text)) expect(read(pieces, options).fault).toBe(failure)
    expect(read([...text], options).fault).toBe(failure)
  })

  const chunked = `${ok}Transfer-Encoding: chunked\r\n\r\n`
  test.each([
    ['no size', '\r\nabc\r\n'],
    ['a size with a prefix', '0x3\r\nabc\r\n'],
    ['a size below zero', '-1\r\n'],
    ['a size that is no number', 'zz\r\n'],
    ['a size of 14 digits', '00000000000003\r\nabc\r\n'],
    ['a blank before the size', ' 3\r\nabc\r\n'],
    ['a blank behind the size', '3 \r\nabc\r\n'],
    ['a size that ends in a bare line feed', '3\nabc\r\n'],
    ['a size with a carriage return alone', '3\rabc\r\n'],
    ['a chunk that is longer than its size', '3\r\nabcd\r\n'],
    ['a chunk that ends in a bare line feed', '3\r\nabc\n0\r\n\r\n'],
    ['a line feed in an extension', '3;a\nb\r\nabc\r\n'],
    ['NUL in an extension', '3;\0\r\nabc\r\n'],
    ['too much of extensions', `1;${'a'.repeat(9000)}\r\na\r\n1;${'a'.repeat(9000)}\r\nb\r\n`],
    ['a trailer that is folded', '0\r\nA: b\r\n c\r\n\r\n'],
    ['a trailer without a name', '0\r\n: b\r\n\r\n'],
  ])('in chunks: %s', (_, body) => {
    expect(read([chunked + body]).fault).toBe('http_protocol_error')
    if (body.length > 1000) return
    for (const pieces of splits(chunked + body)) {
      expect(read(pieces).fault).toBe('http_protocol_error')
    }
  })

  test('in chunks: too much of trailers', () => {
    const body = `0\r\nA: ${'a'.repeat(sectionBytesMax)}`
    expect(read([chunked, body]).fault).toBe('http_response_header_section_size')
  })

  test.each(['', '3', '3\r\nab', '3\r\nabc', '3\r\nabc\r\n', '0\r\n', '0\r\nA: b\r\n'])(
    'in chunks: an end behind %j is no end',
    (body) => {
      expect(read([chunked + body], { closes: true }).fault).toBe('http_response_incomplete')
    },
  )
})

describe('answers, in every two pieces and byte by byte', () => {
  test.each<[string, string, Partial<Read>, Options?]>([
    ['with a length', `${ok}Content-Length: 5\r\n\r\nhello`, { body: 'hello', bodyBytes: 5 }],
    ['with nothing', `${ok}Content-Length: 0\r\n\r\n`, { body: '', bodyBytes: 0 }],
    ['a length with a zero before it', `${ok}Content-Length: 05\r\n\r\nhello`, { body: 'hello' }],
    ['no reason', 'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n', { status: 200, reason: '' }],
    [
      'a reason beyond ASCII',
      'HTTP/1.1 404 Nicht d\u00e4\r\nContent-Length: 0\r\n\r\n',
      { status: 404, reason: 'Nicht d\u00e4' },
    ],
    [
      'in chunks',
      `${ok}Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n00A;x=y\r\n0123456789\r\n0\r\n\r\n`,
      { body: 'abc0123456789', bodyBytes: -1, trailers: [] },
    ],
    [
      'trailers',
      `${ok}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nA: b\r\nC:d \r\n\r\n`,
      { body: 'a', trailers: ['A', 'b', 'C', 'd'] },
    ],
    [
      'fields as they came, without the blanks around them',
      `${ok}A:\t b c \t\r\na: 2\r\nEmpty:\r\nX-L: \u00e9\r\nContent-Length: 0\r\n\r\n`,
      { headers: ['A', 'b c', 'a', '2', 'Empty', '', 'X-L', '\u00e9', 'Content-Length', '0'] },
    ],
    [
      'informational answers first',
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${ok}Content-Length: 1\r\n\r\na`,
      { information: [100, 103], status: 200, body: 'a' },
    ],
    [
      'HEAD, whatever its head says',
      `${ok}Content-Length: 5\r\n\r\n`,
      { body: '', bodyBytes: 0 },
      { isHead: true },
    ],
    [
      'HEAD of a chunked one',
      `${ok}Transfer-Encoding: chunked\r\n\r\n`,
      { body: '' },
      { isHead: true },
    ],
    ['204', 'HTTP/1.1 204 No Content\r\n\r\n', { status: 204 }],
    [
      '304 with a length',
      'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n',
      { status: 304 },
    ],
  ])('%s', (_, text, expected, options = {}) => {
    const whole = read([text], options)
    expect(whole).toMatchObject({ fault: null, surplus: 0, persists: true, ...expected })
    for (const pieces of [...splits(text), [...text]]) {
      expect(read(pieces, options)).toEqual(whole)
    }
    // One byte less is not over.
    expect(read([text.slice(0, -1)], options).surplus).toBeNull()
  })

  test.each([
    ['HTTP/1.1', ok],
    ['HTTP/1.0', 'HTTP/1.0 200 OK\r\n'],
  ])('%s without a framing ends with the connection, which is not used again', (_, line) => {
    for (const pieces of splits(`${line}A: b\r\n\r\nhello`)) {
      expect(read(pieces, { closes: true })).toMatchObject({
        ...{ fault: null, body: 'hello', bodyBytes: -1, persists: false, surplus: 0 },
      })
      expect(read(pieces).surplus).toBeNull()
    }
  })

  test('a 101 that was asked for ends where its head ends', () => {
    const text = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nbytes'
    for (const pieces of splits(text)) {
      expect(read(pieces, { upgrade: true })).toMatchObject({ surplus: 5, persists: false })
    }
  })

  test('R24: what follows an answer is counted, and is not of it', () => {
    const text = `${ok}Content-Length: 3\r\n\r\nabc`
    const next = `${ok}Content-Length: 5\r\n\r\nevil!`
    expect(read([text + next])).toMatchObject({ body: 'abc', surplus: next.length })
    const empty = 'HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc'
    expect(read([empty])).toMatchObject({ body: '', surplus: 3 })
  })
})

test.each([
  ['', true],
  ['Connection: close\r\n', false],
  ['Connection: Close\r\n', false],
  ['Connection: x, close\r\n', false],
  ['Connection: close\r\nConnection: keep-alive\r\n', false],
  ['Connection: keep-alive\r\nConnection: close\r\n', false],
  ['Connection: x-close\r\n', true],
])('R24: %j: whether the connection may be used again is %s', (field, persists) => {
  expect(read([`${ok}${field}Content-Length: 0\r\n\r\n`]).persists).toBe(persists)
})

test.each([
  ['', false],
  ['Connection: Keep-Alive\r\n', true],
])('R24: in HTTP/1.0 with %j it is %s', (field, persists) => {
  const text = `HTTP/1.0 200 OK\r\n${field}Content-Length: 0\r\n\r\n`
  expect(read([text]).persists).toBe(persists)
})

test('R24 R25: what is taken is what Node takes, to the byte where it ends', () => {
  const line = fc.constantFrom(
    ...['HTTP/1.1 200 OK\r\n', 'HTTP/1.0 404 No\r\n', 'HTTP/1.1 204 x\r\n', 'HTTP/1.1 304\r\n'],
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n',
  )
  const fields = fc.subarray([
    ...['A: b\r\n', 'T:\tu \r\n', 'Connection: keep-alive\r\n', 'Connection: close\r\n'],
  ])
  const framed = fc.constantFrom(
    ...['Content-Length: 3\r\n\r\nabc', 'content-length:0\r\n\r\n', '\r\n'],
    'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\na;x=y\r\n0123456789\r\n0\r\n\r\n',
    'transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: u\r\n\r\n',
    'Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
  )
  // What goes wrong in about half of them: bytes in a place where they do not belong, or missing.
  const harm = fc.option(
    fc.record({
      at: fc.double({ min: 0, max: 0.999, noNaN: true }),
      take: fc.nat(3),
      put: fc.constantFrom(
        '',
        '\n',
        '\r',
        '\r\n',
        ' ',
        '\t',
        ':',
        '\0',
        '0',
        '1',
        ';',
        ',',
        'x',
        '-',
      ),
    }),
  )
  const message = fc.tuple(line, fields, framed, harm).map(([first, some, rest, done]) => {
    const text = first + some.join('') + rest
    if (done === null) return text
    const at = Math.floor(done.at * text.length)
    return text.slice(0, at) + done.put + text.slice(at + done.take)
  })
  let taken = 0
  fc.assert(
    fc.property(message, fc.nat(), (text, cut) => {
      const at = text.length === 0 ? 0 : cut % text.length
      const ours = read([text.slice(0, at), text.slice(at)])
      expect(read([text])).toEqual(ours)
      if (ours.fault !== null || ours.surplus === null) return
      taken += 1
      const end = text.length - ours.surplus
      const theirs = readByNode(text.slice(0, end))
      expect(theirs).toMatchObject({ fault: null, isOver: true })
      expect([theirs.status, theirs.body]).toEqual([ours.status, ours.body])
      expect(theirs.headers).toEqual(ours.headers)
      expect(readByNode(text.slice(0, end - 1)).isOver).toBe(false)
    }),
    { numRuns: 5000 },
  )
  expect(taken).toBeGreaterThan(300)
})
