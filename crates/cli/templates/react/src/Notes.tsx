// A table of the hub. A note is shown at once, and taken back if the hub refuses it.
import { useMutation, useQuery } from "@ferry/react";
import { type FormEvent, useState } from "react";

/** Who writes, as long as nobody signs in. */
const author: string = (localStorage.author ??= `Guest ${Math.floor(100 + Math.random() * 900)}`);

export function Notes() {
  const { data: notes, error } = useQuery("listNotes");
  const addNote = useMutation("addNote", {
    optimistic: (cache, note) =>
      cache.update("listNotes", {}, (notes) => [{ ...note, id: -Date.now(), createdAt: new Date().toISOString() }, ...notes]),
  });
  const [body, setBody] = useState("");

  function send(event: FormEvent) {
    event.preventDefault();
    if (body.trim() === "") return;
    setBody("");
    // Refused: the text comes back, and the reason is shown below.
    addNote({ author, body }).catch(() => setBody(body));
  }

  return (
    <section className="card notes" aria-labelledby="notes-title">
      <h2 id="notes-title">Notes</h2>
      <form onSubmit={send}>
        <input
          value={body}
          onChange={(event) => setBody(event.target.value)}
          placeholder={`Write as ${author}`}
          aria-label="New note"
          autoComplete="off"
        />
        <button>Send</button>
      </form>
      {addNote.error && <p className="error">{addNote.error.message}</p>}
      {!notes && <p className="hint">{error ? error.message : "Asking the hub …"}</p>}
      {notes?.length === 0 && <p className="hint">No notes yet. Whoever has this page open sees the first one at once.</p>}
      <ol aria-label="Notes">
        {notes?.map((note) => (
          <li key={note.id} className={note.id < 0 ? "sending" : undefined}>
            <p>{note.body}</p>
            <p className="hint">
              {note.author === author ? "You" : note.author} · <time dateTime={note.createdAt}>{shortTime(note.createdAt)}</time>
            </p>
          </li>
        ))}
      </ol>
    </section>
  );
}

/** `14:05` of today, else `3 May`. */
function shortTime(at: string): string {
  const date = new Date(at);
  const isToday = date.toDateString() === new Date().toDateString();
  return date.toLocaleString(undefined, isToday ? { hour: "2-digit", minute: "2-digit" } : { day: "numeric", month: "short" });
}
