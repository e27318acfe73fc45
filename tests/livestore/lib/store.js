// A LiveStore client: the unmodified npm packages, one store in this process.
import { isDeepStrictEqual } from 'node:util'

import { makeAdapter } from '@livestore/adapter-node'
import { createStorePromise } from '@livestore/livestore'
import { makeHttpSync, makeWsSync } from '@livestore/sync-cf/client'
import { LogLevel } from 'effect'

import { texts } from './log.js'
import { events, schema, tables } from './schema.js'
import { until } from './wait.js'

/**
 * Opens a store and waits until it has booted, online or not. It is closed when the test `t` ends.
 *
 * @param {object} options
 * @param {string} options.url where it syncs
 * @param {string} options.storeId
 * @param {string} options.clientId
 * @param {string} [options.directory] keeps its log there, so that it can be opened again; else in memory
 * @param {'ws' | 'http'} [options.transport]
 * @param {object} [options.payload] what the app sends along, such as a token
 * @param {object} [options.ping] how often the client pings
 * @param {object} [options.sync] more options of LiveStore's `sync`; all others go to `createStorePromise`
 */
export async function openStore(t, options) {
  const { url, storeId, clientId, directory, transport = 'ws', ping = {}, payload, sync = {}, ...others } = options
  const backend =
    transport === 'http'
      ? makeHttpSync({ url, ping, livePull: { pollInterval: 200 } })
      : makeWsSync({ url, ping })
  const store = await createStorePromise({
    adapter: makeAdapter({
      storage: directory === undefined ? { type: 'in-memory' } : { type: 'fs', baseDirectory: directory },
      clientId,
      sync: { backend, ...sync },
    }),
    schema,
    storeId,
    disableDevtools: true,
    logLevel: LogLevel.None,
    ...(payload === undefined ? {} : { syncPayload: payload }),
    ...others,
  })
  const client = new Client(store)
  t.after(() => client.close())
  return client
}

/** An open store and what the tests ask of it. */
export class Client {
  constructor(store) {
    this.store = store
  }

  /** Adds one item per text, one event each, in one local transaction. */
  add(...texts) {
    this.store.commit(...texts.map((text) => events.itemAdded({ text })))
  }

  /** Texts of all items in the order of the log as this store sees it. */
  items() {
    return this.store.query(tables.items.orderBy('position', 'asc')).map((item) => item.text)
  }

  /** Closes the store; what it committed and could not send stays in its directory. */
  async close() {
    this.closed ??= this.store.shutdownPromise()
    await this.closed
  }
}

/**
 * Waits until the hub's log holds `count` items and every client shows exactly these, in this order; gives them.
 *
 * @param {{url: string, storeId: string, payload?: object}} log where the hub's log is asked for
 */
export async function converged(count, log, clients) {
  let hub = []
  await until(`${clients.length} clients with the ${count} items of the hub`, async () => {
    hub = await texts(log.url, log.storeId, log.payload)
    return hub.length === count && clients.every((client) => isDeepStrictEqual(client.items(), hub))
  }).catch((error) => {
    const seen = clients.map((client) => client.items().length)
    throw new Error(`${error.message}: the hub has ${hub.length}, the clients ${seen.join(', ')}`, { cause: error })
  })
  return hub
}
