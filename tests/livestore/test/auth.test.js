import assert from 'node:assert/strict'
import { test } from 'node:test'

import { makeShutdownDeferred } from '@livestore/livestore'
import { Deferred, Effect } from 'effect'

import { texts } from '../lib/log.js'
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
test('by default a refused app works on offline and loses nothing', { skip }, async (t) => {
  const server = await startServer(t)
  const storeId = 'offline-without-credential'
  const refused = await openStore(t, { url: server.url, storeId, clientId: 'app', payload: bad })
  refused.add('kept')
  await until('the hub to refuse', () => /401/.test(server.output) || refused.items().length === 1)
  assert.deepEqual(await texts(server.url, storeId), [])
  const good = await openStore(t, { url: server.url, storeId, clientId: 'other' })
  good.add('written')
  await converged(1, { url: server.url, storeId }, [good])
  assert.deepEqual(refused.items(), ['kept'])
})
