// What a person does in a browser: follows redirects, keeps cookies, fills in the forms of the provider.

/** Enough for every login; more would be a loop. */
const STEPS_MAX = 20

/**
 * Opens `url`, logs in as `name` where the provider asks, and agrees to what it asks. Gives the page on which the
 * browser ends: its address, status and text.
 */
export async function visit(url, name) {
  const cookies = new Map()
  let step = { url, method: 'GET', body: undefined }
  for (let count = 0; count < STEPS_MAX; count++) {
    const { origin } = new URL(step.url)
    const cookie = [...(cookies.get(origin) ?? [])].map(([key, value]) => `${key}=${value}`).join('; ')
    const { method, body } = step
    const answer = await fetch(step.url, { method, body, redirect: 'manual', headers: cookie ? { cookie } : {} })
    remember(cookies, origin, answer.headers.getSetCookie())
    const text = await answer.text()
    const location = answer.headers.get('location')
    const form = /<form[^>]*action="([^"]+)"[^>]*method="post"/.exec(text)?.[1]
    if (location) {
      step = { url: new URL(location, step.url).href, method: 'GET' }
    } else if (form) {
      step = { url: new URL(form, step.url).href, method: 'POST', body: filledIn(text, name) }
    } else {
      return { url: step.url, status: answer.status, text }
    }
  }
  throw new Error(`the browser was sent on ${STEPS_MAX} times, at last to ${step.url}`)
}

function filledIn(page, name) {
  const prompt = /name="prompt" value="(\w+)"/.exec(page)?.[1]
  return new URLSearchParams(prompt === 'login' ? { prompt, login: name, password: 'any' } : { prompt })
}

function remember(cookies, origin, lines) {
  const jar = cookies.get(origin) ?? new Map()
  for (const line of lines) {
    const [pair] = line.split(';')
    const [key, ...value] = pair.split('=')
    jar.set(key, value.join('='))
  }
  cookies.set(origin, jar)
}
