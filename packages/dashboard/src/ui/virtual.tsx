/**
 * A table of which only the rows in sight are in the page, and only some pages in memory: one scroll through as many rows as there are. Each
 * row is one line, so that where it stands follows from its number.
 */

import { useEffect, useLayoutEffect, useMemo, useReducer, useRef, useState, type KeyboardEvent, type ReactNode, type RefObject } from "react";
import type { Refusal } from "../api.ts";
import { Cells, Heads, Refused, type Column } from "./parts.tsx";
import { number } from "./words.ts";
import { RowWindow, type Pager } from "./window.ts";

/** Rows beside those in sight that are in the page: the next one by Tab is there. */
const BESIDE = 10;
/** How high a row is until one is measured. */
const ROW_PX = 28;
/** Browsers limit how high a thing may be: beyond this the rows are laid out anew. */
const HEIGHT_MAX_PX = 8_000_000;
/** Rows that can be scrolled to before they are known. */
const UNKNOWN = 100;
/** Where the rows begin in what is scrolled, when it is not known how many come before. */
const BEFORE = 10_000;

/** What is shown of a list, for what stands below it. */
export type Shown<R> = {
  rows: R[];
  /** The numbers of the first and the last row in sight, from 1, if they are numbered from the first of all. */
  from: number; to: number; isExact: boolean;
  total: number | undefined;
  /** How many rows follow those in sight, if that is known. */
  behind: number | undefined;
  isRead: boolean; busy: boolean; error: Refusal | undefined;
  isStart: boolean; isEnd: boolean;
  again: () => void;
  begin: (where: "first" | "last") => void;
};

type Props<R, K> = {
  label: string;
  /** What is read: another one begins anew. */
  id: string;
  pager: Pager<R, K>;
  columns: (rows: R[]) => Column<R>[];
  /** How often it is read again while it is seen. */
  everyMs?: number;
  className?: string;
  /** What stands above and below the table, or in its place where there are no rows. */
  children: (shown: Shown<R>, table: ReactNode) => ReactNode;
};

type Work = (signal: AbortSignal) => Promise<unknown>;
/** A list that is read, one thing after the other. */
type List<R, K> = {
  window: RowWindow<R, K>; stop: AbortController; origin: number; busy: boolean;
  /** Whether to look again what is in sight, and what to do before. */
  isAsked: boolean; todo: Work | undefined;
};

