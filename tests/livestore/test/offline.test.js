import assert from 'node:assert/strict'
import { test } from 'node:test'

import { texts } from '../lib/log.js'
import { pair } from '../lib/pair.js'
import { Proxy } from '../lib/proxy.js'
import { startServer } from '../lib/server.js'
import { converged, openStore } from '../lib/store.js'
import { directory } from '../lib/temporary.js'

// Verifies: EVT-01, EVT-06
test('two stores edited offline rebase to one log when they are back', async (t) => {
  const { cable, log, a, b } = await pair(t, 'offline', { both: true })

  cable.cut()
  a.add('a1', 'a2', 'a3')
  b.add('b1', 'b2')
  a.add('a4')
  assert.deepEqual(a.items(), ['before', 'a1', 'a2', 'a3', 'a4'])
  assert.deepEqual(b.items(), ['before', 'b1', 'b2'])
  assert.deepEqual(await texts(log.url, log.storeId), ['before'])

  cable.restore()
  const items = await converged(7, log, [a, b])
  assert.deepEqual(items.toSorted(), ['a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'before'])
  const own = (name) => items.filter((text) => text.startsWith(name))
  assert.deepEqual(own('a'), ['a1', 'a2', 'a3', 'a4'], 'each keeps its own order')
  assert.deepEqual(own('b1').concat(own('b2')), ['b1', 'b2'])
})

// Verifies: EVT-05, EVT-40
test('what an app committed before it was closed reaches the hub when it is opened again', async (t) => {
  const server = await startServer(t)
  const storeId = 'reopened'
  const log = { url: server.url, storeId }
  const cable = await Proxy.start(t, server.port)
  const app = { url: cable.url, storeId, clientId: 'app', directory: directory(t) }
  const other = await openStore(t, { url: server.url, storeId, clientId: 'other' })

  const first = await openStore(t, app)
  first.add('online')
  await converged(1, log, [first, other])
  cable.cut()
  first.add('offline 1', 'offline 2')
  await first.close()
  other.add('meanwhile')
  await converged(2, log, [other])

  cable.restore()
  const again = await openStore(t, app)
  const items = await converged(4, log, [again, other])
  assert.deepEqual(items, ['online', 'meanwhile', 'offline 1', 'offline 2'])
})
