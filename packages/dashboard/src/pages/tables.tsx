import { useEffect, useRef, useState } from "react";
import { rpc, type Database, type Refusal } from "../api.ts";
import { query, quoted, type Found } from "../query.ts";
import { isNumber, Value, type Cell } from "../ui/cells.tsx";
import { useLoad } from "../ui/load.ts";
import { AsOf, moment } from "../ui/as-of.tsx";
import { Empty, Link, Refused, Time, type Column } from "../ui/parts.tsx";
import { Export, save } from "../ui/rows.tsx";
import { Reading, Seen, VirtualTable } from "../ui/virtual.tsx";
import type { Page, Pager } from "../ui/window.ts";
import { number } from "../ui/words.ts";
import { draft } from "./sql.tsx";

export type TableInfo = {
  name: string; kind: string; sql?: string; columns?: string[]; own?: boolean; columnTypes?: string[]; key?: string[];
};
type Tables = { tables?: TableInfo[]; nextPageToken?: string };

const LISTED = 200;
const PAGE = 100;
/** Rows that a file is made of at once. */
const EXPORT_PAGE = 1000;

export function TablesTab({ database, name }: { database: Database; name: string }) {
  const [part, setPart] = useState("");
  const [pages, setPages] = useState(1);
  const [at, setAt] = useState(moment(database.id));
  const list = useLoad(`${database.id} ${part} ${pages} ${at}`, async (signal) => {
    const tables: TableInfo[] = [];
    let pageToken = "";
    for (let page = 0; page < pages; page += 1) {
      const answer = await rpc<Tables>("ListTables", { database: database.id, at, nameContains: part, pageSize: LISTED, pageToken }, signal);
      tables.push(...(answer.tables ?? []));
      pageToken = answer.nextPageToken ?? "";
      if (!pageToken) break;
    }
    return { tables, more: pageToken !== "" };
  });
  const chosen = list.value?.tables.find((one) => one.name === name);
  return (
    <>
    <AsOf database={database} at={at} onChange={setAt} />
    <div className="split">
      <section aria-label="Tables and views">
        <input type="search" data-filter aria-label="Filter tables by name" placeholder="Filter" value={part}
          onChange={(event) => { setPart(event.target.value); setPages(1); }} />
        <Refused error={list.error} again={list.again} />
        {!list.value && !list.error && <p className="faint" aria-busy="true">Asking the hub…</p>}
        {list.value && list.value.tables.length === 0 && (part
          ? <p className="faint">No name contains “{part}”.</p>
          : at ? <p className="faint">It had no table then.</p>
          : <Empty command={`ferry push data.sqlite ${database.name}`}>Nothing was written here yet.</Empty>)}
        <ul className="names">
          {list.value?.tables.map((one) => (
            <li key={one.name}>
              <Link to={["databases", database.id, "tables", one.name]} current={one.name === name}>{one.name}</Link>
              {(one.own || one.kind !== "table") && <small> {one.own ? "own" : one.kind}</small>}
            </li>
          ))}
        </ul>
        {list.value?.more && <button type="button" onClick={() => setPages(pages + 1)}>More</button>}
      </section>
      <section aria-label="Rows" className="wide">
        {name ? <Browser key={`${name} ${at}`} database={database} at={at} name={name} listed={chosen} /> : <Empty>Choose a table. What is typed after <kbd>/</kbd> filters them.</Empty>}
      </section>
    </div>
    </>
  );
}

/** A table by its name, also where the list does not show it. */
function Browser(props: { database: Database; at: string; name: string; listed: TableInfo | undefined }) {
  const { database, at, name, listed } = props;
  const found = useLoad(`${database.id} ${at} ${name} ${listed ? 1 : 0}`, async (signal) => {
    if (listed) return listed;
    const answer = await rpc<Tables>("ListTables", { database: database.id, at, nameContains: name, pageSize: 1000 }, signal);
    return answer.tables?.find((one) => one.name === name) ?? null;
  });
  const table = listed ?? found.value;
  if (table) return <Contents database={database} at={at} table={table} />;
  if (found.error) return <Refused error={found.error} again={found.again} />;
  return found.value === null ? <Empty>No table or view here is called “{name}”.</Empty> : <p className="faint" aria-busy="true">Asking the hub…</p>;
}

