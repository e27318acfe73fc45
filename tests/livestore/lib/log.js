// The log as the hub holds it, asked for with a plain HTTP RPC: what a test compares the stores with.

/** One RPC over HTTP; gives the frames of the answer. */
export async function rpc(url, storeId, tag, payload, appPayload) {
  const query = new URLSearchParams({ storeId, transport: 'http' })
  if (appPayload !== undefined) query.set('payload', encodeURIComponent(JSON.stringify(appPayload)))
  const response = await fetch(`${url}?${query}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      _tag: 'Request',
      id: '0',
      tag: `SyncHttpRpc.${tag}`,
      payload: { storeId, ...(appPayload === undefined ? {} : { payload: appPayload }), ...payload },
      headers: [],
    }),
  })
  return { status: response.status, frames: await response.json() }
}

/** All events of the store, checked to be one unbroken chain. */
export async function log(url, storeId, appPayload) {
  const { frames } = await rpc(url, storeId, 'Pull', { cursor: { _tag: 'None' } }, appPayload)
  const exit = frames.at(-1)
  if (exit?._tag !== 'Exit' || exit.exit._tag !== 'Success') {
    throw new Error(`the pull did not succeed: ${JSON.stringify(exit)}`)
  }
  const pages = frames.filter((frame) => frame._tag === 'Chunk').flatMap((frame) => frame.values)
  const events = pages.flatMap((page) => page.batch).map((entry) => entry.eventEncoded)
  let head = 0
  for (const event of events) {
    if (event.parentSeqNum !== head || event.seqNum <= head) {
      throw new Error(`the log breaks at ${event.seqNum}: its parent is ${event.parentSeqNum}, not ${head}`)
    }
    head = event.seqNum
  }
  return events
}

/** Texts of the log's items, to compare with `Client.items`. */
export async function texts(url, storeId, appPayload) {
  return (await log(url, storeId, appPayload)).map((event) => event.args.text)
}

/** A program that appends to the log without LiveStore, always at the head that it knows. */
export class Writer {
  head = 0
  /** What it has written, in order. */
  texts = []

  constructor(url, storeId, clientId) {
    Object.assign(this, { url, storeId, clientId })
  }

  /** Pushes `count` events; if somebody else was faster, it goes on from the hub's head and tries again. */
  async push(count) {
    for (;;) {
      const added = Array.from({ length: count }, (_, place) => `${this.clientId}-${this.texts.length + place}`)
      const batch = added.map((text, place) => ({
        name: 'v1.ItemAdded',
        args: { text },
        seqNum: this.head + place + 1,
        parentSeqNum: this.head + place,
        clientId: this.clientId,
        sessionId: 'session',
      }))
      const { frames } = await rpc(this.url, this.storeId, 'Push', { batch, backendId: { _tag: 'None' } })
      const { exit } = frames.at(-1)
      if (exit._tag === 'Success') {
        this.head += count
        this.texts.push(...added)
        return
      }
      const { error } = [exit.cause].flat()[0]
      if (error?._tag !== 'ServerAheadError') throw new Error(`the push failed: ${JSON.stringify(exit)}`)
      this.head = error.minimumExpectedNum
    }
  }
}