export function VirtualTable<R, K>(props: Props<R, K>) {
  const { id, pager, everyMs = 0 } = props;
  const box = useRef<HTMLDivElement>(null);
  const [, draw] = useReducer((round: number) => round + 1, 0);
  const [error, setError] = useState<Refusal>();
  const list = useMemo((): List<R, K> => ({ window: new RowWindow(pager), stop: new AbortController(), origin: 0, busy: false, isAsked: false, todo: undefined }),
    // `id` names what the pager reads.
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [id]);
  const rowPx = useRef(ROW_PX);
  /** Where to scroll before the page is painted. */
  const scroll = useRef<number>(undefined);
  const { window: rows } = list;

  const sight = (): [number, number] => {
    const from = list.origin + Math.floor((scroll.current ?? box.current?.scrollTop ?? 0) / rowPx.current);
    return [from, from + Math.ceil((box.current?.clientHeight || 600) / rowPx.current) + 1];
  };
  /** Lays the rows out from `origin` on; what is in sight stays there. */
  const layOut = (origin: number) => {
    const top = scroll.current ?? box.current?.scrollTop ?? 0;
    scroll.current = Math.max(0, top + (list.origin - origin) * rowPx.current);
    list.origin = origin;
  };
  /** Whether somebody is at what is in sight: where nobody is, and it is the beginning, what comes is shown. */
  const isHeld = () => !!box.current && (box.current.matches(":hover, :focus-within") || box.current.scrollTop >= rowPx.current);
  const settle = () => {
    const moved = rows.takeMoved();
    list.origin -= moved;
    if (rows.isExact && list.origin < 0 && !isHeld()) {
      list.origin = 0;
      scroll.current = 0;
    }
    const [from] = sight();
    const far = (from - list.origin) * rowPx.current > HEIGHT_MAX_PX * 0.75;
    if (rows.isExact) {
      const most = Math.floor(HEIGHT_MAX_PX / 2 / rowPx.current);
      if (list.origin < 0) layOut(0);
      else if (far || (list.origin > 0 && from - list.origin < BEFORE)) layOut(Math.max(0, from - most));
    } else if (far || from - list.origin < BEFORE / 4) layOut(from - BEFORE);
  };
  /** Reads one thing after the other until what is in sight is there. */
  const pump = async (first?: Work) => {
    list.todo = first ?? list.todo;
    list.isAsked = true;
    if (list.busy) return;
    list.busy = true;
    const { signal } = list.stop;
    try {
      while (list.isAsked) {
        const { todo } = list;
        Object.assign(list, { isAsked: false, todo: undefined });
        await todo?.(signal);
        if (signal.aborted) return;
        settle();
        const [from, to] = sight();
        const wants = rows.need(Math.max(from - BESIDE, rows.isExact ? 0 : -Infinity), to + BESIDE, signal);
        draw();
        if (await wants) list.isAsked = true;
      }
      setError(undefined);
    } catch (refusal) {
      if (!signal.aborted) setError(refusal as Refusal);
    } finally {
      list.busy = false;
      if (!signal.aborted) draw();
    }
  };
  const begin = (where: "first" | "last") => void pump(async (signal) => {
    await rows.begin(where, signal);
    rows.takeMoved();
    list.origin = rows.isExact ? 0 : -BEFORE;
    const height = (rows.end - list.origin) * rowPx.current + headPx(box);
    scroll.current = where === "first" ? 0 : Math.max(0, height - (box.current?.clientHeight ?? 0));
  });
  const again = () => void pump((signal) => rows.refresh(sight()[0], signal, isHeld()));
  useEffect(() => {
    if (list.stop.signal.aborted) list.stop = new AbortController();
    list.busy = false;
    setError(undefined);
    if (box.current) box.current.scrollTop = 0;
    void pump();
    return () => list.stop.abort();
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [list]);
  useEffect(() => {
    if (everyMs === 0) return;
    const timer = setInterval(() => document.visibilityState === "visible" && !list.busy && again(), everyMs);
    return () => clearInterval(timer);
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [list, everyMs]);
  const columns = props.columns(rows.rows);
  useColumns(box, columns.map(({ head }) => head).join("\n"), rows.rows.length);

  const hadFocus = useRef(false);
  useLayoutEffect(() => {
    const shown = box.current;
    if (!shown) return;
    const lines = shown.querySelectorAll("tbody tr");
    if (lines.length > 1) {
      const height = (lines[lines.length - 1]!.getBoundingClientRect().top - lines[0]!.getBoundingClientRect().top) / (lines.length - 1);
      if (height > 0 && Math.abs(height - rowPx.current) > 0.01) {
        scroll.current = ((scroll.current ?? shown.scrollTop) / rowPx.current) * height;
        rowPx.current = height;
        draw();
      }
    }
    if (scroll.current !== undefined) shown.scrollTop = scroll.current;
    scroll.current = undefined;
    // Who was at a row that is out of sight goes on from the table.
    if (hadFocus.current && document.activeElement === document.body) shown.focus({ preventScroll: true });
    hadFocus.current = shown.contains(document.activeElement);
  });
  const scrolled = () => {
    hadFocus.current = !!box.current?.contains(document.activeElement);
    draw();
    void pump();
  };
  const press = (event: KeyboardEvent) => {
    if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key !== "Home" && !(event.key === "End" && pager.before)) return;
    event.preventDefault();
    begin(event.key === "Home" ? "first" : "last");
  };

  const [from, to] = sight();
  const [begins, ends] = [Math.min(Math.max(from - BESIDE, rows.first), rows.end), Math.min(to + BESIDE, rows.end)];
  const behind = Math.max(0, rows.extent + (rows.isExtentEnd ? 0 : UNKNOWN) - Math.max(begins, ends));
  const table = rows.rows.length > 0 && (
    <div ref={box} className={`scroll virtual ${props.className ?? ""}`} tabIndex={0} role="region" aria-label={props.label} aria-busy={list.busy && (from < rows.first || (to > rows.end && !rows.isEnd))} onScroll={scrolled} onKeyDown={press} onBlur={() => (hadFocus.current = false)}>
      <table aria-rowcount={rows.total === undefined ? -1 : rows.total + 1}
        style={{ marginTop: Math.max(0, begins - list.origin) * rowPx.current, marginBottom: Math.min(behind * rowPx.current, HEIGHT_MAX_PX) }}>
        <thead><Heads columns={columns} rowIndex={1} /></thead>
        <tbody>
          {rows.rows.slice(begins - rows.first, Math.max(begins, ends) - rows.first).map((row, index) => (
            <Cells key={JSON.stringify(pager.keyOf(row))} columns={columns} row={row} rowIndex={rows.isExact ? begins + index + 2 : undefined} />
          ))}
        </tbody>
      </table>
    </div>
  );
  const head = headPx(box);
  const seen = Math.ceil(((box.current?.clientHeight || 0) - head) / rowPx.current);
  const shown: Shown<R> = {
    rows: rows.rows, from: from + 1, to: Math.min(rows.end, from + Math.max(1, seen)), isExact: rows.isExact, total: rows.total, behind: rows.isExtentEnd ? Math.max(0, rows.extent - from - seen) : undefined, isRead: rows.isRead,
    busy: list.busy, error, isStart: rows.isStart && from <= 0, isEnd: rows.isEnd && to >= rows.end, again, begin,
  };
  return <>{props.children(shown, table)}</>;
}

const headPx = (box: RefObject<HTMLDivElement | null>): number => box.current?.querySelector("thead")?.getBoundingClientRect().height ?? 0;

/** Columns do not become narrower while their rows change. */
function useColumns(box: RefObject<HTMLDivElement | null>, heads: string, count: number): void {
  const widths = useRef({ heads: "", box: 0, of: [] as number[] });
  useLayoutEffect(() => {
    const shown = box.current;
    if (!shown) return;
    const cells = [...shown.querySelectorAll<HTMLElement>("thead th")];
    const known = widths.current;
    if (known.heads !== heads || known.box !== shown.clientWidth) {
      widths.current = { heads, box: shown.clientWidth, of: [] };
      for (const cell of cells) cell.style.minWidth = "";
    }
    // What is there as a whole lays itself out.
    if (count <= shown.querySelectorAll("tbody tr").length) return;
    cells.forEach((cell, at) => {
      const width = Math.max(cell.offsetWidth, widths.current.of[at] ?? 0);
      if (width !== widths.current.of[at]) cell.style.minWidth = `${width}px`;
      widths.current.of[at] = width;
    });
  });
}

/** Which rows are seen, in words. */
export function Seen<R>({ shown }: { shown: Shown<R> }): ReactNode {
  if (shown.total !== undefined) return <>{number(shown.total)} rows</>;
  if (!shown.isExact) return shown.behind ? <>{number(shown.behind)} rows follow</> : <>the last rows</>;
  return <>rows {number(shown.from)} to {number(shown.to)}</>;
}

/** Why it could not be read, or that it is being read. */
export function Reading<R>({ shown }: { shown: Shown<R> }) {
  return (
    <>
      <Refused error={shown.error} again={shown.again} />
      {!shown.isRead && !shown.error && <p className="faint" aria-busy="true">Reading…</p>}
    </>
  );
}
