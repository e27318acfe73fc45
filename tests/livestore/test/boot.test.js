import assert from 'node:assert/strict'
import { test } from 'node:test'

import { Writer } from '../lib/log.js'
import { onReference, startServer } from '../lib/server.js'
import { converged, openStore } from '../lib/store.js'
import { until } from '../lib/wait.js'

/** Events in the log before anybody boots. */
const HISTORY = 800
/** The writer never pauses before the log is that long, and stops for good at `MOST`. */
const LEAST = 2_000
const MOST = 8_000
/** Events per push of the writer. */
const BATCH = 10

// Verifies: EVT-20, EVT-21, EVT-22
test(
  'a store that boots while others write without pause ends with the same log',
  { skip: onReference && 'on the reference, live events overtake the history and the store stops early' },
  async (t) => {
    const { url } = await startServer(t)
    const storeId = 'boot'
    const writer = new Writer(url, storeId, 'writer')
    while (writer.head < HISTORY) await writer.push(BATCH)

    let booted = false
    const writing = (async () => {
      while (writer.head < LEAST || (!booted && writer.head < MOST)) await writer.push(BATCH)
    })()
    const client = await openStore(t, { url, storeId, clientId: 'booting' })
    await until('the first history in the store', () => client.items().length >= HISTORY)
    booted = true
    assert.ok(writer.head > HISTORY, 'the writer has gone on meanwhile')
    client.add('mine 1', 'mine 2')
    await writing

    const items = await converged(writer.texts.length + 2, { url, storeId }, [client])
    assert.deepEqual(items.filter((text) => text.startsWith('writer-')), writer.texts)
    assert.deepEqual(items.filter((text) => text.startsWith('mine')), ['mine 1', 'mine 2'])
  },
)
