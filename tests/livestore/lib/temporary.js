// Folders that go when their test ends.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A fresh folder; it is removed when the test `t` ends. */
export function directory(t) {
  const path = mkdtempSync(join(tmpdir(), 'ferry-livestore-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}
