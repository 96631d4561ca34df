/** The script of the reference page, where it lies beside the code. */
import { readFile } from 'node:fs/promises'
import { referenceScriptName } from '../../docs/reference.ts'

/** Reads the script, packed with gzip. It is not kept: browsers keep it. */
export const readReferenceScript = (): Promise<Uint8Array> =>
  readFile(new URL(`../../docs/assets/${referenceScriptName}.gz`, import.meta.url))
