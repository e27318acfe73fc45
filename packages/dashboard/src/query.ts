/** Statements that read a database, by the hub's QueryDatabase. */

import { rpc } from "./api.ts";
import type { Cell } from "./ui/cells.tsx";

export type Found = {
  columns: string[]; rows: Cell[][]; stoppedBy: string; seq: string; micros: string;
  /** Of an older version that was asked: its tag, and when it was made. */
  version: string; versionUnix: number;
};
type Answer = {
  columns?: string[]; rowsJson?: string; stoppedBy?: string; seq?: string; micros?: string; version?: string; versionUnixMs?: string;
};

export async function query(
  database: string, statement: { sql: string; at?: string; params?: Cell[]; maxValueBytes?: number }, signal?: AbortSignal,
): Promise<Found> {
  const { sql, at, params, maxValueBytes } = statement;
  const message = { database, sql, at: at ?? "", paramsJson: params?.length ? JSON.stringify(params) : "", maxValueBytes: maxValueBytes ?? 0 };
  const answer = await rpc<Answer>("QueryDatabase", message, signal);
  return {
    columns: answer.columns ?? [], rows: JSON.parse(answer.rowsJson || "[]") as Cell[][], stoppedBy: answer.stoppedBy ?? "",
    seq: answer.seq ?? "0", micros: answer.micros ?? "0", version: answer.version ?? "", versionUnix: Number(answer.versionUnixMs ?? 0) / 1000,
  };
}

/** A name as SQL has it, whatever stands in it. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
