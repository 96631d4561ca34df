/**
 * Installs the servers and clients that the tests start, with the system's package manager.
 *
 * It is done under `CI` or as root, and said in one line; anywhere else the command is printed and
 * left to the person whose machine it is.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { findServers, type Installed } from './servers.ts'

/** One script for `sh -c`, and the same in words to paste. */
type PackageManager = {
  readonly program: string
  readonly script: string
  readonly command: string
}

const managers: readonly PackageManager[] = [
  {
    program: 'usr/bin/apt-get',
    // Debian starts a service as soon as it is installed; policy-rc.d (exit 101) is its own way to
    // say no. One that is there already stays as it is.
    script: [
      'set -e; export DEBIAN_FRONTEND=noninteractive; policy=/usr/sbin/policy-rc.d',
      'if [ ! -e "$policy" ]; then trap \'rm -f "$policy"\' EXIT',
      'printf "#!/bin/sh\\nexit 101\\n" > "$policy"; chmod +x "$policy"; fi',
      'apt-get -qq update',
      'apt-get -qq install -y --no-install-recommends postgresql redis-server pgbouncer curl python3 bubblewrap',
    ].join('\n'),
    command:
      'apt-get update && apt-get install -y postgresql redis-server pgbouncer curl python3 bubblewrap',
  },
  {
    program: 'sbin/apk',
    script: 'apk add --quiet postgresql redis pgbouncer curl python3 bubblewrap',
    command: 'apk add postgresql redis pgbouncer curl python3 bubblewrap',
  },
  {
    program: 'usr/bin/dnf',
    script:
      'dnf install -q -y postgresql-server pgbouncer valkey curl python3 bubblewrap || dnf install -q -y postgresql-server pgbouncer redis curl python3 bubblewrap',
    command: 'dnf install -y postgresql-server pgbouncer valkey curl python3 bubblewrap',
  },
]

export type Host = {
  readonly root: string
  readonly isRoot: boolean
  readonly isCi: boolean
  /** Runs a script and answers its exit code and what it printed. */
  readonly sh: (script: string, sudo: boolean) => { readonly code: number; readonly output: string }
  readonly say: (line: string) => void
  readonly find: () => Installed
}

/**
 * Answers null when all servers are there, installed just now if need be; else the sentences that
 * say what is missing and the one command that would help.
 */
export function ensureInstalled(host: Host): string | null {
  const missing = missingOf(host.find())
  if (missing === null) return null
  const manager = managers.find(({ program }) => existsSync(join(host.root, program)))
  if (manager === undefined) {
    return `${missing} not installed, and no package manager known here (apt-get, apk, dnf).\nInstall PostgreSQL, Redis, PgBouncer, Python 3 and bubblewrap, then run it again.`
  }
  const help = `Run: ${host.isRoot ? manager.command : `sudo sh -c '${manager.command}'`}`
  if (!host.isRoot && !host.isCi) return `${missing} not installed.\n${help}`
  host.say(`${missing} not installed: installing with \`${manager.command}\` …`)
  const { code, output } = host.sh(manager.script, !host.isRoot)
  if (code !== 0) return `${output.trim()}\n${missing} not installed, and that failed.\n${help}`
  const still = missingOf(host.find())
  return still === null ? null : `${still} still not found after installing it.\n${help}`
}

function missingOf({
  postgresBin,
  redisServer,
  pgbouncer,
  python3,
  bwrap,
}: Installed): string | null {
  const found = {
    PostgreSQL: postgresBin,
    Redis: redisServer,
    PgBouncer: pgbouncer,
    'Python 3': python3,
    bubblewrap: bwrap,
  }
  const names = Object.entries(found).flatMap(([name, program]) => (program === null ? [name] : []))
  if (names.length === 0) return null
  const last = names.pop()
  return names.length === 0 ? `${last} is` : `${names.join(', ')} and ${last} are`
}

/** This machine. */
export function thisHost(say: Host['say']): Host {
  return {
    root: '/',
    isRoot: process.getuid?.() === 0,
    isCi: /^(1|true|yes)$/i.test(process.env.CI ?? ''),
    find: () => findServers(),
    say,
    sh(script, sudo) {
      const [command, ...args] = [...(sudo ? ['sudo', '-n'] : []), 'sh', '-c', script]
      // Always there: the list ends with three words.
      const done = spawnSync(command ?? 'sh', args, {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
        maxBuffer: 64 << 20,
      })
      return { code: done.status ?? 1, output: done.error?.message ?? done.stdout + done.stderr }
    },
  }
}
