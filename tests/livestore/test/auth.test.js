import assert from 'node:assert/strict'
import { test } from 'node:test'

import { makeShutdownDeferred } from '@livestore/livestore'
import { Deferred, Effect } from 'effect'

import { account } from '../lib/account.js'
import { rpc, texts } from '../lib/log.js'
import { Proxy } from '../lib/proxy.js'
import { onReference, startServer } from '../lib/server.js'
import { converged, openStore } from '../lib/store.js'
import { until } from '../lib/wait.js'

const skip = onReference && 'how to refuse is a setting of the hub'
const bad = { authToken: 'not a credential of this hub' }

for (const transport of ['ws', 'http']) {
  // Verifies: EVT-51, EVT-52
  test(`with auth_refusal=fail the app is told over ${transport} why it was refused`, { skip }, async (t) => {
    const { url } = await startServer(t, { env: { FERRY_EVENTS_AUTH_REFUSAL: 'fail' } })
    const storeId = 'refused'
    const down = await Effect.runPromise(makeShutdownDeferred)
    const reason = Effect.runPromise(Effect.flip(Deferred.await(down))).then(String, String)
    // An app that wants to know: it stops when syncing fails.
    const opened = openStore(t, {
      url,
      storeId,
      clientId: 'app',
      transport,
      payload: bad,
      sync: { onSyncError: 'shutdown' },
      shutdownDeferred: down,
    })
    const said = await Promise.race([reason, opened.then(() => reason, String)])
    assert.match(said, /UNAUTHORIZED/, 'the code')
    assert.match(said, /FerryError/, 'the kind of error')
    assert.deepEqual(await texts(url, storeId), [], 'nothing was written')
  })
}

// Verifies: EVT-52
test('by default a refused app works on offline, loses nothing and tries again', { skip }, async (t) => {
  const server = await startServer(t)
  const storeId = 'offline-without-credential'
  const cable = await Proxy.start(t, server.port)
  const refused = await openStore(t, { url: cable.url, storeId, clientId: 'app', payload: bad })
  refused.add('kept')
  await until('the app to try again', () => cable.connections >= 3)
  const good = await openStore(t, { url: server.url, storeId, clientId: 'other' })
  good.add('written')
  await converged(1, { url: server.url, storeId }, [good])
  assert.deepEqual(refused.items(), ['kept'])
  assert.equal((await rpc(server.url, storeId, 'Ping', {}, bad)).status, 401)
})

// Verifies: EVT-50, EVT-51
test('tokens open the stores of their database, to write or only to read', { skip }, async (t) => {
  const server = await startServer(t)
  const { create, payload } = await account(t, server)
  const id = await create('notes')
  const [write, read] = [await payload('notes', 'read,write'), await payload('notes', 'read')]
  const storeId = 'shared'
  const log = { url: server.url, storeId, payload: write }

  // One comes by the hub's common path, one by that of the database.
  const within = `http://127.0.0.1:${server.port}/v1/databases/${id}/livestore`
  const a = await openStore(t, { url: server.url, storeId, clientId: 'a', payload: write })
  const b = await openStore(t, { url: within, storeId, clientId: 'b', payload: write })
  const reader = await openStore(t, { url: server.url, storeId, clientId: 'reader', payload: read })
  a.add('by a')
  await converged(1, log, [a, b, reader])
  b.add('by b')
  await converged(2, log, [a, b, reader])

  reader.add('not allowed')
  a.add('after')
  await converged(3, log, [a, b])
  assert.deepEqual(await texts(server.url, storeId, write), ['by a', 'by b', 'after'])
  // The same storeId in the database of another credential is another store.
  assert.deepEqual(await texts(server.url, storeId), [])
})
