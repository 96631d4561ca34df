/**
 * A git server, as somebody might run it already: it knows nothing of Postern and asks for no key. A
 * repository comes into being when it is first pushed to. examples/git.yaml puts the gate in front.
 *
 *   npx node examples/git-server.ts [folder]
 *
 * PORT (7005) on 127.0.0.1; the repositories are in the folder, ./repositories without one.
 */
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { createServer } from 'node:http'
import { resolve } from 'node:path'
import { Git } from 'node-git-server'

const folder = resolve(process.argv[2] ?? 'repositories')
mkdirSync(folder, { recursive: true })
const git = new Git(folder)

// One segment that ends in .git: below another folder the package makes no repository where it should.
const repository = /^\/[\w-]+\.git\//

for (const event of ['push', 'tag', 'fetch']) {
  git.on(event, (action) => {
    action.on('service', (child: ChildProcessWithoutNullStreams) => {
      // The client has gone. Without this, git waits for the rest of its pack for ever.
      action.on('error', () => child.kill())
      child.stdin.on('error', () => {})
    })
    action.accept()
  })
}

// The package raises events that nobody can listen for when a client leaves early or sends rubbish.
process.on('uncaughtException', (error) => console.error(error.message))

const server = createServer((request, response) => {
  if (repository.test(request.url ?? '')) git.handle(request, response)
  else response.writeHead(404).end('not found\n')
})
server.listen(Number(process.env.PORT ?? 7005), '127.0.0.1', () => {
  console.log('listening on', server.address())
})
