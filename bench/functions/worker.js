// The reference: one Durable Object with the database, the functions, and the sockets that are told when it changed. It
// keeps who shows what in memory, and tells without looking whether a result differs.
import { DurableObject } from 'cloudflare:workers'
import { drizzle } from 'drizzle-orm/durable-sqlite'
import * as functions from './project/functions/index.ts'

const HASH = '4l0bjr'
const INVALIDATE = JSON.stringify({ action: 'invalidate', tables: [HASH] })
const WRITES = new Set(['createUser', 'tenStatements', 'fill', 'rename'])

export class Database extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env)
    ctx.storage.sql.exec(
      'CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, name TEXT NOT NULL, email TEXT UNIQUE)',
    )
    this.db = drizzle(ctx.storage)
    this.showing = new Set()
  }

  async fetch(request) {
    const url = new URL(request.url)
    if (url.pathname === '/ws') {
      const [client, server] = Object.values(new WebSocketPair())
      this.ctx.acceptWebSocket(server, [url.searchParams.get('sessionId')])
      return new Response(null, { status: 101, webSocket: client })
    }
    const name = url.pathname.slice('/rpc/'.length)
    const call = functions[name]
    if (!call) return Response.json({ success: false, error: `NOT_FOUND: ${name}` }, { status: 404 })
    const data = await call({ db: this.db }, await request.json())
    if (WRITES.has(name)) this.tell()
    else {
      const session = request.headers.get('X-Edgepod-Session-Id')
      if (session) this.showing.add(session)
    }
    return Response.json({ success: true, data, _meta: { t: [HASH] } })
  }

  tell() {
    for (const session of this.showing) {
      for (const socket of this.ctx.getWebSockets(session)) socket.send(INVALIDATE)
    }
  }

  webSocketMessage(socket) {
    socket.send('pong')
  }
}

export default {
  fetch(request, env) {
    return env.DATABASE.get(env.DATABASE.idFromName('bench')).fetch(request)
  },
}
