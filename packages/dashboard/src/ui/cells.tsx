/** Values of SQLite, as the hub tells them: exact, cut where they are long. */

import { useEffect, useRef, useState } from "react";
import type { Refusal } from "../api.ts";
import { Copy, Refused } from "./parts.tsx";
import { bytes } from "./words.ts";

export type Cell =
  | null | number | string
  | { integer: string } | { real: number | "Infinity" | "-Infinity" } | { text: string; bytes: number } | { blob: string; bytes: number };

/** What of a text stands in a row. */
const SHOWN_MAX = 80;

export const isCut = (cell: Cell): boolean =>
  typeof cell === "object" && cell !== null &&
  ("text" in cell || ("blob" in cell && cell.blob.length < 2 * cell.bytes));

/** The value in one line, or as it is in a file. */
export function plain(cell: Cell): string {
  if (cell === null) return "";
  if (typeof cell !== "object") return String(cell);
  if ("integer" in cell) return cell.integer;
  if ("real" in cell) return real(cell.real);
  return "text" in cell ? cell.text : cell.blob;
}

/** SQLite's 2.0 is no 2. */
const real = (value: number | string): string => (Number.isInteger(value) && Math.abs(Number(value)) < 1e15 ? `${value}.0` : String(value));

export const isNumber = (cell: Cell): boolean =>
  typeof cell === "number" || (typeof cell === "object" && cell !== null && ("integer" in cell || "real" in cell));

/** The value in a row; what does not fit there opens. */
export function Value({ cell, name, whole }: { cell: Cell; name: string; whole?: (() => Promise<Cell>) | undefined }) {
  const [open, setOpen] = useState(false);
  if (cell === null) return <span className="faint">NULL</span>;
  if (isNumber(cell)) return <>{plain(cell)}</>;
  const isBlob = typeof cell === "object" && "blob" in cell;
  const text = plain(cell);
  const size = typeof cell === "object" && "bytes" in cell ? cell.bytes : 0;
  if (!isBlob && !isCut(cell) && text.length <= SHOWN_MAX && !text.includes("\n")) return <span className="text">{text}</span>;
  const shown = isBlob ? `${bytes(size)} ${text.slice(0, 16)}${size > 8 ? "…" : ""}` : `${text.slice(0, SHOWN_MAX).replaceAll("\n", "⏎")}…`;
  return (
    <>
      <button type="button" className="value" title={`Show all of ${name}`} onClick={() => setOpen(true)}>
        {isBlob && <span className="faint">blob </span>}{shown}
      </button>
      {open && <Whole cell={cell} name={name} whole={whole} onClose={() => setOpen(false)} />}
    </>
  );
}

function Whole(props: { cell: Cell; name: string; whole: (() => Promise<Cell>) | undefined; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [cell, setCell] = useState(props.cell);
  const [error, setError] = useState<Refusal>();
  const { whole } = props;
  useEffect(() => dialog.current?.showModal(), []);
  useEffect(() => {
    if (isCut(props.cell) && whole) whole().then(setCell, setError);
    // Once, when it opens.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, []);
  const isBlob = typeof cell === "object" && cell !== null && "blob" in cell;
  const text = isBlob ? dump(cell.blob) : pretty(plain(cell));
  const size = typeof cell === "object" && cell !== null && "bytes" in cell ? cell.bytes : undefined;
  return (
    <dialog ref={dialog} className="whole" onClose={props.onClose} aria-label={props.name}>
      <h2>{props.name}{isBlob && <span className="faint"> blob</span>}</h2>
      <pre tabIndex={0}>{text}</pre>
      <Refused error={error} />
      {size !== undefined && isCut(cell) && <p className="faint">The beginning of {bytes(size)}.</p>}
      {isBlob && !isCut(cell) && <p className="faint">{bytes(size)}</p>}
      <p className="buttons"><Copy text={plain(cell)} /><button type="button" autoFocus onClick={() => dialog.current?.close()}>Close</button></p>
    </dialog>
  );
}

/** JSON over several lines; numbers in it stay as they stand. */
export function pretty(text: string): string {
  if (!/^\s*[[{]/.test(text) || text.length > 1 << 20) return text;
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  return text.replace(/"(?:[^"\\]|\\.)*"|\s+|[[{]\s*[\]}]|[[\]{},:]/g, (token) => {
    if (/^\s/.test(token)) return "";
    if (token.startsWith('"')) return token;
    if (token.length > 1) return token.replace(/\s/g, "");
    if (token === ":") return ": ";
    if (token === ",") return `,${line()}`;
    if (token === "[" || token === "{") {
      depth += 1;
      return token + line();
    }
    depth -= 1;
    return line() + token;
  });
}

/** Sixteen bytes a line, with what they are as text. */
function dump(hex: string): string {
  const lines = hex.match(/.{1,32}/g) ?? [];
  return lines.map((line, at) => {
    const pairs = line.match(/../g) ?? [];
    const text = pairs.map((pair) => {
      const code = parseInt(pair, 16);
      return code >= 32 && code < 127 ? String.fromCharCode(code) : ".";
    }).join("");
    return `${(at * 16).toString(16).padStart(6, "0")}  ${pairs.join(" ").padEnd(47)}  ${text}`;
  }).join("\n");
}
