// A fault point of the hub that waits while a file is there (crates/sqlite/src/fault.rs; debug builds only).
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import { directory } from './temporary.js'
import { until } from './wait.js'

export class Gate {
  #file
  #opening

  /** A gate at the fault point `name`, open at first. It goes when the test `t` ends. */
  constructor(t, name) {
    this.#file = join(directory(t), 'held')
    this.env = { FERRY_FAULT: `${name}=wait:${this.#file}` }
    this.#opening = setInterval(() => rmSync(this.#file, { force: true }), 5)
    t.after(() => clearInterval(this.#opening))
  }

  /** From now on, who comes to the fault point waits there. */
  close() {
    clearInterval(this.#opening)
    rmSync(this.#file, { force: true })
  }

  /** Waits until somebody stands at the closed gate. */
  async reached() {
    await until('the fault point', () => existsSync(this.#file))
  }
}
