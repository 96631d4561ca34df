/**
 * nginx as a peer of the proxy bench, where it is installed: a reverse proxy that looks the key up in
 * a map and counts it with `limit_req`, one process on the server's core.
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
const program = ['nginx', '/usr/sbin/nginx'].find((name) => isInstalled(name, '-v')) ?? null

/** Such as `nginx/1.28.0`; null where it is not installed. */
export function nginxVersion(): string | null {
  if (program === null) return null
  // It says so on standard error.
  const text = execFileSync('sh', ['-c', '"$0" -v 2>&1', program], { encoding: 'utf8' })
  return /nginx\/\S+/.exec(text)?.[0] ?? 'nginx'
}

/** Starts it in front of `upstreamUrl` for the key in `headers`; null where it is not installed. */
export async function startNginx(
  upstreamUrl: string,
  headers: Listening['headers'],
): Promise<BenchServer | null> {
  if (program === null) return null
  const folder = mkdtempSync(join(tmpdir(), 'postern-nginx-'))
  const port = await freePort()
  const file = join(folder, 'nginx.conf')
  writeFileSync(file, configOf(folder, port, new URL(upstreamUrl).host, headers['x-api-key'] ?? ''))
  return startNative({
    name: 'nginx',
    command: [program, '-p', folder, '-c', file, '-e', 'stderr'],
    folder,
    listening: { url: `http://127.0.0.1:${port}/v1/hello`, headers },
  })
}

const configOf = (folder: string, port: number, upstream: string, key: string): string => `
daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  keepalive_requests 1000000000;
  map_hash_bucket_size 256;
  map $http_x_api_key $known { default 0; "${key}" 1; }
  limit_req_zone $http_x_api_key zone=keys:1m rate=1000000r/s;
  upstream bench { server ${upstream}; keepalive 128; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port};
    location / {
      if ($known = 0) { return 401; }
      limit_req zone=keys burst=1000000 nodelay;
      proxy_pass http://bench;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }
}
`
