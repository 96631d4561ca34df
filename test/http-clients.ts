/**
 * The clients that documents show: curl, JavaScript's `fetch` and Python's `requests` (without it, what
 * comes with Python), each as a process of its own that knows nothing of this one.
 */
import { tmpdir } from 'node:os'
import { run } from './process.ts'
import { findServers } from './servers.ts'

export type Asked = {
  readonly url: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly query?: Readonly<Record<string, string>>
  /** Sent as JSON. */
  readonly body?: unknown
}

export type Told = {
  readonly status: number
  /** By their names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
  // What a test expects of it is what it checks.
  readonly json: ReturnType<typeof JSON.parse>
}

export type HttpClient = {
  readonly name: 'curl' | 'JavaScript' | 'Python'
  send(asked: Asked): Promise<Told>
  /** One after the other; what starts slowly starts once. */
  sendAll(asked: readonly Asked[]): Promise<readonly Told[]>
}

// Only what a program needs: a proxy of this machine's has no part in it.
const env = { PATH: process.env.PATH, HOME: tmpdir() }

const inJavaScript = `
let text = ''
for await (const piece of process.stdin) text += piece
const told = []
for (const { url, method, headers, query, body } of JSON.parse(text)) {
  const address = query ? url + '?' + new URLSearchParams(query) : url
  const response = await fetch(address, { method, headers, body: JSON.stringify(body) })
  told.push({
    status: response.status,
    headers: Object.fromEntries(response.headers),
    text: await response.text(),
  })
}
console.log(JSON.stringify(told))`

const inPython = `
import json, sys
try:
    import requests
except ImportError:
    import urllib.error, urllib.parse, urllib.request
    requests = None

def send(url, method="GET", headers={}, query=None, body=None):
    if requests:
        response = requests.request(method, url, headers=headers, params=query, json=body)
        return response.status_code, response.headers, response.text
    if query:
        url += "?" + urllib.parse.urlencode(query)
    data = None if body is None else json.dumps(body).encode()
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method))
    except urllib.error.HTTPError as refused:
        response = refused
    return response.status, response.headers, response.read().decode()

told = []
for asked in json.load(sys.stdin):
    status, headers, text = send(**asked)
    lower = {name.lower(): value for name, value in headers.items()}
    told.append({"status": status, "headers": lower, "text": text})
print(json.dumps(told))`

export const curl: HttpClient = {
  name: 'curl',
  async send({ url, method, headers = {}, query, body }) {
    const args = ['-sSi', '--max-time', '20']
    if (method !== undefined) args.push('-X', method)
    for (const [name, value] of Object.entries(headers)) args.push('-H', `${name}: ${value}`)
    if (query !== undefined) args.push('-G')
    for (const pair of Object.entries(query ?? {})) args.push('--data-urlencode', pair.join('='))
    if (body !== undefined) args.push('-d', JSON.stringify(body))
    const { stdout, stderr } = await run('curl', [...args, url], { env })
    const end = stdout.indexOf('\r\n\r\n')
    const [status = '', ...lines] = stdout.slice(0, end).split('\r\n')
    const [, code] = /^HTTP\/1\.1 (\d{3}) /.exec(status) ?? []
    if (code === undefined) throw new Error(`curl ${url}:\n${stderr}${stdout}`)
    const pairs = lines.map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    })
    return told({
      status: Number(code),
      headers: Object.fromEntries(pairs),
      text: stdout.slice(end + 4),
    })
  },
  async sendAll(asked) {
    const answers: Told[] = []
    for (const one of asked) answers.push(await curl.send(one))
    return answers
  },
}

const javaScript = scripted('JavaScript', () => [
  process.execPath,
  ['--input-type=module', '-e', inJavaScript],
])

const python = scripted('Python', () => {
  const { python3 } = findServers()
  if (python3 === null) throw new Error('Python 3 is not installed')
  return [python3, ['-c', inPython]]
})

/** All three, for `describe.each`. */
export const httpClients: readonly HttpClient[] = [curl, javaScript, python]

/** A client that reads what it is to send, as a list, and prints what it was told. */
function scripted(name: HttpClient['name'], command: () => [string, string[]]): HttpClient {
  const sendAll = async (asked: readonly Asked[]) => {
    const [program, args] = command()
    const input = JSON.stringify(asked)
    const { code, stdout, stderr } = await run(program, args, { env, input })
    if (code !== 0) throw new Error(`${program}:\n${stderr}`)
    const answers: Omit<Told, 'json'>[] = JSON.parse(stdout)
    return answers.map(told)
  }
  const send = async (asked: Asked) => {
    const [answer] = await sendAll([asked])
    if (answer === undefined) throw new Error(`${name} was told nothing`)
    return answer
  }
  return { name, send, sendAll }
}

function told(answer: Omit<Told, 'json'>): Told {
  return {
    ...answer,
    json: /json/.test(answer.headers['content-type'] ?? '') ? JSON.parse(answer.text) : null,
  }
}
