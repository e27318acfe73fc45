// An OpenID provider: npm's `oidc-provider` with its defaults, its own login pages included. Configured is only what
// every operator must: who the client is, whose accounts there are, and that an e-mail address may be told at all.
import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'

import Provider from 'oidc-provider'

export const CLIENT_ID = 'ferry'
export const CLIENT_SECRET = 'the secret of ferry'

/** What the provider knows of its people, by the name with which they log in. */
const PEOPLE = {
  ada: { email: 'ada@example.com', email_verified: true },
  grace: { email: 'grace@example.com', email_verified: 'true' },
  eve: { email: 'eve@example.com', email_verified: false },
  nameless: {},
}

/** Listens at once, since the hub's address is part of the client's settings and the hub wants to know the issuer. */
export async function startProvider(t) {
  const server = createServer((request, response) => answer(request, response))
  let answer = (_, response) => response.writeHead(503).end()
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const url = `http://127.0.0.1:${server.address().port}`
  return {
    url,
    /** From now on the hub at `hubUrl` is its client, with such further settings of a client. */
    know(hubUrl, settings = {}) {
      const redirect_uris = [`${hubUrl}/oauth/google/callback`]
      const client = { client_id: CLIENT_ID, client_secret: CLIENT_SECRET, redirect_uris, ...settings }
      const provider = new Provider(url, {
        clients: [client],
        claims: { email: ['email', 'email_verified'] },
        findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, ...PEOPLE[sub] }) }),
        jwks: { keys: [key('rsa', { modulusLength: 2048 }), key('ec', { namedCurve: 'P-256' })] },
        enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256'] },
        cookies: { keys: ['signs the cookies'] },
      })
      answer = provider.callback()
    },
  }
}

function key(kind, options) {
  return generateKeyPairSync(kind, options).privateKey.export({ format: 'jwk' })
}
