-- The tables of records of layout 2, as that program left them: edits, a conflict, a tombstone, a record that waits for its
-- insert, times that the hub chose.
CREATE TABLE _ferry_meta(key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
INSERT INTO "_ferry_meta" VALUES('records_epoch','80f963d45a0cb80fc19d8f8e');
INSERT INTO "_ferry_meta" VALUES('records_schema',2);
INSERT INTO "_ferry_meta" VALUES('seq',8);
CREATE TABLE _ferry_record_collections(
       app TEXT NOT NULL, coll TEXT NOT NULL, columns TEXT NOT NULL, PRIMARY KEY(app, coll)) WITHOUT ROWID;
INSERT INTO "_ferry_record_collections" VALUES('todo','lists','title
createdAt');
INSERT INTO "_ferry_record_collections" VALUES('todo','tasks','title
createdAt
note
far');
CREATE TABLE _ferry_record_conflicts(
       number INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL,
       id TEXT NOT NULL, field TEXT NOT NULL, winner TEXT NOT NULL, winner_at INTEGER NOT NULL,
       winner_client TEXT NOT NULL, loser TEXT NOT NULL, loser_at INTEGER NOT NULL,
       loser_client TEXT NOT NULL, found INTEGER NOT NULL, state TEXT NOT NULL);
INSERT INTO "_ferry_record_conflicts" VALUES(1,'dev','todo','tasks','t1','title','"one, again"',1767261720000000000,'a','"lost"',1767261660000000000,'b',1795956149557000000,'open');
CREATE TABLE _ferry_record_devices(
       owner TEXT NOT NULL, client TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL,
       delivered INTEGER NOT NULL, pass INTEGER NOT NULL, seen INTEGER NOT NULL,
       PRIMARY KEY(owner, client, app, coll)) WITHOUT ROWID;
INSERT INTO "_ferry_record_devices" VALUES('dev','a','todo','',1795956149552000001,0,1795956149553000000);
INSERT INTO "_ferry_record_devices" VALUES('dev','b','todo','',1795956149558000001,0,1795956149559000000);
INSERT INTO "_ferry_record_devices" VALUES('dev','c','todo','',1795956149559000009,0,1795956149560000000);
CREATE TABLE _ferry_record_gaps(until INTEGER PRIMARY KEY, after INTEGER NOT NULL);
CREATE TABLE _ferry_record_history(
       number INTEGER PRIMARY KEY, owner TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, id TEXT NOT NULL,
       cts INTEGER NOT NULL, entry TEXT NOT NULL);
INSERT INTO "_ferry_record_history" VALUES(1,'dev','todo','tasks','t1',1795956149535000000,'[{"op":"insert","client":"a","received":"2026-11-29T12:42:29.535000000Z","fields":{"title":{"value":"one","at":"2026-01-01T10:00:00.000000000Z"},"createdAt":{"value":"2026-01-01T10:00:00.000Z","at":"2026-01-01T10:00:00.000000000Z"},"deletedAt":{"value":null,"at":"2026-01-01T10:00:00.000000000Z"}}}]');
INSERT INTO "_ferry_record_history" VALUES(2,'dev','todo','tasks','t2',1795956149535000008,'[{"op":"insert","client":"a","received":"2026-11-29T12:42:29.535000000Z","fields":{"title":{"value":"two","at":"2026-01-01T10:00:00.000000000Z"},"createdAt":{"value":"2026-01-01T10:00:00.000Z","at":"2026-01-01T10:00:00.000000000Z"},"deletedAt":{"value":null,"at":"2026-01-01T10:00:00.000000000Z"}}}]');
INSERT INTO "_ferry_record_history" VALUES(3,'dev','todo','tasks','gone',1795956149535000016,'[{"op":"insert","client":"a","received":"2026-11-29T12:42:29.535000000Z","fields":{"title":{"value":"dead","at":"2026-01-01T10:00:00.000000000Z"},"createdAt":{"value":"2026-01-01T10:00:00.000Z","at":"2026-01-01T10:00:00.000000000Z"},"deletedAt":{"value":null,"at":"2026-01-01T10:00:00.000000000Z"}}}]');
INSERT INTO "_ferry_record_history" VALUES(4,'dev','todo','lists','l1',1795956149535000024,'[{"op":"insert","client":"a","received":"2026-11-29T12:42:29.535000000Z","fields":{"title":{"value":"list","at":"2026-01-01T10:01:00.000000000Z"},"createdAt":{"value":"2026-01-01T10:01:00.000Z","at":"2026-01-01T10:01:00.000000000Z"},"deletedAt":{"value":null,"at":"2026-01-01T10:01:00.000000000Z"}}}]');
INSERT INTO "_ferry_record_history" VALUES(5,'dev','todo','tasks','t1',1795956149552000000,'[{"op":"update","client":"a","received":"2026-11-29T12:42:29.552000000Z","fields":{"title":{"value":"one, again","at":"2026-01-01T10:02:00.000000000Z"}}}]');
INSERT INTO "_ferry_record_history" VALUES(6,'dev','todo','tasks','t1',1795956149553000000,'[{"op":"update","client":"a","received":"2026-11-29T12:42:29.553000000Z","fields":{"note":{"value":"third","at":"2026-01-01T10:03:00.000000000Z"}}}]');
INSERT INTO "_ferry_record_history" VALUES(7,'dev','todo','tasks','gone',1795956149558000000,'[{"op":"delete","client":"b","received":"2026-11-29T12:42:29.558000000Z","fields":{"deletedAt":{"value":"2026-01-01T10:05:00.000000000Z","at":"2026-01-01T10:05:00.000000000Z"}}}]');
INSERT INTO "_ferry_record_history" VALUES(8,'dev','todo','tasks','waits',1795956149559000000,'[{"op":"update","client":"b","received":"2026-11-29T12:42:29.559000000Z","fields":{"title":{"value":"no insert","at":"2026-01-01T10:06:00.000000000Z"}}}]');
INSERT INTO "_ferry_record_history" VALUES(9,'dev','todo','tasks','t2',1795956149559000008,'[{"op":"update","client":"c","received":"2026-11-29T12:42:29.559000000Z","fields":{"title":{"value":"without time","at":"2026-11-29T12:42:29.559000000Z"}}}]');
INSERT INTO "_ferry_record_history" VALUES(10,'dev','todo','tasks','t2',1795956149560000000,'[{"op":"update","client":"c","received":"2026-11-29T12:42:29.560000000Z","fields":{"far":{"value":1,"at":"2026-11-29T12:42:29.560000000Z"}}}]');
CREATE TABLE _ferry_record_intents(
       ord INTEGER PRIMARY KEY, owner TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, op TEXT NOT NULL,
       id TEXT NOT NULL, fields TEXT);
CREATE TABLE _ferry_record_owners(
       owner TEXT PRIMARY KEY, last_cts INTEGER NOT NULL, horizon INTEGER NOT NULL,
       generation INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
INSERT INTO "_ferry_record_owners" VALUES('dev',1795956149560000000,0,0);
CREATE TABLE _ferry_record_purged(
       owner TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, id TEXT NOT NULL,
       at INTEGER NOT NULL, writer TEXT NOT NULL, cts INTEGER NOT NULL,
       PRIMARY KEY(owner, app, coll, id)) WITHOUT ROWID;
CREATE TABLE _ferry_record_skew(
       owner TEXT NOT NULL, client TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, id TEXT NOT NULL,
       field TEXT NOT NULL, sent_at INTEGER NOT NULL,
       PRIMARY KEY(owner, client, app, coll, id, field)) WITHOUT ROWID;
INSERT INTO "_ferry_record_skew" VALUES('dev','c','todo','tasks','t2','far',4070908800001000000);
CREATE TABLE _ferry_record_stamps(
       owner TEXT NOT NULL, client TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, id TEXT NOT NULL,
       field TEXT NOT NULL, digest INTEGER NOT NULL, sent INTEGER NOT NULL, at INTEGER NOT NULL,
       PRIMARY KEY(owner, client, app, coll, id, field, digest, sent)) WITHOUT ROWID;
INSERT INTO "_ferry_record_stamps" VALUES('dev','c','todo','tasks','t2','far',0,4070908800000000000,1795956149560000000);
INSERT INTO "_ferry_record_stamps" VALUES('dev','c','todo','tasks','t2','title',-2247485132833905915,-9223372036854775808,1795956149559000000);
CREATE TABLE _ferry_record_views_due(
       app TEXT NOT NULL, coll TEXT NOT NULL, may_be_unused INTEGER NOT NULL, PRIMARY KEY(app, coll)) WITHOUT ROWID;
CREATE TABLE _ferry_records(
       owner TEXT NOT NULL, app TEXT NOT NULL, coll TEXT NOT NULL, id TEXT NOT NULL,
       data TEXT NOT NULL, meta BLOB NOT NULL, space TEXT, updated INTEGER NOT NULL, deleted_at INTEGER,
       created INTEGER NOT NULL, cts INTEGER NOT NULL, state INTEGER NOT NULL,
       PRIMARY KEY(owner, app, coll, id)) WITHOUT ROWID;
INSERT INTO "_ferry_records" VALUES('dev','todo','lists','l1','{"title":"list","createdAt":"2026-01-01T10:01:00.000Z","deletedAt":null}',X'0101016103050680E0BCD7B9C7C986310000091A0000000904000000',NULL,1767261660000000000,NULL,1795956149535000024,1795956149535000024,0);
INSERT INTO "_ferry_records" VALUES('dev','todo','tasks','gone','{"title":"dead","createdAt":"2026-01-01T10:00:00.000Z","deletedAt":"2026-01-01T10:05:00.000000000Z"}',X'010201610162030506808082D3FAC3C9863100B0E7FB0A091A0000B0E7FB0A092080E0A596BB110100',NULL,1767261900000000000,1767261900000000000,1795956149535000016,1795956149558000000,0);
INSERT INTO "_ferry_records" VALUES('dev','todo','tasks','t1','{"title":"one, again","createdAt":"2026-01-01T10:00:00.000Z","deletedAt":null,"note":"third"}',X'0101016104050C80C0F7DBF8CAC9863100C0843D091AFFBFF588FE060080D1CA080904000080D1CA08040780A0B08DBD0A0000',NULL,1767261780000000000,NULL,1795956149535000000,1795956149553000000,0);
INSERT INTO "_ferry_records" VALUES('dev','todo','tasks','t2','{"title":"without time","createdAt":"2026-01-01T10:00:00.000Z","deletedAt":null,"far":1}',X'01020163016104050E80EFA3EAC8A6C2EC3100B8843D091AFFEEA197CEE2F86501B8F0F50B09040001B8F0F50B030180F89B98CEE2F8650000',NULL,1795956149560000000,NULL,1795956149535000008,1795956149560000000,0);
INSERT INTO "_ferry_records" VALUES('dev','todo','tasks','waits','{"title":"no insert"}',X'0101016201050B80C0E2EDF4D8C986310000',NULL,1767261960000000000,NULL,1795956149559000000,1795956149559000000,1);
CREATE UNIQUE INDEX _ferry_records_by_cts ON _ferry_records(owner, cts);
CREATE INDEX _ferry_records_incomplete ON _ferry_records(created) WHERE state = 1;
CREATE INDEX _ferry_records_deleted ON _ferry_records(owner, cts)
       WHERE deleted_at IS NOT NULL;
CREATE INDEX _ferry_record_history_of
       ON _ferry_record_history(owner, app, coll, id, cts);
CREATE UNIQUE INDEX _ferry_record_conflicts_open
       ON _ferry_record_conflicts(owner, app, coll, id, field) WHERE state = 'open';
CREATE VIEW "records_todo__lists" AS SELECT id, data ->> '$."title"' AS "title", data ->> '$."createdAt"' AS "createdAt", owner AS _owner, space ->> '$' AS _space, updated / 1000000 AS _updated_at,
           nullif((SELECT json_group_object(key, CASE WHEN type IN ('object', 'array') THEN json(value)
             WHEN type IN ('true', 'false') THEN json(type) ELSE value END)
             FROM json_each(data) WHERE key NOT IN ('title', 'createdAt', 'deletedAt', '/space', '/actor', '/origin')), '{}') AS _extra
         FROM _ferry_records WHERE app = 'todo' AND coll = 'lists' AND state = 0 AND deleted_at IS NULL;
CREATE TRIGGER "records_todo__lists_insert" INSTEAD OF INSERT ON "records_todo__lists" BEGIN SELECT raise(ABORT, 'records: _space and _extra cannot be written')
             WHERE NEW._space IS NOT NULL OR NEW._extra IS NOT NULL;
           SELECT raise(ABORT, 'records: id and _owner must be given')
             WHERE NEW.id IS NULL OR NEW._owner IS NULL;
           INSERT INTO _ferry_record_intents(owner, app, coll, op, id, fields) VALUES (NEW._owner, 'todo', 'lists', 'insert', NEW.id, (SELECT json_group_object(k, json(v)) FROM (SELECT 'title' AS k, json_quote(NEW."title") AS v WHERE NEW."title" IS NOT NULL UNION ALL SELECT 'createdAt' AS k, json_quote(NEW."createdAt") AS v WHERE NEW."createdAt" IS NOT NULL))); END;
CREATE TRIGGER "records_todo__lists_update" INSTEAD OF UPDATE ON "records_todo__lists" BEGIN SELECT raise(ABORT, 'records: id, _owner, _space and _extra cannot be changed')
             WHERE NEW.id IS NOT OLD.id OR NEW._owner IS NOT OLD._owner OR NEW._space IS NOT OLD._space
               OR NEW._extra IS NOT OLD._extra;
           INSERT INTO _ferry_record_intents(owner, app, coll, op, id, fields) VALUES (OLD._owner, 'todo', 'lists', 'update', OLD.id, (SELECT json_group_object(k, json(v)) FROM (SELECT 'title' AS k, json_quote(NEW."title") AS v WHERE NEW."title" IS NOT OLD."title" UNION ALL SELECT 'createdAt' AS k, json_quote(NEW."createdAt") AS v WHERE NEW."createdAt" IS NOT OLD."createdAt"))); END;
CREATE TRIGGER "records_todo__lists_delete" INSTEAD OF DELETE ON "records_todo__lists" BEGIN INSERT INTO _ferry_record_intents(owner, app, coll, op, id, fields) VALUES (OLD._owner, 'todo', 'lists', 'delete', OLD.id, NULL); END;
CREATE VIEW "records_todo__tasks" AS SELECT id, data ->> '$."title"' AS "title", data ->> '$."createdAt"' AS "createdAt", data ->> '$."note"' AS "note", data ->> '$."far"' AS "far", owner AS _owner, space ->> '$' AS _space, updated / 1000000 AS _updated_at,
           nullif((SELECT json_group_object(key, CASE WHEN type IN ('object', 'array') THEN json(value)
             WHEN type IN ('true', 'false') THEN json(type) ELSE value END)
             FROM json_each(data) WHERE key NOT IN ('title', 'createdAt', 'note', 'far', 'deletedAt', '/space', '/actor', '/origin')), '{}') AS _extra
         FROM _ferry_records WHERE app = 'todo' AND coll = 'tasks' AND state = 0 AND deleted_at IS NULL;
CREATE TRIGGER "records_todo__tasks_insert" INSTEAD OF INSERT ON "records_todo__tasks" BEGIN SELECT raise(ABORT, 'records: _space and _extra cannot be written')
             WHERE NEW._space IS NOT NULL OR NEW._extra IS NOT NULL;
           SELECT raise(ABORT, 'records: id and _owner must be given')
             WHERE NEW.id IS NULL OR NEW._owner IS NULL;
           INSERT INTO _ferry_record_intents(owner, app, coll, op, id, fields) VALUES (NEW._owner, 'todo', 'tasks', 'insert', NEW.id, (SELECT json_group_object(k, json(v)) FROM (SELECT 'title' AS k, json_quote(NEW."title") AS v WHERE NEW."title" IS NOT NULL UNION ALL SELECT 'createdAt' AS k, json_quote(NEW."createdAt") AS v WHERE NEW."createdAt" IS NOT NULL UNION ALL SELECT 'note' AS k, json_quote(NEW."note") AS v WHERE NEW."note" IS NOT NULL UNION ALL SELECT 'far' AS k, json_quote(NEW."far") AS v WHERE NEW."far" IS NOT NULL))); END;
CREATE TRIGGER "records_todo__tasks_update" INSTEAD OF UPDATE ON "records_todo__tasks" BEGIN SELECT raise(ABORT, 'records: id, _owner, _space and _extra cannot be changed')
             WHERE NEW.id IS NOT OLD.id OR NEW._owner IS NOT OLD._owner OR NEW._space IS NOT OLD._space
               OR NEW._extra IS NOT OLD._extra;
           INSERT INTO _ferry_record_intents(owner, app, coll, op, id, fields) VALUES (OLD._owner, 'todo', 'tasks', 'update', OLD.id, (SELECT json_group_object(k, json(v)) FROM (SELECT 'title' AS k, json_quote(NEW."title") AS v WHERE NEW."title" IS NOT OLD."title" UNION ALL SELECT 'createdAt' AS k, json_quote(NEW."createdAt") AS v WHERE NEW."createdAt" IS NOT OLD."createdAt" UNION ALL SELECT 'note' AS k, json_quote(NEW."note") AS v WHERE NEW."note" IS NOT OLD."note" UNION ALL SELECT 'far' AS k, json_quote(NEW."far") AS v WHERE NEW."far" IS NOT OLD."far"))); END;
CREATE TRIGGER "records_todo__tasks_delete" INSTEAD OF DELETE ON "records_todo__tasks" BEGIN INSERT INTO _ferry_record_intents(owner, app, coll, op, id, fields) VALUES (OLD._owner, 'todo', 'tasks', 'delete', OLD.id, NULL); END;
