// Made by Ferry of functions/index.ts at each change. What travels is JSON: dates, bigints and bytes are text.
import "@ferry/client/functions";

export interface Api {
  addNote: {
    kind: "mutation";
    args: { body: string };
    result: { body: string; createdAt: string; id: number };
  };
  /** The newest notes, newest first. Pages that show them are told whenever they change. */
  listNotes: {
    kind: "query";
    args?: {};
    result: { id: number; body: string; createdAt: string }[];
  };
  removeNote: {
    kind: "mutation";
    args: { id: number };
    result: undefined;
  };
}

declare module "@ferry/client/functions" {
  interface Register {
    api: Api;
  }
}
