// Names the shape of a query without building it: two queries of one fingerprint have the same SQL text and differ in
// what they bind alone. Building a query with drizzle takes about ten times as long as this walk.
import { Column, is, Param, SQL, StringChunk, Table } from "drizzle-orm";
import { Name, noopDecoder, View } from "drizzle-orm/sql";

type Kind = "text" | "name" | "sql" | "table" | "column" | "view" | "param" | "aliased" | "fields" | "other";

export interface Decoder {
  mapFromDriverValue(value: any): unknown;
}

const kinds = new Map<object, Kind>();
const ids = new WeakMap<object, number>();
let lastId = 0;

function classify(value: object): Kind {
  if (is(value, StringChunk)) return "text";
  if (is(value, Name)) return "name";
  if (is(value, SQL)) return "sql";
  if (is(value, Table)) return "table";
  if (is(value, Column)) return "column";
  if (is(value, View)) return "view";
  if (is(value, Param)) return "param";
  if (is(value, SQL.Aliased)) return "aliased";
  return "other";
}

export function kindOf(value: object): Kind {
  const prototype = Object.getPrototypeOf(value) as object | null;
  if (prototype === Object.prototype || prototype === null) return "fields";
  let kind = kinds.get(prototype);
  if (kind === undefined) {
    kind = classify(value);
    kinds.set(prototype, kind);
  }
  return kind;
}

function idOf(value: object): number {
  let id = ids.get(value);
  if (id === undefined) ids.set(value, id = ++lastId);
  return id;
}

/** One walk over a query. `\x01` begins each token but texts, which are the program's own. */
export class Fingerprint {
  key: string;
  params: unknown[] = [];
  /** Decoders of selected expressions, in their order; columns know their own. */
  decoders: (Decoder | undefined)[] = [];

  constructor(key: string) {
    this.key = key;
  }

  id(value: object): void {
    this.key += "\x01" + idOf(value);
  }

  /** Takes in a part of a statement. False: only drizzle can tell what it becomes. */
  chunk(chunk: any): boolean {
    if (chunk === undefined) {
      this.key += "\x01u";
      return true;
    }
    if (chunk === null || typeof chunk !== "object") {
      if (typeof chunk === "function" || typeof chunk === "symbol") return false;
      this.key += "\x01?";
      this.params.push(chunk);
      return true;
    }
    if (Array.isArray(chunk)) return this.list(chunk);
    switch (kindOf(chunk)) {
      case "text":
        this.key += "\x01s" + (chunk.value.length === 1 ? chunk.value[0] : chunk.value.join(""));
        return true;
      case "column":
      case "table":
      case "view":
        this.id(chunk);
        return true;
      case "name":
        this.key += "\x01n" + chunk.value;
        return true;
      case "sql":
        return !chunk.shouldInlineParams && this.chunks(chunk.queryChunks);
      case "param":
        return this.param(chunk.value, chunk.encoder);
      case "aliased":
        this.key += "\x01a" + chunk.fieldAlias;
        return chunk.fieldAlias !== undefined;
      default:
        return false;
    }
  }

  param(value: any, encoder: { mapToDriverValue(value: any): unknown }): boolean {
    if (value === null) {
      this.key += "\x01?";
      this.params.push(null);
      return true;
    }
    if (typeof value === "object" && kindOf(value) === "other" && "getSQL" in value) return false;
    const mapped = encoder.mapToDriverValue(value);
    if (mapped !== null && typeof mapped === "object" && kindOf(mapped) === "sql") return this.chunk(mapped);
    this.key += "\x01?";
    this.params.push(mapped);
    return true;
  }

  list(list: readonly unknown[]): boolean {
    this.key += "\x01(";
    if (!this.chunks(list)) return false;
    this.key += "\x01)";
    return true;
  }

  chunks(chunks: readonly unknown[]): boolean {
    for (let i = 0; i < chunks.length; i++) {
      if (!this.chunk(chunks[i])) return false;
    }
    return true;
  }

  /** Takes in what is selected, an object of columns and expressions. */
  fields(fields: Record<string, any>): boolean {
    this.key += "\x01{";
    for (const key of Object.keys(fields)) {
      const field = fields[key];
      if (field === null || typeof field !== "object") return false;
      this.key += "\x01k" + key;
      if (!this.field(field)) return false;
    }
    this.key += "\x01}";
    return true;
  }

  private field(field: any): boolean {
    switch (kindOf(field)) {
      case "column":
      case "table":
        this.id(field);
        return true;
      case "sql":
        this.decoders.push(field.decoder === noopDecoder ? undefined : field.decoder);
        return this.chunk(field);
      case "aliased":
        this.decoders.push(field.sql.decoder === noopDecoder ? undefined : field.sql.decoder);
        this.key += (field.isSelectionField ? "\x01f" : "\x01a") + field.fieldAlias;
        return field.isSelectionField || this.chunk(field.sql);
      case "fields":
        return this.fields(field);
      default:
        return false;
    }
  }
}
