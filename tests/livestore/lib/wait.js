// Waiting on conditions: the only way in which these tests let time pass.

/** How long anything may take. The client's own reconnect delay alone grows to half a minute. */
const LIMIT_MS = 90_000
/** Between two looks. */
const INTERVAL_MS = 25

/**
 * Waits until `look` gives something truthy and gives that. `look` may be async; while it throws, the
 * condition does not hold.
 */
export async function until(what, look, limitMs = LIMIT_MS) {
  const end = performance.now() + limitMs
  let last
  for (;;) {
    try {
      const found = await look()
      if (found) return found
      last = undefined
    } catch (error) {
      last = error
    }
    if (performance.now() > end) {
      throw new Error(`gave up waiting for ${what} after ${limitMs} ms`, { cause: last })
    }
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS))
  }
}
