/**
 * Before every test file: properties draw the same cases in every run, so that a red run can be run
 * again and a green one stays green. `FUZZ_SEED=random npm test` draws others, any number draws its own.
 */
import fc from 'fast-check'

const { FUZZ_SEED: wanted = '20261126' } = process.env

if (wanted !== 'random') fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(wanted) })
