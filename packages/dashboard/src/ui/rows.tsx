/** Rows that a statement found: shown, and given as a file. */

import { isNumber, plain, Value, type Cell } from "./cells.tsx";

export function Rows(props: { label: string; columns: string[]; rows: Cell[][] }) {
  const { columns, rows } = props;
  return (
    <div className="scroll grid" tabIndex={0} role="region" aria-label={props.label}>
      <table>
        <thead>
          <tr>{columns.map((name, at) => <th key={at} scope="col">{name}</th>)}</tr>
        </thead>
        <tbody>
          {rows.map((row, at) => (
            <tr key={at}>
              {columns.map((name, column) => (
                <td key={column} className={isNumber(row[column] ?? null) ? "number" : ""}>
                  <Value cell={row[column] ?? null} name={name} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Gives rows as a file. */
export function save(name: string, columns: string[], rows: Cell[][], kind: "csv" | "json"): void {
  const text = kind === "csv" ? csv(columns, rows) : JSON.stringify({ columns, rows });
  const type = kind === "csv" ? "text/csv;charset=utf-8" : "application/json";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = `${name.replace(/[^\w.-]+/g, "_").slice(0, 80) || "rows"}.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Buttons that give what is shown as a file. */
export function Export({ name, columns, rows }: { name: string; columns: string[]; rows: Cell[][] }) {
  return (
    <>
      <button type="button" disabled={columns.length === 0} onClick={() => save(name, columns, rows, "csv")}>CSV</button>
      <button type="button" disabled={columns.length === 0} onClick={() => save(name, columns, rows, "json")}>JSON</button>
    </>
  );
}

/** As RFC 4180 has it: NULL is nothing, an empty text is "", a blob its hexadecimal digits. */
export function csv(columns: string[], rows: Cell[][]): string {
  const field = (cell: Cell): string => {
    if (cell === null) return "";
    const text = plain(cell);
    return text === "" || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows].map((row) => `${row.map(field).join(",")}\r\n`).join("");
}
