import { defineConfig } from 'drizzle-kit'

// `npx drizzle-kit generate` writes the next drizzle/NNNN_*.sql; it needs no database and no network.
// roles.sql runs before the generated files and rls.sql after them: see src/db/migrate.ts.
export default defineConfig({
  dialect: 'postgresql',
  schema: './src/db/schema.ts',
  out: './drizzle',
})
