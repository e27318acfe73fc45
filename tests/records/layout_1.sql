-- Makes a file with records in todo/tasks what the first program left: an index for the history and for each thing that waits,
-- a row per owner with its newest commit, a table of collections.
CREATE TABLE _ferry_record_owners(
  owner TEXT PRIMARY KEY, last_cts INTEGER NOT NULL, horizon INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO _ferry_record_owners SELECT owner, max(cts), 0 FROM _ferry_records GROUP BY owner;
CREATE TABLE _ferry_record_collections(
  app TEXT NOT NULL, coll TEXT NOT NULL, columns TEXT NOT NULL, PRIMARY KEY(app, coll)) WITHOUT ROWID;
INSERT INTO _ferry_record_collections
  SELECT 'todo', 'tasks', value FROM _ferry_meta WHERE key = 'view:records_todo__tasks';
CREATE TABLE IF NOT EXISTS _ferry_record_skew(
  owner TEXT NOT NULL, client TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, id TEXT NOT NULL,
  field TEXT NOT NULL, sent_at INTEGER NOT NULL,
  PRIMARY KEY(owner, client, app, coll, id, field)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _ferry_record_stamps(
  owner TEXT NOT NULL, client TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, id TEXT NOT NULL,
  field TEXT NOT NULL, digest INTEGER NOT NULL, sent INTEGER NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY(owner, client, app, coll, id, field, digest, sent)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _ferry_record_purged(
  owner TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, id TEXT NOT NULL,
  at INTEGER NOT NULL, writer TEXT NOT NULL, cts INTEGER NOT NULL,
  PRIMARY KEY(owner, app, coll, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _ferry_record_conflicts(
  number INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL,
  id TEXT NOT NULL, field TEXT NOT NULL, winner TEXT NOT NULL, winner_at INTEGER NOT NULL,
  winner_client TEXT NOT NULL, loser TEXT NOT NULL, loser_at INTEGER NOT NULL,
  loser_client TEXT NOT NULL, found INTEGER NOT NULL, state TEXT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS _ferry_record_conflicts_open
  ON _ferry_record_conflicts(owner, app, coll, id, field) WHERE state = 'open';
ALTER TABLE _ferry_records DROP COLUMN history;
ALTER TABLE _ferry_record_history DROP COLUMN previous;
CREATE INDEX _ferry_record_history_of ON _ferry_record_history(owner, app, coll, id, cts);
CREATE INDEX _ferry_records_incomplete ON _ferry_records(created) WHERE state = 1;
CREATE INDEX _ferry_records_deleted ON _ferry_records(owner, cts) WHERE deleted_at IS NOT NULL;
DELETE FROM _ferry_meta WHERE key IN ('records_schema', 'records_tables') OR key LIKE 'view:%';
