import { useEffect, useState } from "react";
import { rpc, type Database } from "../api.ts";
import { query, quoted, type Found } from "../query.ts";
import type { Cell } from "../ui/cells.tsx";
import { useLoad } from "../ui/load.ts";
import { Empty, Link, Refused } from "../ui/parts.tsx";
import { Export, Rows } from "../ui/rows.tsx";
import { number } from "../ui/words.ts";
import { draft } from "./sql.tsx";

export type TableInfo = {
  name: string; kind: string; sql?: string; columns?: string[]; own?: boolean; columnTypes?: string[]; key?: string[];
};
type Tables = { tables?: TableInfo[]; nextPageToken?: string };

const LISTED = 200;
const PAGE = 100;

export function TablesTab({ database, name }: { database: Database; name: string }) {
  const [part, setPart] = useState("");
  const [pages, setPages] = useState(1);
  const list = useLoad(`${database.id} ${part} ${pages}`, async (signal) => {
    const tables: TableInfo[] = [];
    let pageToken = "";
    for (let page = 0; page < pages; page += 1) {
      const answer = await rpc<Tables>("ListTables", { database: database.id, nameContains: part, pageSize: LISTED, pageToken }, signal);
      tables.push(...(answer.tables ?? []));
      pageToken = answer.nextPageToken ?? "";
      if (!pageToken) break;
    }
    return { tables, more: pageToken !== "" };
  });
  const chosen = list.value?.tables.find((one) => one.name === name);
  return (
    <div className="split">
      <section aria-label="Tables and views">
        <input type="search" data-filter aria-label="Filter tables by name" placeholder="Filter" value={part}
          onChange={(event) => { setPart(event.target.value); setPages(1); }} />
        <Refused error={list.error} again={list.again} />
        {!list.value && !list.error && <p className="faint" aria-busy="true">Asking the hub…</p>}
        {list.value && list.value.tables.length === 0 && (part
          ? <p className="faint">No name contains “{part}”.</p>
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
        {name ? <Browser key={name} database={database} name={name} listed={chosen} /> : <Empty>Choose a table. What is typed after <kbd>/</kbd> filters them.</Empty>}
      </section>
    </div>
  );
}

/** A table by its name, also where the list does not show it. */
function Browser(props: { database: Database; name: string; listed: TableInfo | undefined }) {
  const { database, name, listed } = props;
  const found = useLoad(`${database.id} ${name} ${listed ? 1 : 0}`, async (signal) => {
    if (listed) return listed;
    const answer = await rpc<Tables>("ListTables", { database: database.id, nameContains: name, pageSize: 1000 }, signal);
    return answer.tables?.find((one) => one.name === name) ?? null;
  });
  const table = listed ?? found.value;
  if (table) return <Contents database={database} table={table} />;
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
export function pageOf(table: TableInfo, filter: Filter | undefined, place: Place, hasLong: boolean): { sql: string; params: Cell[] } {
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
  const sql = `SELECT ${[...columns, ...key].join(", ") || "*"} FROM ${quoted(table.name)}${where.length ? ` WHERE ${where.join(" AND ")}` : ""}${order} LIMIT ${PAGE + 1}${offset}`;
  return { sql, params };
}

function Contents({ database, table }: { database: Database; table: TableInfo }) {
  const columns = table.columns ?? [];
  const key = table.key ?? [];
  const [column, setColumn] = useState(columns[0] ?? "");
  const [test, setTest] = useState<Test>("contains");
  const [text, setText] = useState("");
  const [filter, setFilter] = useState<Filter>();
  const [place, setPlace] = useState<Place>(FIRST);
  const [hasLong, setHasLong] = useState(false);
  const statement = pageOf(table, filter, place, hasLong);
  const page = useLoad(`${database.id} ${statement.sql} ${JSON.stringify(statement.params)}`, (signal) => query(database.id, statement, signal));
  const isTooLong = page.error?.message.startsWith("string or blob too big") ?? false;
  useEffect(() => {
    if (isTooLong) setHasLong(true);
  }, [isTooLong]);
  const found = page.value;
  // One more than a page was asked for, to know whether there are more.
  const asked = found?.rows ?? [];
  const hasMore = asked.length > PAGE || !!found?.stoppedBy;
  const backwards = !!place.before || !!place.last;
  const inOrder = backwards ? asked.slice(0, PAGE).reverse() : asked.slice(0, PAGE);
  const rows = inOrder.map((row) => row.slice(0, columns.length));
  const keyAt = (at: number) => inOrder[at]?.slice(columns.length);
  const isFirst = !place.after && !backwards && place.offset === 0;
  const next = () => setPlace(key.length ? { after: keyAt(inOrder.length - 1)!, offset: 0 } : { offset: place.offset + PAGE });
  const previous = () => setPlace(key.length ? { before: keyAt(0)!, offset: 0 } : { offset: Math.max(0, place.offset - PAGE) });
  const hasNext = place.last ? false : backwards || hasMore;
  const hasPrevious = backwards ? hasMore : !isFirst;
  const apply = (filter: Filter | undefined) => {
    setFilter(filter);
    setPlace(FIRST);
  };
  const needsText = test !== "null" && test !== "any";
  const whole = (row: number, at: number) => {
    const values = keyAt(row);
    if (!key.length || !values) return undefined;
    return async () => {
      const where = key.map((one, index) => `${quoted(one)} = ?${index + 1}`).join(" AND ");
      const one = await query(database.id, { sql: `SELECT ${quoted(columns[at]!)} FROM ${quoted(table.name)} WHERE ${where}`, params: values, maxValueBytes: 1 << 19 });
      return one.rows[0]?.[0] ?? null;
    };
  };
  return (
    <>
      <div className="head">
        <h2>{table.name}</h2>
        <Link to={["databases", database.id, "sql"]} onFollow={() => draft(database.id, `SELECT * FROM ${quoted(table.name)} LIMIT 100`)}>Ask in SQL</Link>
        <Export name={table.name} columns={columns} rows={rows} />
      </div>
      {table.sql && <details><summary>Declared as</summary><pre>{table.sql}</pre></details>}
      <form className="line" onSubmit={(event) => { event.preventDefault(); apply({ column, test, text }); }}>
        <select aria-label="Column" value={column} onChange={(event) => setColumn(event.target.value)}>{columns.map((one) => <option key={one}>{one}</option>)}</select>
        <select aria-label="Test" value={test} onChange={(event) => setTest(event.target.value as Test)}>{TESTS.map(([value, name]) => <option key={value} value={value}>{name}</option>)}</select>
        {needsText && <input aria-label="Value" placeholder="Value" value={text} onChange={(event) => setText(event.target.value)} />}
        <button type="submit" disabled={columns.length === 0}>Filter</button>
        {filter && <button type="button" onClick={() => apply(undefined)}>All rows</button>}
      </form>
      {!(isTooLong && !hasLong) && <Refused error={page.error} again={page.again} />}
      {!found && !page.error && <p className="faint" aria-busy="true">Reading…</p>}
      {found && rows.length === 0 && <Empty>{found.stoppedBy ? stoppedText(found) : filter ? "No row passes the filter." : isFirst ? "The table has no rows." : "No rows here."}</Empty>}
      {rows.length > 0 && <Rows label={`Rows of ${table.name}`} columns={columns} types={table.columnTypes ?? []} rows={rows} whole={whole} />}
      {found && (
        <p className="line pager">
          <button type="button" disabled={isFirst} onClick={() => setPlace(FIRST)}>First</button>
          <button type="button" disabled={!hasPrevious || inOrder.length === 0} onClick={previous}>Previous</button>
          <button type="button" disabled={!hasNext || inOrder.length === 0} onClick={next}>Next</button>
          {key.length > 0 && <button type="button" disabled={!!place.last} onClick={() => setPlace({ last: true, offset: 0 })}>Last</button>}
          <button type="button" onClick={page.again}>Read again</button>
          <span className="faint">{number(rows.length)} rows{found.seq && found.seq !== "0" && <> of commit {number(found.seq)}</>} in {millis(found.micros)}{rows.length > 0 && found.stoppedBy && <>. {stoppedText(found)}</>}</span>
        </p>
      )}
    </>
  );
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
