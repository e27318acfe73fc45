// Two clients of one store, of which one hangs on a cable that can be cut.
import { Proxy } from './proxy.js'
import { startServer } from './server.js'
import { converged, openStore } from './store.js'

/**
 * Starts a hub and opens the store at `a`, behind the cable, and at `b`: directly, or behind the cable too. Both have
 * got the item `before`.
 */
export async function pair(t, storeId, { both = false, ping } = {}) {
  const server = await startServer(t)
  const log = { url: server.url, storeId }
  const cable = await Proxy.start(t, server.port)
  const a = await openStore(t, { url: cable.url, storeId, clientId: 'a', ping })
  const b = await openStore(t, { url: both ? cable.url : server.url, storeId, clientId: 'b' })
  b.add('before')
  await converged(1, log, [a, b])
  return { server, cable, log, a, b }
}
