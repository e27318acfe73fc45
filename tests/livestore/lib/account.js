// A user of the hub, by means of the command line.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

import { cleanEnvironment } from './server.js'
import { directory } from './temporary.js'

const run = promisify(execFile)

/** Signs a user up at `server`. */
export async function account(t, server) {
  const env = {
    ...cleanEnvironment(),
    FERRY_SERVER: `http://127.0.0.1:${server.port}`,
    FERRY_CONFIG_DIR: directory(t),
    FERRY_PASSWORD: 'a long enough password',
  }
  /** Runs `ferry` and gives what it printed as JSON. */
  const ferry = async (...args) => JSON.parse((await run(process.env.FERRY_BIN, [...args, '--json'], { env })).stdout)
  await ferry('signup', 'someone@example.com')
  return {
    /** Runs a command as this user and gives what it printed. */
    ferry,
    /** Creates a database and gives its id. */
    create: async (name) => (await ferry('db', 'create', name)).id,
    /** A token for event sync of the database: what an app sends as its sync payload. */
    payload: async (name, ops) => ({
      authToken: (await ferry('db', 'token', name, '--op', ops, '--model', 'events')).token,
    }),
  }
}
