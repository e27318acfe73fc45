/** What all pages are made of. */

import { useEffect, useRef, useState, type FormEvent, type MouseEvent, type ReactNode } from "react";
import type { Refusal } from "../api.ts";
import { asksAgain, isOperator } from "../operator.ts";
import { go, href } from "../route.ts";
import { exact, relative } from "./words.ts";

export function Link(props: { to: string[]; children: ReactNode; current?: boolean | undefined; onFollow?: () => void }) {
  const follow = (event: MouseEvent) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    props.onFollow?.();
    go(...props.to);
  };
  return (
    <a href={href(...props.to)} onClick={follow} aria-current={props.current ? "page" : undefined}>
      {props.children}
    </a>
  );
}

/** A moment: relative, with the exact one on hover. */
export function Time({ unix }: { unix: string | number | undefined }) {
  const at = Number(unix ?? 0);
  if (!at) return <span className="faint">never</span>;
  return <time dateTime={new Date(at * 1000).toISOString()} title={exact(at)}>{relative(at)}</time>;
}

/** Why the hub refused, and what names the request in its log. */
export function Refused({ error, again }: { error: Refusal | undefined; again?: () => void }) {
  if (!error) return null;
  return (
    <div className="refused" role="alert">
      <span>{error.message}</span>
      {error.requestId && <span className="faint">request <code>{error.requestId}</code></span>}
      {again && <button type="button" onClick={again}>Try again</button>}
    </div>
  );
}

export function Copy({ text, label = "Copy" }: { text: string; label?: string }) {
  const [copied, setCopied] = useState(false);
  const copy = () => navigator.clipboard.writeText(text).then(() => setCopied(true), () => setCopied(false));
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [copied]);
  return <button type="button" onClick={copy} aria-live="polite">{copied ? "Copied" : label}</button>;
}

/** Nothing is there yet; the command that changes that. */
export function Empty({ children, command }: { children: ReactNode; command?: string }) {
  return (
    <div className="empty">
      <p>{children}</p>
      {command && <p className="command"><code>{command}</code> <Copy text={command} /></p>}
    </div>
  );
}

/** A secret that is shown once. */
export function Once({ title, secret, onClose }: { title: string; secret: string; onClose: () => void }) {
  return (
    <section className="once" aria-label={title}>
      <p>{title} It is shown once: keep it now.</p>
      <pre data-testid="secret">{secret}</pre>
      <p className="buttons"><Copy text={secret} /><button type="button" onClick={onClose}>Done</button></p>
    </section>
  );
}

export type Column<T> = { head: string; note?: string | undefined; cell: (row: T) => ReactNode; number?: boolean | ((row: T) => boolean) };

const isNumber = <T,>({ number }: Column<T>, row: T): boolean => (typeof number === "function" ? number(row) : number === true);

/** The row of heads of a table. */
export function Heads<T>({ columns, rowIndex }: { columns: Column<T>[]; rowIndex?: number }) {
  return (
    <tr aria-rowindex={rowIndex}>
      {columns.map((column) => <th key={column.head} className={column.number === true ? "number" : ""} scope="col">{column.head}{column.note && <small> {column.note}</small>}</th>)}
    </tr>
  );
}

/** A row of a table. */
export function Cells<T>({ columns, row, rowIndex }: { columns: Column<T>[]; row: T; rowIndex?: number | undefined }) {
  return (
    <tr aria-rowindex={rowIndex}>
      {columns.map((column) => <td key={column.head} className={isNumber(column, row) ? "number" : ""}>{column.cell(row)}</td>)}
    </tr>
  );
}

export function Table<T>(props: { label: string; rows: T[]; columns: Column<T>[]; rowKey: (row: T) => string }) {
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label={props.label}>
      <table>
        <thead><Heads columns={props.columns} /></thead>
        <tbody>
          {props.rows.map((row) => <Cells key={props.rowKey(row)} columns={props.columns} row={row} />)}
        </tbody>
      </table>
    </div>
  );
}

export function Field({ label, hint, children }: { label: string; hint?: string; children: ReactNode }) {
  return <label className="field"><span>{label}</span>{children}{hint && <small>{hint}</small>}</label>;
}

/** Asks once more who is there, before something is taken away. */
export function Proof({ value, onChange }: { value: string; onChange: (typed: string) => void }) {
  if (!asksAgain()) return null;
  const byToken = isOperator();
  return (
    <Field label={byToken ? "Operator token, once more" : "Your password"} {...(byToken && { hint: "It was typed more than 5 minutes ago." })}>
      <input type="password" name="proof" required autoComplete={byToken ? "off" : "current-password"} value={value} onChange={(event) => onChange(event.target.value)} />
    </Field>
  );
}

/** A form that a button opens; Escape closes it. */
export function Panel(props: {
  open: boolean; title: string; submit: string; danger?: boolean; busy: boolean; error: Refusal | undefined; disabled?: boolean;
  onSubmit: () => void; onClose: () => void; children: ReactNode;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const shown = dialog.current;
    if (props.open && shown && !shown.open) shown.showModal();
    if (!props.open && shown?.open) shown.close();
  }, [props.open]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    props.onSubmit();
  };
  return (
    <dialog ref={dialog} onClose={props.onClose} aria-label={props.title}>
      {props.open && (
        <form onSubmit={submit}>
          <h2>{props.title}</h2>
          {props.children}
          <Refused error={props.error} />
          <p className="buttons">
            <button type="submit" className={props.danger ? "danger" : "primary"} disabled={props.busy || props.disabled}>{props.submit}</button>
            <button type="button" onClick={props.onClose}>Cancel</button>
          </p>
        </form>
      )}
    </dialog>
  );
}

/** A button that asks once more, in its own place. */
export function Confirm({ label, ask, onYes }: { label: string; ask: string; onYes: () => void }) {
  const [asking, setAsking] = useState(false);
  if (!asking) return <button type="button" onClick={() => setAsking(true)}>{label}</button>;
  const yes = () => {
    setAsking(false);
    onYes();
  };
  return (
    <span className="confirm" onKeyDown={(event) => event.key === "Escape" && setAsking(false)}>
      {ask} <button type="button" className="danger" autoFocus onClick={yes}>{label}</button>{" "}
      <button type="button" onClick={() => setAsking(false)}>Keep</button>
    </span>
  );
}