const TESTS = [
  ["equals", "equals"], ["contains", "contains"], ["least", "is at least"], ["most", "is at most"], ["null", "is NULL"], ["any", "is not NULL"],
] as const;
type Test = (typeof TESTS)[number][0];
type Filter = { column: string; test: Test; text: string };
/** Where a page stands: behind a key, before one, at the end, or after so many rows of what has no key. */
type Place = { after?: Cell[]; before?: Cell[]; last?: boolean; offset: number };
const FIRST: Place = { offset: 0 };

/** The longest value that a statement may read. */
const READ_MAX_BYTES = 1_000_000;

/** The statement of a page; its key stands in the last columns. `hasLong`: some values are longer than may be read. */
export function pageOf(table: TableInfo, filter: Filter | undefined, place: Place, hasLong: boolean, most = PAGE + 1): { sql: string; params: Cell[] } {
  const told = (column: string) => `CASE WHEN octet_length(${column}) > ${READ_MAX_BYTES} THEN '(' || octet_length(${column}) || ' bytes, too long to be read here)' ELSE ${column} END`;
  const columns = (table.columns ?? []).map(quoted).map((column) => (hasLong ? told(column) : column));
  const key = (table.key ?? []).map(quoted);
  const params: Cell[] = [];
  const bound = (value: Cell) => `?${params.push(value)}`;
  const where: string[] = [];
  if (filter) {
    const column = quoted(filter.column);
    const text = filter.test === "null" || filter.test === "any" ? "" : bound(filter.text);
    const isNumeric = /^\s*[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?\s*$/i.test(filter.text);
    const either = (sign: string) => (isNumeric ? `(${column} ${sign} CAST(${text} AS NUMERIC) AND typeof(${column}) IN ('integer', 'real'))` : `${column} ${sign} ${text}`);
    where.push({
      equals: isNumeric ? `(${column} = ${text} OR ${column} = CAST(${text} AS NUMERIC))` : `${column} = ${text}`,
      contains: `octet_length(${column}) <= ${READ_MAX_BYTES} AND instr(lower(CAST(${column} AS TEXT)), lower(${text})) > 0`,
      least: either(">="), most: either("<="), null: `${column} IS NULL`, any: `${column} IS NOT NULL`,
    }[filter.test]);
  }
  const bounds = (sign: string, values: Cell[]) => `(${key.join(", ")}) ${sign} (${values.map(bound).join(", ")})`;
  if (place.after) where.push(bounds(">", place.after));
  if (place.before) where.push(bounds("<", place.before));
  const order = key.length ? ` ORDER BY ${key.map((one) => one + (place.before || place.last ? " DESC" : "")).join(", ")}` : "";
  const offset = !key.length && place.offset ? ` OFFSET ${place.offset}` : "";
  const sql = `SELECT ${[...columns, ...key].join(", ") || "*"} FROM ${quoted(table.name)}${where.length ? ` WHERE ${where.join(" AND ")}` : ""}${order} LIMIT ${most}${offset}`;
  return { sql, params };
}

/** A row, with what the next and the one before it are found by: its key, or how many rows come before. */
type Row = { cells: Cell[]; key: Cell[] };

function Contents({ database, at, table }: { database: Database; at: string; table: TableInfo }) {
  const columns = table.columns ?? [];
  const key = table.key ?? [];
  const [column, setColumn] = useState(columns[0] ?? "");
  const [test, setTest] = useState<Test>("contains");
  const [text, setText] = useState("");
  const [filter, setFilter] = useState<Filter>();
  /** What was read last. */
  const [found, setFound] = useState<Found>();
  const hasLong = useRef(false);
  const needsText = test !== "null" && test !== "any";
  const read = async (place: Place, signal: AbortSignal): Promise<Page<Row>> => {
    const ask = () => query(database.id, { ...pageOf(table, filter, place, hasLong.current), at }, signal);
    const found = await ask().catch((refusal: Refusal) => {
      if (hasLong.current || !refusal.message.startsWith("string or blob too big")) throw refusal;
      hasLong.current = true;
      return ask();
    });
    setFound(found);
    // One more than a page was asked for, to know whether there are more. What is cut by its bytes, or by the hub's own limit of rows, goes on.
    const asked = found.rows.slice(0, PAGE).map((row, index) => ({ cells: row.slice(0, columns.length), key: key.length ? row.slice(columns.length) : [place.offset + index + 1] }));
    const isCut = found.stoppedBy === "rows" || found.stoppedBy === "bytes";
    return { rows: place.before || place.last ? asked.reverse() : asked, hasMore: found.rows.length > PAGE || (isCut && asked.length > 0) };
  };
  const pager: Pager<Row, Cell[]> = {
    after: (after, signal) => read(after && key.length ? { after, offset: 0 } : { offset: Number(after?.[0] ?? 0) }, signal),
    ...(key.length > 0 && { before: (before, signal) => read(before ? { before, offset: 0 } : { last: true, offset: 0 }, signal) }),
    keyOf: (row) => row.key,
  };
  const whole = (row: Row, column: string) => async () => {
    const where = key.map((one, index) => `${quoted(one)} = ?${index + 1}`).join(" AND ");
    const one = await query(database.id, { at, sql: `SELECT ${quoted(column)} FROM ${quoted(table.name)} WHERE ${where}`, params: row.key, maxValueBytes: 1 << 19 });
    return one.rows[0]?.[0] ?? null;
  };
  const shownColumns = columns.map((name, place): Column<Row> => ({
    head: name, note: table.columnTypes?.[place]?.toLowerCase(), number: ({ cells }) => isNumber(cells[place] ?? null),
    cell: (row) => <Value cell={row.cells[place] ?? null} name={name} whole={key.length ? whole(row, name) : undefined} />,
  }));
  return (
    <VirtualTable label={`Rows of ${table.name}`} id={JSON.stringify([database.id, at, table.name, filter])} pager={pager} columns={() => shownColumns} className="grid">
      {(shown, rows) => (
        <>
          <div className="head">
            <h2>{table.name}</h2>
            <Link to={["databases", database.id, "sql"]} onFollow={() => draft(database.id, `SELECT * FROM ${quoted(table.name)} LIMIT 100`)}>Ask in SQL</Link>
            <Export name={table.name} columns={columns} rows={shown.rows.map(({ cells }) => cells)} />
            <ExportAll database={database} at={at} table={table} filter={filter} />
          </div>
          {table.sql && <details><summary>Declared as</summary><pre>{table.sql}</pre></details>}
          <form className="line" onSubmit={(event) => { event.preventDefault(); setFilter({ column, test, text }); }}>
            <select aria-label="Column" value={column} onChange={(event) => setColumn(event.target.value)}>{columns.map((one) => <option key={one}>{one}</option>)}</select>
            <select aria-label="Test" value={test} onChange={(event) => setTest(event.target.value as Test)}>{TESTS.map(([value, name]) => <option key={value} value={value}>{name}</option>)}</select>
            {needsText && <input aria-label="Value" placeholder="Value" value={text} onChange={(event) => setText(event.target.value)} />}
            <button type="submit" disabled={columns.length === 0}>Filter</button>
            {filter && <button type="button" onClick={() => setFilter(undefined)}>All rows</button>}
          </form>
          <Reading shown={shown} />
          {found && shown.isRead && shown.rows.length === 0 && <Empty>{found.stoppedBy ? stoppedText(found) : filter ? "No row passes the filter." : "The table has no rows."}</Empty>}
          {found && shown.isRead && (
            <p className="line pager">
              <button type="button" disabled={shown.isStart} onClick={() => shown.begin("first")}>First</button>
              {key.length > 0 && <button type="button" disabled={shown.isEnd} onClick={() => shown.begin("last")}>Last</button>}
              <button type="button" onClick={shown.again}>Read again</button>
              <span className="faint">
                <Seen shown={shown} /><Of found={found} />, read in {millis(found.micros)}
                {shown.rows.length > 0 && (found.stoppedBy === "time" || found.stoppedBy === "memory") && <>. {stoppedText(found)}</>}
              </span>
            </p>
          )}
          {rows}
        </>
      )}
    </VirtualTable>
  );
}

/** Rows that one file has at most, and what they may take. */
const EXPORT_ROWS = 200_000;
const EXPORT_BYTES = 64 << 20;

/** Gives all rows that pass the filter as a file, page by page by the key; a table of old can be read whole, a living one changes between its pages. */
function ExportAll(props: { database: Database; at: string; table: TableInfo; filter: Filter | undefined }) {
  const { database, at, table, filter } = props;
  const key = table.key ?? [];
  const columns = table.columns ?? [];
  const [stop, setStop] = useState<AbortController>();
  const [told, setTold] = useState("");
  useEffect(() => () => stop?.abort(), [stop]);
  if (key.length === 0 || columns.length === 0) return null;
  const read = async (kind: "csv" | "json") => {
    const stop = new AbortController();
    setStop(stop);
    const rows: Cell[][] = [];
    let bytes = 0;
    let why = "";
    try {
      for (let after: Cell[] | undefined; ;) {
        const statement = pageOf(table, filter, after ? { after, offset: 0 } : FIRST, false, EXPORT_PAGE);
        const found = await query(database.id, { ...statement, at, maxValueBytes: 1 << 20 }, stop.signal);
        for (const row of found.rows) {
          rows.push(row.slice(0, columns.length));
          bytes += JSON.stringify(row).length;
        }
        after = found.rows.at(-1)?.slice(columns.length);
        setTold(`${number(rows.length)} rows…`);
        // An answer may be cut by its bytes, or by the hub's own limit of rows, and goes on behind its last row.
        if (!after || (!found.stoppedBy && found.rows.length < EXPORT_PAGE)) break;
        if (found.stoppedBy === "time" || found.stoppedBy === "memory") throw new Error(stoppedText(found));
        if (rows.length >= EXPORT_ROWS || bytes >= EXPORT_BYTES) {
          why = `: a file has at most ${number(EXPORT_ROWS)} rows or 64 MiB, the rest is not in it`;
          break;
        }
      }
      save(table.name, columns, rows, kind);
      setTold(`${number(rows.length)} rows${why}`);
    } catch (error) {
      setTold(stop.signal.aborted ? "" : (error as Error).message);
    }
    setStop(undefined);
  };
  return (
    <>
      {stop
        ? <button type="button" onClick={() => stop.abort()}>Stop</button>
        : (["csv", "json"] as const).map((kind) => <button key={kind} type="button" onClick={() => void read(kind)}>All as {kind.toUpperCase()}</button>)}
      {told && <small role="status">{told}</small>}
    </>
  );
}

/** What was read: a commit, or an older version. */
export function Of({ found }: { found: Found }) {
  if (found.version) return <> of version {number(found.seq)}, <Time unix={found.versionUnix} /></>;
  return found.seq && found.seq !== "0" ? <> of commit {number(found.seq)}</> : null;
}

export const millis = (micros: string | undefined): string => `${(Number(micros ?? 0) / 1000).toFixed(1)} ms`;

export function stoppedText(found: Found): string {
  switch (found.stoppedBy) {
    case "rows": return "There are more rows than the hub answers at once.";
    case "bytes": return "There are more rows: an answer has at most 1 MiB.";
    case "time": return "Stopped: it took longer than the hub allows. An index, or a narrower question, helps.";
    case "memory": return "Stopped: it took more memory than the hub allows. Ask for less at once.";
    default: return "";
  }
}
