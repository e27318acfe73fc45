/**
 * The editor of statements: CodeMirror, in a file of its own that comes when a statement is to be written. It stands in a shadow root, where its
 * styles are sheets that the content policy admits; in the page they would be inline.
 */

import { acceptCompletion, autocompletion, completionKeymap } from "@codemirror/autocomplete";
import { standardKeymap, history, historyKeymap } from "@codemirror/commands";
import { sql, SQLite, type SQLNamespace } from "@codemirror/lang-sql";
import { bracketMatching, HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { Compartment, EditorState, Prec } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";
import { tags } from "@lezer/highlight";

/** Names of tables and views, with their columns. */
export type Schema = Record<string, string[]>;

export type Editor = {
  /** What is marked, and where that begins. */
  marked: () => { text: string; from: number };
  /** Marks a part, and puts the cursor there. */
  mark: (from: number, to: number) => void;
  complete: (schema: Schema) => void;
  end: () => void;
};

export type EditorSettings = { label: string; describedBy: string; text: string; onChange: (text: string) => void; onRun: () => void };

/** Names that are offered at once: so few that their list need not scroll. */
const OFFERED = 8;

const THEME = EditorView.theme({
  "&": { color: "var(--text)", backgroundColor: "var(--raised)", border: "1px solid var(--edge)", borderRadius: "4px", fontSize: "13px" },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "1px" },
  ".cm-scroller": { font: "13px/1.45 ui-monospace, \"SF Mono\", Menlo, Consolas, \"DejaVu Sans Mono\", monospace", minHeight: "108px", maxHeight: "320px" },
  ".cm-content": { caretColor: "var(--text)", padding: "6px 4px" },
  ".cm-content ::selection": { backgroundColor: "color-mix(in srgb, var(--accent) 30%, transparent)" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "color-mix(in srgb, var(--accent) 20%, transparent)" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", border: "1px solid var(--edge)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { maxHeight: "none", overflow: "hidden" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
});

const COLOURS = HighlightStyle.define([
  { tag: [tags.keyword, tags.typeName, tags.operatorKeyword], color: "var(--accent)" },
  { tag: [tags.string, tags.number, tags.bool, tags.null], color: "var(--value)" },
  { tag: [tags.lineComment, tags.blockComment], color: "var(--faint)" },
]);

const language = (schema: Schema) => sql({ dialect: SQLite, schema: schema as SQLNamespace, upperCaseKeywords: true });

/**
 * What is typed over something marked is put in here: left to Chromium, it takes over the colours of what was there, inline, which the content
 * policy refuses and reports.
 */
const OVER_MARKED = EditorView.domEventHandlers({
  beforeinput: (event, view) => {
    const { from, to, empty } = view.state.selection.main;
    const text = event.data;
    if (event.inputType !== "insertText" || text === null || empty || view.composing) return false;
    event.preventDefault();
    const typed = () => view.state.update(view.state.replaceSelection(text), { userEvent: "input.type" });
    if (!view.state.facet(EditorView.inputHandler).some((handler) => handler(view, from, to, text, typed))) view.dispatch(typed());
    return true;
  },
});

export function edit(host: HTMLElement, { label, describedBy, text, onChange, onRun }: EditorSettings): Editor {
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open", delegatesFocus: true });
  const names = new Compartment();
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: text,
      extensions: [
        Prec.highest(keymap.of([{ key: "Mod-Enter", run: () => (onRun(), true) }, { key: "Tab", run: acceptCompletion }])),
        history(), bracketMatching(), autocompletion({ maxRenderedOptions: OFFERED }), EditorView.lineWrapping,
        // Tab leaves the editor, as it leaves every field.
        keymap.of([...completionKeymap, ...historyKeymap, ...standardKeymap]),
        names.of(language({})), syntaxHighlighting(COLOURS), THEME, OVER_MARKED,
        EditorView.contentAttributes.of({ "aria-label": label, "aria-description": describedBy, spellcheck: "false", autocapitalize: "off" }),
        EditorView.updateListener.of((update) => update.docChanged && onChange(update.state.doc.toString())),
      ],
    }),
  });
  return {
    marked: () => {
      const { from, to } = view.state.selection.main;
      return { text: view.state.sliceDoc(from, to), from };
    },
    mark: (from, to) => {
      const most = view.state.doc.length;
      view.dispatch({ selection: { anchor: Math.min(from, most), head: Math.min(to, most) }, scrollIntoView: true });
      view.focus();
    },
    complete: (schema) => view.dispatch({ effects: names.reconfigure(language(schema)) }),
    end: () => view.destroy(),
  };
}
