// The list: it lives in the browser's IndexedDB, and a hub keeps all copies alike.
import { ferryRecords } from "@ferry/client";
import { Dexie, type EntityTable } from "dexie";
import { useSyncExternalStore } from "react";
import { getToken, hub } from "../{{dir}}/client";

export interface Todo {
  id: string;
  title: string;
  done: boolean;
  createdAt: string;
}

export const db = new Dexie("{{name}}") as Dexie & { todos: EntityTable<Todo, "id"> };
db.version(1).stores({ todos: "id, createdAt" });

/** From here on Dexie as ever: what it writes is sent when the hub can be reached, and what others write arrives. */
export const sync = ferryRecords(db, { ...hub, app: "todo", getToken });

const subscribe = (listener: () => void) => sync.status.subscribe(listener);
const getStatus = () => sync.status.get();

/** Whether the list is up to date, and how much is still to be sent. */
export const useSyncStatus = () => useSyncExternalStore(subscribe, getStatus);
