/** A list that the hub gives page by page: the first page, and more of it when somebody asks. */

import { useState } from "react";
import { PAGE, rpc } from "../api.ts";
import { useLoad, type Loaded } from "./load.ts";
import { number } from "./words.ts";

/** `answer`: the last that the hub gave, with what it tells beside the list. */
export type List<T, A = unknown> = Loaded<T[]> & { answer: A | undefined; more: (() => void) | undefined };

/** Who is asked, and as whom. */
type Ask = <T>(method: string, message: object, signal: AbortSignal) => Promise<T>;

/** Reads like {@link useLoad}: all that was asked for so far, so that what has changed is seen in all of it. */
export function useList<T, A = unknown>(key: string, method: string, field: string, message: object, everyMs = 0, ask: Ask = rpc): List<T, A> {
  const [asked, setAsked] = useState({ key, pages: 1 });
  const pages = asked.key === key ? asked.pages : 1;
  const loaded = useLoad(key, async (signal) => {
    const rows: T[] = [];
    let pageToken = "";
    let answer: Record<string, unknown> = {};
    for (let page = 0; page < pages; page += 1) {
      answer = await ask<Record<string, unknown>>(method, { ...message, pageSize: PAGE, pageToken }, signal);
      rows.push(...((answer[field] as T[] | undefined) ?? []));
      pageToken = (answer.nextPageToken as string | undefined) ?? "";
      if (!pageToken) break;
    }
    return { rows, answer, hasMore: pageToken !== "" };
  }, everyMs);
  const more = () => {
    setAsked({ key, pages: pages + 1 });
    loaded.again();
  };
  return { value: loaded.value?.rows, answer: loaded.value?.answer as A | undefined, error: loaded.error, again: loaded.again, more: loaded.value?.hasMore ? more : undefined };
}

/** Under a list that goes on. */
export function More<T>({ list }: { list: List<T> }) {
  if (!list.value && !list.error) return <p className="faint" aria-busy="true">Asking the hub…</p>;
  if (!list.more) return null;
  return <p className="line"><button type="button" onClick={list.more}>More</button><span className="faint">{number(list.value?.length)} are shown.</span></p>;
}
