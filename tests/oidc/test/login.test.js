// Logins at a conformant provider. Nobody could log in at one: it wants the client's secret in a header, tells e-mail
// addresses by userinfo alone, and its reasons reached no log.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'

import { cleanEnvironment, startServer } from '../../livestore/lib/server.js'
import { directory } from '../../livestore/lib/temporary.js'
import { until } from '../../livestore/lib/wait.js'
import { visit } from '../lib/browser.js'
import { CLIENT_ID, CLIENT_SECRET, startProvider } from '../lib/provider.js'

const run = promisify(execFile)

/** A hub that browsers are sent back to, and its provider, which takes it for such a client. */
async function place(t, settings) {
  const provider = await startProvider(t)
  const env = {
    FERRY_GOOGLE_ISSUER: provider.url,
    FERRY_GOOGLE_CLIENT_ID: CLIENT_ID,
    FERRY_GOOGLE_CLIENT_SECRET: CLIENT_SECRET,
  }
  const hub = await startServer(t, { env })
  const url = `http://127.0.0.1:${hub.port}`
  // Its port is known by now.
  await hub.kill()
  await hub.start({ env: { FERRY_OAUTH_REDIRECT_BASE: url } })
  provider.know(url, settings)
  return { hub, url }
}

/** Logs in by the command line and a browser, as `name`: what `ferry whoami` says then. */
async function login(t, hubUrl, name) {
  const env = { ...cleanEnvironment(), FERRY_SERVER: hubUrl, FERRY_CONFIG_DIR: directory(t) }
  const ferry = async (...args) => (await run(process.env.FERRY_BIN, args, { env })).stdout
  const url = (await ferry('oauth', 'start', 'google', '--no-browser')).trim()
  const page = await visit(url, name)
  assert.equal(page.status, 200, page.text)
  // Word by word as the page shows it: a code that begins with a dash is written in another way.
  const [program, ...words] = /<pre>(.*?)<\/pre>/.exec(page.text)[1].split(' ')
  assert.equal(program, 'ferry')
  await ferry(...words)
  return JSON.parse(await ferry('whoami', '--json')).whoami
}

/** Waits until the hub's log says `cause`. */
const logged = (hub, cause) => until(`${cause} in the log`, () => hub.output.includes(cause), 30_000)

for (const token_endpoint_auth_method of ['client_secret_basic', 'client_secret_post']) {
  // Verifies: OAU-09
  test(`a provider as it comes logs people in, told the secret by ${token_endpoint_auth_method}`, async (t) => {
    const { url } = await place(t, { token_endpoint_auth_method })
    const ada = await login(t, url, 'ada')
    assert.equal(ada.email, 'ada@example.com')
    const again = await login(t, url, 'ada')
    assert.equal(again.userId, ada.userId)
    // This one writes `email_verified` as text.
    assert.equal((await login(t, url, 'grace')).email, 'grace@example.com')
  })
}

// Verifies: OAU-09, OAU-13
test('whoever has no verified address is told so, and the log says why', async (t) => {
  const { hub, url } = await place(t)
  await assert.rejects(login(t, url, 'eve'), /verified no e-mail address of yours/)
  await logged(hub, 'the e-mail address is not verified')
  await assert.rejects(login(t, url, 'nameless'), /named no e-mail address of yours/)
  await logged(hub, 'no e-mail address was named')
})

// Verifies: OAU-09, OAU-13
test('a client that is set to ES256 is refused, and the log says what to set', async (t) => {
  const { hub, url } = await place(t, { id_token_signed_response_alg: 'ES256' })
  await assert.rejects(login(t, url, 'ada'), /ask whoever runs the hub/)
  await logged(hub, 'id_token_signed_response_alg of this client to RS256')
})

// Verifies: OAU-13
test('a secret that the provider does not know is told to the operator', async (t) => {
  const { hub, url } = await place(t, { client_secret: 'another secret' })
  await assert.rejects(login(t, url, 'ada'), /ask whoever runs the hub/)
  await logged(hub, 'invalid_client')
  assert.ok(!hub.output.includes(CLIENT_SECRET), 'the log holds the secret')
})
