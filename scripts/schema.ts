/** Writes postern.schema.json anew: `node scripts/schema.ts`. A test fails while it is out of date. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { schemaText } from '../src/config/schema.ts'

const file = fileURLToPath(new URL('../postern.schema.json', import.meta.url))
writeFileSync(file, schemaText())
execFileSync('npx', ['biome', 'format', '--write', file], { stdio: 'inherit' })
