// The sync backend under test, as a process of its own: a Ferry hub, or LiveStore's own backend where
// REFERENCE is set, which shows that the tests ask for nothing the reference does not do.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { until } from './wait.js'

/** Whether the reference stands in for the hub. */
export const onReference = process.env.REFERENCE !== undefined
const REFERENCE = fileURLToPath(new URL('../../../bench/livestore/reference', import.meta.url))

/** A running backend. Its data survive `kill` and `start`, not `stop`. */
class Server {
  constructor({ args = [], env = {} }) {
    this.args = args
    this.env = env
    this.home = mkdtempSync(join(tmpdir(), 'ferry-livestore-'))
  }

  /** Where clients sync. */
  get url() {
    return `http://127.0.0.1:${this.port}/livestore`
  }

  /** Starts it, on the port it had before if there was one, and waits until it answers. */
  async start({ env = {} } = {}) {
    this.port ??= await freePort()
    this.output = ''
    const { command, args } = onReference ? reference(this) : ferry(this)
    const environment = { ...cleanEnvironment(), ...this.env, ...env }
    this.child = spawn(command, args, { cwd: this.home, env: environment, stdio: ['ignore', 'pipe', 'pipe'] })
    this.ended = new Promise((resolve) => this.child.once('exit', (code, signal) => resolve(code ?? signal)))
    this.child.once('exit', (code, signal) => (this.end = code ?? signal))
    this.end = undefined
    for (const source of [this.child.stdout, this.child.stderr]) {
      source.setEncoding('utf8').on('data', (text) => (this.output += text))
    }
    await until('the backend to answer', async () => {
      if (this.end !== undefined) return true
      const answer = await fetch(`http://127.0.0.1:${this.port}/${onReference ? '' : 'healthz'}`)
      return answer.ok
    })
    if (this.end !== undefined) throw new Error(`the backend ended with ${this.end}:\n${this.output}`)
    return this
  }

  /** Ends it with `kill -9`. */
  async kill() {
    this.child.kill('SIGKILL')
    await this.ended
  }

  /** Asks it to end, and waits until it has. */
  async stopGently() {
    this.child.kill('SIGTERM')
    await this.ended
  }

  /** Ends it and removes its data. */
  async stop() {
    await this.kill()
    rmSync(this.home, { recursive: true, force: true })
  }
}

/** The environment without what would tell the hub or the command line something. */
export function cleanEnvironment() {
  const foreign = ([name]) => name.startsWith('FERRY_') || name === 'NODE_OPTIONS' || name === 'RUST_LOG'
  return Object.fromEntries(Object.entries(process.env).filter((variable) => !foreign(variable)))
}

function ferry({ args, port, home }) {
  const binary = process.env.FERRY_BIN
  if (!binary) throw new Error('FERRY_BIN must name the ferry binary')
  return {
    command: binary,
    args: ['serve', '--dev', '--listen', `127.0.0.1:${port}`, '--data-dir', join(home, 'data'), ...args],
  }
}

function reference({ port, home }) {
  return { command: REFERENCE, args: [String(port), join(home, 'data')] }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address()
      probe.close(() => resolve(port))
    })
  })
}

/** Starts a backend and stops it when the test `t` ends; a failed test shows what the backend said. */
export async function startServer(t, options = {}) {
  const server = new Server(options)
  t.after(async () => {
    await server.stop()
    if (process.env.SHOW_LOG) console.error(server.output)
  })
  return server.start(options)
}
