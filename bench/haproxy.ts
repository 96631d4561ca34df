/**
 * HAProxy as a peer of the proxy bench, where it is installed: a reverse proxy that looks the key up
 * in a map and counts its requests in a stick table, one process with one thread on the server's core.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../test/servers.ts'
import { isInstalled } from './load.ts'
import { startNative } from './native.ts'
import type { BenchServer, Listening } from './processes.ts'

// Debian keeps it out of the PATH of those who are not root.
const program = ['haproxy', '/usr/sbin/haproxy'].find((name) => isInstalled(name, '-v')) ?? null

/** Such as `HAProxy 2.6.12`; null where it is not installed. */
export function haproxyVersion(): string | null {
  if (program === null) return null
  const text = execFileSync(program, ['-v'], { encoding: 'utf8' })
  return `HAProxy ${/version (\d[\d.]*)/.exec(text)?.[1] ?? ''}`.trim()
}

/** Starts it in front of `upstreamUrl` for the key in `headers`; null where it is not installed. */
export async function startHaproxy(
  upstreamUrl: string,
  headers: Listening['headers'],
): Promise<BenchServer | null> {
  if (program === null) return null
  const folder = mkdtempSync(join(tmpdir(), 'postern-haproxy-'))
  const port = await freePort()
  const [file, map] = [join(folder, 'haproxy.cfg'), join(folder, 'keys.map')]
  writeFileSync(map, `${headers['x-api-key'] ?? ''} 1\n`)
  writeFileSync(file, configOf(port, new URL(upstreamUrl).host, map))
  return startNative({
    name: 'haproxy',
    command: [program, '-db', '-f', file],
    folder,
    listening: { url: `http://127.0.0.1:${port}/v1/hello`, headers },
  })
}

const configOf = (port: number, upstream: string, map: string): string => `
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend bench
  bind 127.0.0.1:${port}
  stick-table type string len 64 size 100k expire 2m store http_req_rate(1m)
  http-request deny deny_status 401 unless { req.hdr(x-api-key),map_str(${map}) -m str 1 }
  http-request track-sc0 req.hdr(x-api-key)
  http-request deny deny_status 429 if { sc_http_req_rate(0) gt 100000000 }
  default_backend upstream
backend upstream
  server one ${upstream}
`
