import { expect, test } from 'vitest'
import { echoOf } from '../../src/proxy/echo.ts'

test('says what arrived, repeated fields as lists, whatever they are called', () => {
  const raw = [
    'Host',
    'gw',
    'X-A',
    '1',
    'x-a',
    '2',
    'X-a',
    '3',
    '__proto__',
    'x',
    'constructor',
    'y',
  ]
  const said = JSON.parse(JSON.stringify(echoOf('PUT', '/echo/a?b', raw, 7)))
  expect(said).toMatchObject({ method: 'PUT', path: '/echo/a?b', bodyBytes: 7 })
  expect(Object.entries(said.headers)).toEqual([
    ['host', 'gw'],
    ['x-a', ['1', '2', '3']],
    ['__proto__', 'x'],
    ['constructor', 'y'],
  ])
})
