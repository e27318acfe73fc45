/** The page's database, and its sync with the hub that served the page. */

import { ferryRecords } from "@ferry/client";
import { Dexie, type EntityTable } from "dexie";

export type Todo = { id: string; title: string; done: boolean; createdAt: string };

export const db = new Dexie("todo") as Dexie & { todos: EntityTable<Todo, "id"> };
db.version(1).stores({ todos: "id, createdAt" });

/** Listeners for what the user should hear of. */
export const notices = new EventTarget();

const notice = (text: string) => notices.dispatchEvent(new CustomEvent("notice", { detail: text }));

export const sync = ferryRecords(db, {
  url: location.origin,
  app: "todo",
  // The hub reports every write that lost; only texts are worth a word.
  onConflict: ({ field, winner }) => field === "title" && notice(`Someone else's “${String(winner.value)}” is newer than your text.`),
  onRejected: ({ message }) => notice(`The hub refused a change: ${message}`),
});
