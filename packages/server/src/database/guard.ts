// Guards of `ctx.db` (specification 3.5): what is asked for by mistake more often than on purpose.
import { Param } from "drizzle-orm";
import type { Session } from "./session.ts";

/** Rows that a query answers with at most, and rows that one insert takes. */
export const MAX_ROWS = 1000;
/** Values that SQLite binds in one statement. */
export const MAX_BOUND_VALUES = 32_766;

/** The limit that a query runs with: at most 1000, and nothing for a negative one. */
export function clampLimit(session: Session, limit: unknown): number {
  if (limit === undefined || limit === null) return MAX_ROWS;
  const wanted = Math.trunc(Number(limit));
  if (wanted <= MAX_ROWS) return Math.max(wanted, 0);
  if (!Number.isNaN(wanted)) session.warn(`Query limit of ${limit} overridden to ${MAX_ROWS}.`);
  return MAX_ROWS;
}

/** A limit that is judged when the query runs, so that placeholders are too. */
export function limitParam(session: Session, limit: unknown): Param {
  return new Param(limit ?? MAX_ROWS, { mapToDriverValue: (value: unknown) => clampLimit(session, value) } as never);
}

export function warnIfFull(session: Session, rowCount: number): void {
  if (rowCount !== MAX_ROWS) return;
  session.warn(
    `Query returned exactly ${MAX_ROWS} rows — there may be more results. Use .limit() and .offset() to paginate.`,
  );
}

export function refuse(session: Session, text: string): never {
  throw new Error(`${session.call.request.guardPrefix} ${text}`);
}

/** An UPDATE or DELETE of every row, unless that is said. */
export function guardUnfiltered(session: Session, verb: "update" | "delete", isFiltered: boolean, isMeant: boolean): void {
  if (isFiltered || !session.guarded) return;
  if (!isMeant) {
    refuse(session, `${verb.toUpperCase()} without WHERE is blocked. If intentional, chain .withoutWhere().`);
  }
  session.warn(`${session.call.request.guardPrefix} Unfiltered ${verb} executed via .withoutWhere().`);
}

export function guardInsert(session: Session, rowCount: number, boundCount: number): void {
  if (!session.guarded) return;
  if (rowCount > MAX_ROWS) {
    refuse(session, `Bulk insert blocked: ${rowCount} rows > ${MAX_ROWS}. Split into smaller batches.`);
  }
  if (boundCount > MAX_BOUND_VALUES) {
    refuse(
      session,
      `Bulk insert blocked: ${boundCount} bound values > ${MAX_BOUND_VALUES}. Split into smaller batches.`,
    );
  }
}

export function guardPrepare(session: Session, verb: "inserts" | "updates" | "deletes"): void {
  if (session.guarded) refuse(session, `.prepare() is not supported for ${verb}.`);
}

export function refuseRaw(session: Session, method: string): never {
  const hatch = method === "execute" ? "run" : method;
  refuse(
    session,
    `Raw SQL via 'ctx.db.${method}()' is blocked. Use ctx.db.select()/ctx.db.update(). `
      + `For raw SQL, use ctx.unsafeRawDb.${hatch}() and call ctx.invalidate() manually.`,
  );
}
