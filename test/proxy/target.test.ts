import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { addressFault, allowFault, createGuard, originFault } from '../../src/proxy/target.ts'

/** Everything that can be allowed, in halves: a whole family cannot be written in postern.yaml. */
const everything = ['0.0.0.0/1', '128.0.0.0/1', '::/1', '8000::/1']

describe('addressFault', () => {
  test.each([
    '',
    'example.com',
    '[::1]',
    '0x7f.1',
    '127.1',
    '2130706433',
    '0177.0.0.1',
    '127.0.0.1.',
    '1.1.1.1 ',
  ])('S1: %j is no address, and refused', (text) => {
    expect(addressFault(text, everything)).toBe('is no IP address')
  })

  test.each([
    ['0.0.0.0', 'this network'],
    ['0.255.255.255', 'this network'],
    ['10.0.0.5', 'private'],
    ['100.64.0.1', 'shared by carriers'],
    ['100.127.255.255', 'shared by carriers'],
    ['127.0.0.1', 'loopback'],
    ['127.255.255.254', 'loopback'],
    ['172.16.0.1', 'private'],
    ['172.31.255.255', 'private'],
    ['192.0.0.1', 'reserved for protocols'],
    ['192.0.2.1', 'documentation'],
    ['192.31.196.1', 'reserved for protocols'],
    ['192.52.193.1', 'reserved for protocols'],
    ['192.88.99.1', 'reserved for protocols'],
    ['192.168.1.1', 'private'],
    ['192.175.48.1', 'reserved for protocols'],
    ['198.18.0.1', 'benchmarking'],
    ['198.19.255.255', 'benchmarking'],
    ['198.51.100.1', 'documentation'],
    ['203.0.113.1', 'documentation'],
    ['224.0.0.1', 'multicast'],
    ['239.255.255.255', 'multicast'],
    ['240.0.0.1', 'reserved'],
    ['255.255.255.255', 'reserved'],
    ['::ffff:127.0.0.1', 'loopback'],
    ['::ffff:a00:5', 'private'],
    ['::', 'no global address'],
    ['::1', 'loopback'],
    ['::7f00:1', 'no global address'],
    ['100::1', 'no global address'],
    ['100:0:0:1::1', 'no global address'],
    ['5f00::1', 'no global address'],
    ['fc00::1', 'private'],
    ['fdff:ffff::1', 'private'],
    ['fec0::1', 'no global address'],
    ['ff02::1', 'multicast'],
    ['4000::1', 'no global address'],
    ['2001:2::1', 'reserved for protocols'],
    ['2001:20::1', 'reserved for protocols'],
    ['2001:1ff:ffff::1', 'reserved for protocols'],
    ['2001:db8::1', 'documentation'],
    ['2620:4f:8000::1', 'reserved for protocols'],
    ['3fff:fff::1', 'documentation'],
  ])('S1 S2: %s is refused as %s, and passes where it is allowed', (address, why) => {
    expect(addressFault(address, [])).toContain(`is ${why}`)
    expect(addressFault(address, ['8.8.8.0/24', '2606:4700::/32'])).toContain(`is ${why}`)
    expect(addressFault(address, everything)).toBeNull()
    expect(addressFault(address, [address])).toBeNull()
  })

  test.each([
    '169.254.169.254',
    '169.254.170.2',
    '169.254.0.23',
    '::ffff:169.254.169.254',
    '::ffff:a9fe:a9fe',
    '100.100.100.200',
    '168.63.129.16',
    '192.0.0.192',
    'fe80::a9fe:a9fe',
    'fe80::1%eth0',
    'fd00:ec2::254',
    'fd00:ec2::23',
    'fd20:ce::254',
    'fd00:c1::a9fe:a9fe',
    'fd00:42::42',
    'fd00:a9fe:a9fe::1',
    'fd00:100::100:200',
  ])('S1: %s gives a machine its credentials: refused, allowed or not', (address) => {
    for (const allow of [[], everything, [address.replace(/%.*/, '')]]) {
      expect(addressFault(address, allow)).toMatch(/metadata service.*, never an upstream$/)
    }
  })

  test.each([
    ['6to4', '2002:a9fe:a9fe::1'],
    ['6to4 of a public address', '2002:808:808::1'],
    ['Teredo', '2001::1'],
    ['Teredo', '2001:0:4136:e378:8000:63bf:3fff:fdd2'],
    ['NAT64 of the site', '64:ff9b:1::a9fe:a9fe'],
    ['NAT64 of the site', '64:ff9b:1:abcd::1'],
    ['translated', '::ffff:0:7f00:1'],
  ])('S2: %s leads elsewhere: %s is refused, allowed or not', (_, address) => {
    for (const allow of [[], everything, [address]]) {
      expect(addressFault(address, allow)).toContain('to another address')
    }
  })

  test.each([
    ['64:ff9b::a9fe:a9fe', 'metadata'],
    ['64:ff9b::7f00:1', 'loopback'],
    ['64:ff9b::10.0.0.5', 'private'],
    ['64:ff9b::', 'this network'],
  ])('S2: NAT64 is what it carries: %s is %s, whatever is allowed', (address, why) => {
    expect(addressFault(address, everything)).toContain(why)
    expect(addressFault(address, ['64:ff9b::/96', '10.0.0.0/8'])).toContain(why)
  })

  test.each([
    '8.8.8.8',
    '1.1.1.1',
    '100.63.255.255',
    '100.128.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '169.253.255.255',
    '169.255.0.0',
    '198.20.0.0',
    '223.255.255.255',
    '::ffff:8.8.8.8',
    '64:ff9b::8.8.8.8',
    '2606:4700:4700::1111',
    '2001:200::1',
    '2001:db9::1',
    '2003::1',
    '3ffe::1',
  ])('%s is a global address', (address) => {
    expect(addressFault(address, [])).toBeNull()
  })

  test('a guard judges each address afresh', () => {
    const guard = createGuard(['127.0.0.0/8', 'fd12::/16'])
    expect(guard('127.0.0.1')).toBeNull()
    expect(guard('::ffff:127.0.0.1')).toBeNull()
    expect(guard('fd12::1')).toBeNull()
    expect(guard('10.0.0.1')).toBe('is private (10.0.0.0/8), which "allow" does not hold')
    expect(guard('::1')).toBe('is loopback (::1/128), which "allow" does not hold')
  })

  test.each(['', '10.0.0.0/33', 'localhost', '0x0a.0.0.0/8'])(
    'G10: an unreadable range %j is a breakage, not an empty list',
    (range) => {
      expect(() => createGuard([range])).toThrow('is no range of addresses')
    },
  )
})

