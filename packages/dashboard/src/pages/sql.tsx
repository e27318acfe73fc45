import { useEffect, useRef, useState, type KeyboardEvent } from "react";
import { Refusal, type Database } from "../api.ts";
import { query, type Found } from "../query.ts";
import { Empty, Refused } from "../ui/parts.tsx";
import { Export, Rows } from "../ui/rows.tsx";
import { number } from "../ui/words.ts";
import { millis, stoppedText } from "./tables.tsx";

/** What was typed for each database, while the page is open. */
const drafts = new Map<string, string>();
export const draft = (database: string, sql: string): void => void drafts.set(database, sql);

/** How much of a long value comes with its row. */
const VALUE_MAX_BYTES = 1 << 16;
const FIRST = "SELECT name, type FROM sqlite_schema ORDER BY name";

export function SqlTab({ database }: { database: Database }) {
  const [sql, setSql] = useState(drafts.get(database.id) ?? FIRST);
  const [found, setFound] = useState<Found>();
  const [error, setError] = useState<Refusal>();
  const [running, setRunning] = useState<AbortController>();
  const text = useRef<HTMLTextAreaElement>(null);
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
    // What is marked is meant alone.
    const area = text.current;
    const start = area ? Math.min(area.selectionStart, area.selectionEnd) : 0;
    const marked = area ? sql.slice(start, Math.max(area.selectionStart, area.selectionEnd)) : "";
    const asked = marked.trim() ? marked : sql;
    try {
      const answer = await query(database.id, { sql: prefix + asked, maxValueBytes: VALUE_MAX_BYTES }, stop.signal);
      if (!stop.signal.aborted) setFound(answer);
    } catch (refusal) {
      if (stop.signal.aborted) return;
      setFound(undefined);
      setError(refusal as Refusal);
      if (!prefix) mark(area, asked === sql ? 0 : start, asked, (refusal as Refusal).message);
    } finally {
      setRunning((current) => (current === stop ? undefined : current));
    }
  };
  const press = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      void run();
    }
  };
  return (
    <>
      <label className="field">
        <span>One statement that reads</span>
        <textarea ref={text} data-filter className="code" rows={Math.min(16, Math.max(5, sql.split("\n").length))} spellCheck={false} autoCapitalize="off"
          autoComplete="off" value={sql} onChange={(event) => type(event.target.value)} onKeyDown={press} aria-describedby="sql-hint" />
      </label>
      <p className="line">
        <button type="button" className="primary" disabled={!!running} onClick={() => void run()}>Run</button>
        <button type="button" disabled={!!running} onClick={() => void run("EXPLAIN QUERY PLAN ")}>Explain</button>
        {running && <button type="button" onClick={() => { running.abort(); setRunning(undefined); }}>Stop</button>}
        <Export name={`${database.name}-query`} columns={found?.columns ?? []} rows={found?.rows ?? []} />
        <small id="sql-hint"><kbd>Ctrl</kbd> <kbd>Enter</kbd> runs it, or what is marked. Nothing can be written here.</small>
      </p>
      {running && <p className="faint" aria-busy="true">Running…</p>}
      <Refused error={error} />
      {found && (
        <p className="faint" role="status">
          {number(found.rows.length)} {found.rows.length === 1 ? "row" : "rows"}{found.seq !== "0" && <> of commit {number(found.seq)}</>} in {millis(found.micros)}{found.stoppedBy && <>. {stoppedText(found)}</>}
        </p>
      )}
      {found && found.rows.length === 0 && <Empty>Nothing was found.</Empty>}
      {found && found.rows.length > 0 && <Rows label="What was found" columns={found.columns} rows={found.rows} />}
    </>
  );
}

/** Puts the cursor to the place that a refusal names, over the word there. */
function mark(area: HTMLTextAreaElement | null, from: number, sql: string, message: string): void {
  const place = /\(line (\d+), column (\d+)\)$/.exec(message);
  if (!area || !place) return;
  const lines = sql.split("\n");
  const line = Number(place[1]) - 1;
  const before = lines.slice(0, line).reduce((sum, one) => sum + one.length + 1, 0);
  // The hub counts characters, the area UTF-16.
  const start = before + [...(lines[line] ?? "")].slice(0, Number(place[2]) - 1).join("").length;
  const word = /^(\w+|"[^"]*"|.)/.exec(sql.slice(start))?.[0].length ?? 0;
  area.focus();
  area.setSelectionRange(from + start, from + start + word);
}
