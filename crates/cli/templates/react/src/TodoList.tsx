// Reads and writes Dexie alone, so it works offline. Nothing here waits for the hub.
import { useLiveQuery } from "dexie-react-hooks";
import { type FormEvent, useState } from "react";
import { db, type Todo } from "./records";

export function TodoList() {
  const todos = useLiveQuery(() => db.todos.orderBy("createdAt").toArray());
  const [title, setTitle] = useState("");

  function add(event: FormEvent) {
    event.preventDefault();
    if (title.trim() === "") return;
    void db.todos.add({ id: crypto.randomUUID(), title: title.trim(), done: false, createdAt: new Date().toISOString() });
    setTitle("");
  }

  return (
    <section className="card list" aria-labelledby="list-title">
      <h2 id="list-title">To do</h2>
      <form onSubmit={add}>
        <input
          value={title}
          onChange={(event) => setTitle(event.target.value)}
          placeholder="What needs doing?"
          aria-label="New entry"
          maxLength={200}
          autoComplete="off"
        />
        <button>Add</button>
      </form>
      {todos?.length === 0 ? (
        <div className="empty">
          <Tick />
          <p>Nothing to do</p>
          <p className="hint">What you add stays on this device, and reaches the others when there is a connection.</p>
        </div>
      ) : (
        <ul aria-label="Entries">{todos?.map((todo) => <Entry key={todo.id} todo={todo} />)}</ul>
      )}
    </section>
  );
}

function Entry({ todo }: { todo: Todo }) {
  // While somebody types here the text is theirs, whatever arrives.
  const [draft, setDraft] = useState<string>();

  function save() {
    const title = draft?.trim();
    if (title && title !== todo.title) void db.todos.update(todo.id, { title });
    setDraft(undefined);
  }

  return (
    <li className={todo.done ? "done" : undefined}>
      <input
        type="checkbox"
        checked={todo.done}
        aria-label={`Done: ${todo.title}`}
        onChange={(event) => void db.todos.update(todo.id, { done: event.target.checked })}
      />
      <input
        className="title"
        value={draft ?? todo.title}
        aria-label="Text"
        maxLength={200}
        onChange={(event) => setDraft(event.target.value)}
        onBlur={save}
        onKeyDown={({ key, currentTarget }) => {
          if (key === "Escape") setDraft(undefined);
          if (key === "Enter") currentTarget.blur();
        }}
      />
      <button type="button" className="remove" aria-label={`Remove: ${todo.title}`} onClick={() => void db.todos.delete(todo.id)}>
        <svg viewBox="0 0 16 16" aria-hidden="true">
          <path d="m4 4 8 8m0-8-8 8" />
        </svg>
      </button>
    </li>
  );
}

function Tick() {
  return (
    <svg className="tick" viewBox="0 0 48 48" aria-hidden="true">
      <circle cx="24" cy="24" r="20" />
      <path d="m16 25 6 6 11-14" />
    </svg>
  );
}
