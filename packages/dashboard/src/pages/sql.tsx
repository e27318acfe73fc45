import { useEffect, useRef, useState } from "react";
import { Refusal, rpc, type Database } from "../api.ts";
import { query, type Found } from "../query.ts";
import { AsOf, moment } from "../ui/as-of.tsx";
import { useLoad } from "../ui/load.ts";
import { Empty, Refused } from "../ui/parts.tsx";
import { Export, Rows } from "../ui/rows.tsx";
import { number } from "../ui/words.ts";
import { Statement, type Marks } from "../ui/statement.tsx";
import { millis, Of, stoppedText, type TableInfo } from "./tables.tsx";

/** What was typed for each database, while the page is open. */
const drafts = new Map<string, string>();
export const draft = (database: string, sql: string): void => void drafts.set(database, sql);

/** How much of a long value comes with its row. */
const VALUE_MAX_BYTES = 1 << 16;
/** Tables whose names and columns the editor offers. */
const NAMED = 1000;
const FIRST = "SELECT name, type FROM sqlite_schema ORDER BY name";

export function SqlTab({ database }: { database: Database }) {
  const [sql, setSql] = useState(drafts.get(database.id) ?? FIRST);
  const [found, setFound] = useState<Found>();
  const [error, setError] = useState<Refusal>();
  const [running, setRunning] = useState<AbortController>();
  const [at, setAt] = useState(moment(database.id));
  const marks = useRef<Marks>(undefined);
  const names = useLoad(`${database.id} ${at}`, async (signal) => {
    const answer = await rpc<{ tables?: TableInfo[] }>("ListTables", { database: database.id, at, pageSize: NAMED }, signal);
    return Object.fromEntries((answer.tables ?? []).map((one) => [one.name, one.columns ?? []]));
  });
  useEffect(() => () => running?.abort(), [running]);
  const type = (sql: string) => {
    setSql(sql);
    draft(database.id, sql);
  };
  const run = async (prefix = "") => {
    running?.abort();
    const stop = new AbortController();
    setRunning(stop);
    setError(undefined);
    // What was typed last, also if it is not drawn yet. What is marked is meant alone.
    const sql = drafts.get(database.id) ?? FIRST;
    const marked = marks.current?.marked();
    const asked = marked?.text.trim() ? marked.text : sql;
    try {
      const answer = await query(database.id, { at, sql: prefix + asked, maxValueBytes: VALUE_MAX_BYTES }, stop.signal);
      if (!stop.signal.aborted) setFound(answer);
    } catch (refusal) {
      if (stop.signal.aborted) return;
      setFound(undefined);
      setError(refusal as Refusal);
      if (!prefix) mark(marks.current, asked === sql ? 0 : marked?.from ?? 0, asked, (refusal as Refusal).message);
    } finally {
      setRunning((current) => (current === stop ? undefined : current));
    }
  };
  return (
    <>
      <AsOf database={database} at={at} onChange={setAt} />
      <Statement text={sql} schema={names.value} onChange={type} onRun={() => void run()} onReady={(ready) => (marks.current = ready)} />
      <p className="line">
        <button type="button" className="primary" disabled={!!running} onClick={() => void run()}>Run</button>
        <button type="button" disabled={!!running} onClick={() => void run("EXPLAIN QUERY PLAN ")}>Explain</button>
        {running && <button type="button" onClick={() => { running.abort(); setRunning(undefined); }}>Stop</button>}
        <Export name={`${database.name}-query`} columns={found?.columns ?? []} rows={found?.rows ?? []} />
        <small><kbd>Ctrl</kbd> <kbd>Enter</kbd> runs it, or what is marked. Nothing can be written here.</small>
      </p>
      {running && <p className="faint" aria-busy="true">Running…</p>}
      <Refused error={error} />
      {found && (
        <p className="faint" role="status">
          {number(found.rows.length)} {found.rows.length === 1 ? "row" : "rows"}<Of found={found} /> in {millis(found.micros)}{found.stoppedBy && <>. {stoppedText(found)}</>}
        </p>
      )}
      {found && found.rows.length === 0 && <Empty>Nothing was found.</Empty>}
      {found && found.rows.length > 0 && <Rows label="What was found" columns={found.columns} rows={found.rows} />}
    </>
  );
}

/** Puts the cursor to the place that a refusal names, over the word there. */
function mark(marks: Marks | undefined, from: number, sql: string, message: string): void {
  const place = /\(line (\d+), column (\d+)\)$/.exec(message);
  if (!marks || !place) return;
  const lines = sql.split("\n");
  const line = Number(place[1]) - 1;
  const before = lines.slice(0, line).reduce((sum, one) => sum + one.length + 1, 0);
  // The hub counts characters, the field UTF-16.
  const start = before + [...(lines[line] ?? "")].slice(0, Number(place[2]) - 1).join("").length;
  const word = /^(\w+|"[^"]*"|.)/.exec(sql.slice(start))?.[0].length ?? 0;
  marks.mark(from + start, from + start + word);
}
