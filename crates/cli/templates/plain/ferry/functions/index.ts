import { mutation, query } from "@ferry/server";
import { desc, eq } from "@ferry/server/schema";
import { notes } from "../schema";

const NOTES_SHOWN = 20;
const BODY_MAX_CHARS = 280;

/** The newest notes, newest first. Pages that show them are told whenever they change. */
export const listNotes = query(async (ctx) => ctx.db.select().from(notes).orderBy(desc(notes.id)).limit(NOTES_SHOWN));

export const addNote = mutation(async (ctx, { body }: { body: string }) => {
  const text = body.trim();
  if (text === "") throw new Error("INVALID: a note needs some text");
  if (text.length > BODY_MAX_CHARS) throw new Error(`TOO_LARGE: a note has at most ${BODY_MAX_CHARS} characters`);
  return ctx.db.insert(notes).values({ body: text }).returning().get();
});

export const removeNote = mutation(async (ctx, { id }: { id: number }) => {
  await ctx.db.delete(notes).where(eq(notes.id, id));
});
