/** A list that the hub gives page by page: the first page, and more of it when somebody asks. */

import { useState } from "react";
import { rpc } from "../api.ts";
import { useLoad, type Loaded } from "./load.ts";
import { number } from "./words.ts";

/** Rows of a page. */
const PAGE = 200;

export type List<T> = Loaded<T[]> & { more: (() => void) | undefined };

/** Reads like {@link useLoad}: all that was asked for so far, so that what has changed is seen in all of it. */
export function useList<T>(key: string, method: string, field: string, message: object, everyMs = 0): List<T> {
  const [asked, setAsked] = useState({ key, pages: 1 });
  const pages = asked.key === key ? asked.pages : 1;
  const loaded = useLoad(key, async (signal) => {
    const rows: T[] = [];
    let pageToken = "";
    for (let page = 0; page < pages; page += 1) {
      const answer = await rpc<Record<string, unknown>>(method, { ...message, pageSize: PAGE, pageToken }, signal);
      rows.push(...((answer[field] as T[] | undefined) ?? []));
      pageToken = (answer.nextPageToken as string | undefined) ?? "";
      if (!pageToken) break;
    }
    return { rows, hasMore: pageToken !== "" };
  }, everyMs);
  const more = () => {
    setAsked({ key, pages: pages + 1 });
    loaded.again();
  };
  return { value: loaded.value?.rows, error: loaded.error, again: loaded.again, more: loaded.value?.hasMore ? more : undefined };
}

/** Under a list that goes on. */
export function More<T>({ list }: { list: List<T> }) {
  if (!list.value && !list.error) return <p className="faint" aria-busy="true">Asking the hub…</p>;
  if (!list.more) return null;
  return <p className="line"><button type="button" onClick={list.more}>More</button><span className="faint">{number(list.value?.length)} are shown.</span></p>;
}
