/** Statements that read a database, by the hub's QueryDatabase. */

import { rpc } from "./api.ts";
import type { Cell } from "./ui/cells.tsx";

export type Found = { columns: string[]; rows: Cell[][]; stoppedBy: string; seq: string; micros: string };
type Answer = { columns?: string[]; rowsJson?: string; stoppedBy?: string; seq?: string; micros?: string };

export async function query(
  database: string, statement: { sql: string; params?: Cell[]; maxValueBytes?: number }, signal?: AbortSignal,
): Promise<Found> {
  const { sql, params, maxValueBytes } = statement;
  const message = { database, sql, paramsJson: params?.length ? JSON.stringify(params) : "", maxValueBytes: maxValueBytes ?? 0 };
  const answer = await rpc<Answer>("QueryDatabase", message, signal);
  return {
    columns: answer.columns ?? [], rows: JSON.parse(answer.rowsJson || "[]") as Cell[][], stoppedBy: answer.stoppedBy ?? "",
    seq: answer.seq ?? "0", micros: answer.micros ?? "0",
  };
}

/** A name as SQL has it, whatever stands in it. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
