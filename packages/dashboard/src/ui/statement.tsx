/** Where a statement is written: a plain field, until the editor has come, and where it does not come. */

import { useEffect, useRef, useState, type KeyboardEvent } from "react";
import type { Editor, Schema } from "./editor.ts";

/** The marked part of a statement, and a way to mark one. */
export type Marks = Pick<Editor, "marked" | "mark">;

const LABEL = "One statement that reads";
const HINT = "Ctrl Enter runs it, or what is marked. Nothing can be written here.";

export function Statement(props: { text: string; schema: Schema | undefined; onChange: (text: string) => void; onRun: () => void; onReady: (marks: Marks) => void }) {
  const { text, schema, onChange, onRun, onReady } = props;
  const area = useRef<HTMLTextAreaElement>(null);
  const host = useRef<HTMLDivElement>(null);
  const [editor, setEditor] = useState<Editor>();
  // What the editor calls is the newest.
  const current = useRef({ text, onChange, onRun });
  current.current = { text, onChange, onRun };
  useEffect(() => {
    onReady({
      marked: () => {
        const field = area.current!;
        const [from, to] = [Math.min(field.selectionStart, field.selectionEnd), Math.max(field.selectionStart, field.selectionEnd)];
        return { text: field.value.slice(from, to), from };
      },
      mark: (from, to) => {
        area.current?.focus();
        area.current?.setSelectionRange(from, to);
      },
    });
    let made: Editor | undefined;
    let gone = false;
    void import("./editor.ts").then(({ edit }) => {
      if (gone || !host.current) return;
      const wasFocused = document.activeElement === area.current;
      made = edit(host.current, {
        label: LABEL, describedBy: HINT, text: current.current.text,
        onChange: (text) => current.current.onChange(text), onRun: () => current.current.onRun(),
      });
      setEditor(made);
      onReady(made);
      if (wasFocused) made.mark(current.current.text.length, current.current.text.length);
      // The plain field does all but colours and names.
    }, () => undefined);
    return () => {
      gone = true;
      made?.end();
    };
    // Once.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, []);
  useEffect(() => {
    if (schema) editor?.complete(schema);
  }, [editor, schema]);
  const press = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      onRun();
    }
  };
  return (
    <div className="field">
      <span aria-hidden="true">{LABEL}</span>
      {!editor && (
        <textarea ref={area} data-filter className="code" aria-label={LABEL} aria-description={HINT} rows={Math.min(16, Math.max(5, text.split("\n").length))} spellCheck={false}
          autoCapitalize="off" autoComplete="off" value={text} onChange={(event) => onChange(event.target.value)} onKeyDown={press} />
      )}
      <div ref={host} data-typing hidden={!editor} {...(editor && { "data-filter": true })} />
    </div>
  );
}
