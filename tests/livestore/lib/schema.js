// The app under test. Its state shows the exact order of the log: each item gets the next position when its
// event is applied, so two stores with equal items have applied equal logs.
import { Events, makeSchema, Schema, State } from '@livestore/livestore'

export const tables = {
  items: State.SQLite.table({
    name: 'items',
    columns: {
      position: State.SQLite.integer({ primaryKey: true }),
      text: State.SQLite.text(),
    },
  }),
}

export const events = {
  itemAdded: Events.synced({ name: 'v1.ItemAdded', schema: Schema.Struct({ text: Schema.String }) }),
}

const materializers = State.SQLite.materializers(events, {
  'v1.ItemAdded': ({ text }) => ({
    sql: 'INSERT INTO items (position, text) SELECT coalesce(max(position), 0) + 1, $text FROM items',
    bindValues: { text },
    writeTables: new Set(['items']),
  }),
})

export const schema = makeSchema({ events, state: State.SQLite.makeState({ tables, materializers }) })
