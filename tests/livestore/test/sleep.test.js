import { test } from 'node:test'

import { Effect } from 'effect'

import { Proxy } from '../lib/proxy.js'
import { onReference, startServer } from '../lib/server.js'
import { converged, openStore } from '../lib/store.js'
import { until } from '../lib/wait.js'

// Verifies: EVT-33
test(
  'a client that slept gets what it missed',
  { skip: onReference && 'on the reference, a client that slept stays deaf until its next socket closes' },
  async (t) => {
    const server = await startServer(t)
    const storeId = 'sleeper'
    const log = { url: server.url, storeId }
    const cable = await Proxy.start(t, server.port)
    // Pings more often than by default, so that it notices sooner that it slept.
    const ping = { requestInterval: 1_000, requestTimeout: 1_000 }
    const sleeper = await openStore(t, { url: cable.url, storeId, clientId: 'sleeper', ping })
    const other = await openStore(t, { url: server.url, storeId, clientId: 'other' })
    other.add('before')
    await converged(1, log, [sleeper, other])

    cable.freeze()
    other.add('missed')
    await converged(2, log, [other])
    await until('the sleeper to notice', async () => {
      const status = await Effect.runPromise(sleeper.store.networkStatus)
      return !status.isConnected
    })
    cable.thaw()
    await converged(2, log, [sleeper, other])
    sleeper.add('awake')
    await converged(3, log, [sleeper, other])
  },
)
