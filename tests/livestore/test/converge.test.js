import assert from 'node:assert/strict'
import { test } from 'node:test'

import { startServer } from '../lib/server.js'
import { converged, openStore } from '../lib/store.js'

for (const [mine, yours] of [
  ['ws', 'ws'],
  ['http', 'http'],
  ['ws', 'http'],
]) {
  // Verifies: EVT-01, EVT-06, EVT-20, EVT-21
  test(`stores on ${mine} and ${yours} commit in turns and at once and end with the log of the hub`, async (t) => {
    const { url } = await startServer(t)
    const storeId = `converge-${mine}-${yours}`
    const log = { url, storeId }
    const a = await openStore(t, { url, storeId, clientId: 'a', transport: mine })
    const b = await openStore(t, { url, storeId, clientId: 'b', transport: yours })

    a.add('a1')
    await converged(1, log, [a, b])
    b.add('b1', 'b2')
    assert.deepEqual(await converged(3, log, [a, b]), ['a1', 'b1', 'b2'])

    for (let round = 0; round < 5; round++) {
      a.add(`a-at-once-${round}`)
      b.add(`b-at-once-${round}`)
    }
    const items = await converged(13, log, [a, b])
    assert.equal(new Set(items).size, 13, 'no item twice')

    const late = await openStore(t, { url, storeId, clientId: 'late', transport: mine })
    await converged(13, log, [a, b, late])
  })
}
