/**
 * `postern openapi`: what a platform's OpenAPI document means for its gateway. The document is read
 * here, on this machine; nothing is sent anywhere, and what is made is written out to be reviewed.
 */
import type { Order } from './command.ts'
import { done, say, type Terminal } from './terminal.ts'

/** Adds the commands. */
export function openapiOrder(program: Order, terminal: Terminal): void {
  const openapi = program.command('openapi').description('make configuration of OpenAPI documents')
  openapi
    .examples('postern openapi import openapi.json > routes.yaml')
    .command('import <file>')
    .description('write routes, permissions and mocks for a document (3.0 or 3.1, JSON or YAML)')
    .option('--upstream <name>', 'what the service is called', 'api')
    .examples(
      'postern openapi import openapi.json',
      'postern openapi import shop.yaml --upstream shop',
    )
    .action(async (file: string, { upstream }: { upstream: string }) => {
      const { importDocument } = await import('../admin.ts')
      const { yaml, says } = await importDocument(file, upstream)
      const [made = '', ...rest] = says
      terminal.out(yaml)
      done(terminal, made)
      for (const line of rest) say(terminal, `  ${line}`)
    })
}
