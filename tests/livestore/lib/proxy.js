// A cable that can be cut: a TCP proxy between the clients and the hub.
import { connect, createServer } from 'node:net'

export class Proxy {
  #target
  #listener
  #pairs = new Set()
  #online = true
  #deaf = false
  #frozen = false
  /** Connections that clients have opened so far. */
  connections = 0
  /** Bytes that the hub sent while nobody could hear it. */
  heldBack = 0

  /** A proxy in front of `port`; it goes when the test `t` ends. */
  static async start(t, port) {
    const proxy = new Proxy()
    proxy.#target = port
    proxy.#listener = createServer((client) => proxy.#join(client))
    await new Promise((resolve) => proxy.#listener.listen(0, '127.0.0.1', resolve))
    t.after(() => {
      proxy.#listener.close()
      proxy.cut()
    })
    return proxy
  }

  get url() {
    return `http://127.0.0.1:${this.#listener.address().port}/livestore`
  }

  /** Cuts every connection and refuses new ones. */
  cut() {
    this.#online = false
    this.#drop()
  }

  /** Cuts every connection; new ones get through. */
  #drop() {
    for (const { client, hub } of this.#pairs) {
      client.destroy()
      hub.destroy()
    }
    this.#pairs.clear()
  }

  /** Lets clients through again. */
  restore() {
    this.#deaf = false
    this.#online = true
  }

  /** Lets nothing through in either direction, and closes nothing: what sleep does to a laptop's connections. */
  freeze() {
    this.#frozen = true
    for (const { client, hub } of this.#pairs) for (const side of [client, hub]) side.pause()
  }

  /** Lets everything through again, what waited meanwhile first. */
  thaw() {
    this.#frozen = false
    for (const { client, hub } of this.#pairs) for (const side of [client, hub]) side.resume()
  }

  /** From now on what clients send arrives and what the hub answers does not. */
  holdAnswers() {
    this.heldBack = 0
    this.#deaf = true
  }

  #join(client) {
    this.connections += 1
    if (!this.#online) {
      client.destroy()
      return
    }
    const hub = connect(this.#target, '127.0.0.1')
    const pair = { client, hub }
    this.#pairs.add(pair)
    client.on('data', (bytes) => hub.write(bytes))
    hub.on('data', (bytes) => {
      if (this.#deaf) this.heldBack += bytes.length
      else client.write(bytes)
    })
    if (this.#frozen) for (const side of [client, hub]) side.pause()
    const end = () => {
      client.destroy()
      hub.destroy()
      this.#pairs.delete(pair)
    }
    for (const side of [client, hub]) side.on('error', end).on('close', end)
  }
}
