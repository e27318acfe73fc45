/** A to-do list. Everything is read from and written to IndexedDB; syncing happens beside it. */

import { liveQuery } from "dexie";
import type { Status } from "@ferry/client";
import { db, notices, sync, type Todo } from "./database.ts";

const NOTICE_MS = 6000;

const find = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const list = find<HTMLUListElement>("list");
const input = find<HTMLInputElement>("title");

find<HTMLFormElement>("add").addEventListener("submit", (event) => {
  event.preventDefault();
  const title = input.value.trim();
  if (!title) return;
  input.value = "";
  void db.todos.add({ id: crypto.randomUUID(), title, done: false, createdAt: new Date().toISOString() });
});

find("sweep").addEventListener("click", () => void db.todos.filter(({ done }) => done).delete());

/** One entry: a row that is made once and follows its record. */
function row(id: string): HTMLLIElement {
  const item = document.createElement("li");
  item.dataset.id = id;
  const done = Object.assign(document.createElement("input"), { type: "checkbox" });
  const title = Object.assign(document.createElement("input"), { className: "title", maxLength: 200 });
  const remove = Object.assign(document.createElement("button"), { type: "button", className: "remove", textContent: "×" });
  title.setAttribute("aria-label", "Text");
  done.addEventListener("change", () => void db.todos.update(id, { done: done.checked }));
  title.addEventListener("change", () => {
    const text = title.value.trim();
    void (text ? db.todos.update(id, { title: text }) : db.todos.delete(id));
  });
  title.addEventListener("keydown", ({ key }) => key === "Enter" && title.blur());
  remove.addEventListener("click", () => void db.todos.delete(id));
  item.append(done, title, remove);
  return item;
}

function fill(item: HTMLLIElement, { title, done }: Todo): void {
  const [box, text, remove] = item.children as unknown as [HTMLInputElement, HTMLInputElement, HTMLButtonElement];
  item.classList.toggle("done", done);
  box.checked = done;
  box.setAttribute("aria-label", `Done: ${title}`);
  remove.setAttribute("aria-label", `Remove: ${title}`);
  // Never under the user's fingers.
  if (document.activeElement !== text) text.value = title;
}

function show(todos: Todo[]): void {
  const rows = new Map([...list.children].map((item) => [(item as HTMLLIElement).dataset.id!, item as HTMLLIElement]));
  todos.forEach((todo, place) => {
    const item = rows.get(todo.id) ?? row(todo.id);
    rows.delete(todo.id);
    fill(item, todo);
    if (list.children[place] !== item) list.insertBefore(item, list.children[place] ?? null);
  });
  for (const gone of rows.values()) gone.remove();
  const open = todos.filter(({ done }) => !done).length;
  find("empty").hidden = todos.length > 0;
  find("count").textContent = todos.length ? `${open} of ${todos.length} left` : "";
  find("sweep").hidden = open === todos.length;
}

liveQuery(() => db.todos.orderBy("createdAt").toArray()).subscribe({ next: show, error: console.error });

const WORDS = { offline: "Offline", syncing: "Syncing…", live: "Up to date", paused: "Paused", error: "Cannot sync" };

sync.status.subscribe(({ state, pending, message }: Status) => {
  const status = find("status");
  const waiting = pending ? ` · ${pending} to send` : "";
  status.dataset.state = state;
  status.textContent = (state === "live" && pending ? "Sending…" : WORDS[state]) + waiting;
  status.title = message ?? "";
});

let hide: ReturnType<typeof setTimeout> | undefined;
notices.addEventListener("notice", (event) => {
  const notice = find("notice");
  notice.textContent = (event as CustomEvent<string>).detail;
  notice.hidden = false;
  clearTimeout(hide);
  hide = setTimeout(() => (notice.hidden = true), NOTICE_MS);
});
