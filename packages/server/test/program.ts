import { call } from "../src/runtime/run.ts";
import type { Request } from "../src/host.ts";
import * as schema from "./schema.ts";
import { request, TestHost } from "./host.ts";

export const TABLES = `
  CREATE TABLE users (id INTEGER PRIMARY KEY, full_name TEXT NOT NULL, email TEXT UNIQUE, age INTEGER, active INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER, settings TEXT, avatar BLOB);
  CREATE TABLE posts (id INTEGER PRIMARY KEY, author_id INTEGER REFERENCES users(id) ON DELETE CASCADE, title TEXT NOT NULL, likes INTEGER NOT NULL DEFAULT 0);
  CREATE TABLE wide (${Array.from({ length: 40 }, (_, i) => `c${i} INTEGER`).join(", ")});
  CREATE TABLE kept_tasks (id TEXT PRIMARY KEY, title TEXT, done INTEGER, _owner TEXT, _space TEXT, _updated_at INTEGER, _extra TEXT);
  CREATE VIEW tasks AS SELECT * FROM kept_tasks;
  CREATE TRIGGER tasks_insert INSTEAD OF INSERT ON tasks BEGIN
    INSERT INTO kept_tasks (id, title, done, _owner) VALUES (NEW.id, NEW.title, NEW.done, NEW._owner); END;
  CREATE TRIGGER tasks_update INSTEAD OF UPDATE ON tasks BEGIN
    UPDATE kept_tasks SET title = NEW.title, done = NEW.done WHERE id = OLD.id; END;
  CREATE TRIGGER tasks_delete INSTEAD OF DELETE ON tasks BEGIN DELETE FROM kept_tasks WHERE id = OLD.id; END;
`;

export type Ctx = any;

/** Runs `handler` as a function of a program with the test schema. */
export async function runIn<T>(
  host: TestHost,
  handler: (ctx: Ctx, args: any) => T,
  change: Partial<Request> = {},
): Promise<Awaited<T>> {
  return await call({ run: handler, _ferry_schema: schema }, "run", request(change), host) as Awaited<T>;
}

export function filled(users = 3): TestHost {
  const host = new TestHost(TABLES);
  host.db.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${users})
    INSERT INTO users (id, full_name, email, age, created_at, settings)
    SELECT i, 'User ' || i, 'u' || i || '@x.org', 20 + i, 1700000000 + i, '{"theme":"dark"}' FROM n`);
  host.db.exec(`INSERT INTO posts (author_id, title) SELECT id, 'Post of ' || id FROM users`);
  return host;
}
