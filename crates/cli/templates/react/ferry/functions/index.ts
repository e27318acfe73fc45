import { mutation, query } from "@ferry/server";
import { and, count, desc, eq, sum } from "@ferry/server/schema";
import { notes, todos } from "../schema";

const NOTES_SHOWN = 20;
const BODY_MAX_CHARS = 280;

/** How far the caller's list is. Pages that show it are told whenever it changes, whoever changed it and however. */
export const progress = query(async (ctx) => {
  const row = ctx.db
    .select({ all: count(), done: sum(todos.done).mapWith(Number) })
    .from(todos)
    .where(eq(todos._owner, ctx.owner))
    .get();
  return { all: row?.all ?? 0, done: row?.done ?? 0 };
});

/** Takes what is done off the list, on all devices of its owner. */
export const clearDone = mutation(async (ctx) => {
  await ctx.db.delete(todos).where(and(eq(todos._owner, ctx.owner), eq(todos.done, true)));
});

/** The newest notes, newest first. */
export const listNotes = query(async (ctx) => ctx.db.select().from(notes).orderBy(desc(notes.id)).limit(NOTES_SHOWN));

export const addNote = mutation(async (ctx, { author, body }: { author: string; body: string }) => {
  const text = body.trim();
  if (text === "") throw new Error("INVALID: a note needs some text");
  if (text.length > BODY_MAX_CHARS) throw new Error(`TOO_LARGE: a note has at most ${BODY_MAX_CHARS} characters`);
  return ctx.db.insert(notes).values({ author, body: text }).returning().get();
});