describe('allowFault', () => {
  test.each([
    '169.254.0.0/16',
    '169.254.169.254/32',
    'fe80::/64',
    '100.100.100.200/32',
    '2002::/16',
  ])('S1: %s holds nothing that may be allowed', (range) => {
    expect(allowFault(range)).toContain('never an upstream')
  })

  test.each(['10.0.0.0/8', '100.64.0.0/10', '192.0.0.0/24', 'fd00::/8', '127.0.0.1/32'])(
    '%s may be allowed',
    (range) => {
      expect(allowFault(range)).toBeNull()
    },
  )
})

describe('originFault', () => {
  test.each([
    'http://0x7f.1',
    'http://0x7f000001',
    'http://2130706433',
    'http://127.1',
    'http://0177.0.0.1',
    'http://①②⑦.⓪.⓪.①',
    'http://127。0。0。1',
    'http://%31%32%37.0.0.1',
    'http://127.0.0.1.',
    'http://169.254.169.254.',
    'http://[::]',
    'http://0',
    'http://[::ffff:a9fe:a9fe]',
    'http://[::ffff:7f00:1]',
    'http://[::ffff:127.0.0.1]',
    'http://[0:0:0:0:0:0:0:1]',
    'http://[::1%25eth0]',
    'http://localhost.',
    'http://LOCALHOST',
    'http://a@169.254.169.254',
    'http://127.0.0.1@example.com',
    'http://169.254.169.254',
    'http://metadata.google.internal',
    'http://metadata.google.internal:80',
    'http://metadata',
    'http://instance-data',
    'http://[fd00:ec2::254]',
    'http://[64:ff9b::a9fe:a9fe]',
    'http://[2002:7f00:1::]',
  ])('S1: %s passes nowhere, though loopback and private ranges are allowed', (url) => {
    const allow = ['127.0.0.0/8', '10.0.0.0/8', '169.254.0.0/16', '::1/128', 'fd00::/8']
    expect(originFault(url, allow)).not.toBeNull()
  })

  test.each([
    'http://127.0.0.1:3000',
    'http://localhost:3000',
    'http://git.localhost',
    'http://10.0.0.5',
    'http://[::1]:8080',
    'https://[fd12::1]',
  ])('S1: %s passes where its address is allowed, and only there', (url) => {
    const allow = ['127.0.0.0/8', '10.0.0.0/8', '::1/128', 'fd12::/16']
    expect(originFault(url, allow)).toBeNull()
    expect(originFault(url, ['192.168.0.0/16'])).toMatch(/"allow"/)
    expect(originFault(url, [])).toMatch(/"allow"/)
  })

  test.each([
    ['', 'must be an http or https URL'],
    ['example.com', 'must be an http or https URL'],
    ['ftp://example.com', 'must be an http or https URL'],
    ['file:///etc/passwd', 'must be an http or https URL'],
    ['ws://example.com', 'must be an http or https URL'],
    ['javascript:alert(1)', 'must be an http or https URL'],
    ['http://a b', 'must be an http or https URL'],
    ['http://a:70000', 'must be an http or https URL'],
    ['http://1.2.3.4.5', 'must be an http or https URL'],
    ['http://u@example.com', 'must hold no credentials'],
    ['http://:p@example.com', 'must hold no credentials'],
    ['http://example.com/api', 'must have no path'],
    ['http://example.com//', 'must have no path'],
    ['http://example.com/..//x', 'must have no path'],
    ['http://example.com?x=1', 'must have no path'],
    ['http://example.com#x', 'must have no path'],
    ['http://example.com?', 'is read as http://example.com: write it so'],
    ['http://@example.com', 'is read as'],
    ['http://example.com:80', 'is read as http://example.com: write it so'],
    ['https://example.com:443', 'is read as'],
    ['HTTP://example.com', 'is read as'],
    ['http:example.com', 'is read as'],
    ['http:\\\\example.com', 'is read as'],
    ['http://Example.com', 'is read as'],
    ['http://exa\tmple.com', 'is read as'],
    [' http://example.com', 'is read as'],
    ['http://bücher.example', 'is read as http://xn--bcher-kva.example: write it so'],
    ['http://example.com:0', 'another port than 0'],
    ['http://example.com.', 'must not end in a dot'],
    ['http://*.example.com', 'must have a host name'],
    ['http://-a.example', 'must have a host name'],
    ['http://a..example', 'must have a host name'],
    [`http://${'a.'.repeat(150)}example`, 'must have a host name'],
  ])('S1 S5: %j is refused: %s', (url, why) => {
    expect(originFault(url, [])).toContain(why)
  })

  test.each([
    'http://example.com',
    'http://example.com/',
    'https://example.com:8443',
    'http://8.8.8.8:8080',
    'https://[2606:4700:4700::1111]',
    'http://git_server:3000',
    'http://echo.invalid',
  ])('%s passes', (url) => {
    expect(originFault(url, [])).toBeNull()
  })

  test('S1: a URL that passes is its own origin, and an address in it passes the guard', () => {
    const piece = fc.constantFrom(
      ...['127', '0', '1', '169', '254', '0x7f', '.', ':', '[', ']', '::', 'ffff', '@', '/', '\\'],
      ...['localhost', 'a', '%', '2e', '。', '①', '#', '?', '8.8.8.8', '-', '_', '\t', '64:ff9b::'],
    )
    const urls = fc.array(piece, { maxLength: 8 }).map((pieces) => `http://${pieces.join('')}`)
    fc.assert(
      fc.property(urls, (url) => {
        if (originFault(url, []) !== null) return
        const { origin, hostname } = new URL(url)
        expect([origin, `${origin}/`]).toContain(url)
        expect(hostname).not.toMatch(/(^|\.)localhost$|^127\.|^\[::|^0\.|\.$/)
        if (/^[\d.]+$/.test(hostname)) expect(addressFault(hostname, [])).toBeNull()
      }),
      { numRuns: Number(process.env.FUZZ_RUNS ?? 5000) },
    )
  })
})
