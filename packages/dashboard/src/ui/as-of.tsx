/** A database as it was: which version is looked at. */

import { useEffect, useState, type FormEvent } from "react";
import { get, type Database } from "../api.ts";
import { useLoad } from "./load.ts";
import { Refused, Time } from "./parts.tsx";
import { number } from "./words.ts";

/** What was chosen for each database, while the page is open: a version, a tag or a time; nothing: as it is. */
const moments = new Map<string, string>();
export const moment = (database: string): string => moments.get(database) ?? "";
export const setMoment = (database: string, at: string): void => void moments.set(database, at);

/** How long the slider must rest: each version that is looked at is written out by the hub. */
const REST_MS = 400;
const LISTED = 1000;

type Version = { version: number; time: string };

/** Chooses a version by its time, its number, or the slider over those that the hub keeps. */
export function AsOf({ database, at, onChange }: { database: Database; at: string; onChange: (at: string) => void }) {
  const [open, setOpen] = useState(at !== "");
  const [typed, setTyped] = useState(at);
  /** Where the slider was drawn to. */
  const [drawn, setDrawn] = useState<number>();
  const change = (to: string) => {
    setMoment(database.id, to);
    onChange(to);
  };
  const list = useLoad(`${database.id} ${open}`, async (signal) =>
    open ? (await get<{ versions: Version[] }>(`/v1/databases/${database.id}/pages/versions?limit=${LISTED}`, signal)).versions.reverse() : []);
  const versions = list.value ?? [];
  useEffect(() => {
    if (drawn === undefined) return;
    const timer = setTimeout(() => {
      const to = String(versions[drawn]?.version ?? "");
      setTyped(to);
      change(to);
    }, REST_MS);
    return () => clearTimeout(timer);
    // What is drawn alone begins it.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [drawn]);
  if (!open) return <button type="button" onClick={() => setOpen(true)}>As it was…</button>;
  const chosen = versions.findIndex((one) => String(one.version) === at || one.time === at);
  const place = drawn ?? (chosen >= 0 ? chosen : versions.length - 1);
  const shown = versions[place];
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setDrawn(undefined);
    change(typed.trim());
  };
  const now = () => {
    setDrawn(undefined);
    setTyped("");
    setOpen(false);
    change("");
  };
  return (
    <>
      <form className="line as-of" onSubmit={submit} aria-label="As it was">
        <input aria-label="Version or time" placeholder="Version, or 2026-11-20T10:27:52Z" value={typed} onChange={(event) => setTyped(event.target.value)} />
        <button type="submit">Look</button>
        {versions.length > 1 && <input type="range" aria-label="Version" min={0} max={versions.length - 1} value={Math.max(0, place)} onChange={(event) => setDrawn(Number(event.target.value))} />}
        {(drawn !== undefined || chosen >= 0) && shown && <span className="faint">version {number(shown.version)}, <Time unix={Date.parse(shown.time) / 1000} /></span>}
        <button type="button" onClick={now}>As it is now</button>
      </form>
      <Refused error={list.error} again={list.again} />
      {list.value && versions.length < 2 && <p className="faint">The hub keeps no older version yet: it does from the first look at them, or the first copy, on.</p>}
    </>
  );
}
