// Made by Ferry of functions/index.ts at each change. What travels is JSON: dates, bigints and bytes are text.
import "@ferry/client/functions";

export interface Api {
  addNote: {
    kind: "mutation";
    args: { author: string; body: string };
    result: { author: string; body: string; createdAt: string; id: number };
  };
  /** Takes what is done off the list, on all devices of its owner. */
  clearDone: {
    kind: "mutation";
    args?: {};
    result: undefined;
  };
  /** The newest notes, newest first. */
  listNotes: {
    kind: "query";
    args?: {};
    result: { id: number; author: string; body: string; createdAt: string }[];
  };
  /** How far the caller's list is. Pages that show it are told whenever it changes, whoever changed it and however. */
  progress: {
    kind: "query";
    args?: {};
    result: { all: number; done: number };
  };
}

declare module "@ferry/client/functions" {
  interface Register {
    api: Api;
  }
}
