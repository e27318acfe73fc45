import { test } from 'node:test'

import { Effect } from 'effect'

import { pair } from '../lib/pair.js'
import { onReference } from '../lib/server.js'
import { converged } from '../lib/store.js'
import { until } from '../lib/wait.js'

// Verifies: EVT-33
test(
  'a client that slept gets what it missed',
  { skip: onReference && 'on the reference, a client that slept stays deaf until its next socket closes' },
  async (t) => {
    // Pings more often than by default, so that it notices sooner that it slept.
    const ping = { requestInterval: 1_000, requestTimeout: 1_000 }
    const { cable, log, a: sleeper, b: other } = await pair(t, 'sleeper', { ping })

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
