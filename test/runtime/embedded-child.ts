/**
 * A process of its own that opens the folder it is given and says so on its standard output: `open`,
 * or why not. Then it stores a row per line of input `row`, and acknowledges each, until it is killed.
 */
import { createInterface } from 'node:readline'
import pg from 'pg'
import { openEmbedded } from '../../src/runtime/node/embedded.ts'

const say = (line: string) => process.stdout.write(`${line}\n`)

try {
  const embedded = await openEmbedded(process.argv[2]!)
  const client = new pg.Client(embedded.connection)
  await client.connect()
  await client.query('create table if not exists public.kept (n int primary key)')
  say('open')
  for await (const line of createInterface(process.stdin)) {
    await client.query('insert into public.kept values ($1)', [Number(line)])
    say(`kept ${line}`)
  }
} catch (error) {
  say(error instanceof Error ? `${error.name}: ${error.message}` : String(error))
}
