/** The package as it is installed: one module and its types, for anything since ES2022. */
import { defineConfig } from 'tsdown'

export default defineConfig({
  entry: 'src/postern.ts',
  format: 'esm',
  platform: 'neutral',
  target: 'es2022',
  fixedExtension: false,
  dts: { oxc: true },
  // Everything that is bundled is ours: there are no dependencies.
  clean: true,
})
