// Names the shape of a query without building it: two queries of one fingerprint have the same SQL text and differ in
// what they bind alone. Building a query with drizzle takes about ten times as long as this walk.
import { Column, Param, SQL, StringChunk, Table } from "drizzle-orm";
import { Name, noopDecoder, View } from "drizzle-orm/sql";

export interface Decoder {
  mapFromDriverValue(value: any): unknown;
}

/** What a part of a query is, on the prototypes of drizzle's classes: one look-up instead of a chain of questions. */
const KIND = Symbol("kind");
const TEXT = 1;
const NAME = 2;
const EXPRESSION = 3;
const COLUMN = 4;
const TABLE = 5;
const VIEW = 6;
const PARAM = 7;
const ALIASED = 8;

for (const [part, kind] of [
  [StringChunk, TEXT], [Name, NAME], [SQL, EXPRESSION], [Column, COLUMN], [Table, TABLE], [View, VIEW], [Param, PARAM],
  [SQL.Aliased, ALIASED],
] as const) {
  Object.defineProperty(part.prototype, KIND, { value: kind });
}

const ids = new WeakMap<object, number>();
let lastId = 0;

/** Whether it is a table or a view, and no sub-query. */
export function isNamed(source: any): boolean {
  const kind = source?.[KIND];
  return kind === TABLE || kind === VIEW;
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as object | null;
  return prototype === Object.prototype || prototype === null;
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
    switch (chunk[KIND]) {
      case TEXT:
        this.key += "\x01s" + (chunk.value.length === 1 ? chunk.value[0] : chunk.value.join(""));
        return true;
      case PARAM:
        return this.param(chunk.value, chunk.encoder);
      case COLUMN:
      case TABLE:
      case VIEW:
        this.id(chunk);
        return true;
      case NAME:
        this.key += "\x01n" + chunk.value;
        return true;
      case EXPRESSION:
        return !chunk.shouldInlineParams && this.chunks(chunk.queryChunks);
      case ALIASED:
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
    // A placeholder.
    if (typeof value === "object" && "getSQL" in value) return false;
    const mapped = encoder.mapToDriverValue(value);
    if (mapped !== null && typeof mapped === "object" && "getSQL" in mapped) return this.chunk(mapped);
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
    switch (field[KIND]) {
      case COLUMN:
      case TABLE:
        this.id(field);
        return true;
      case EXPRESSION:
        this.decoders.push(field.decoder === noopDecoder ? undefined : field.decoder);
        return this.chunk(field);
      case ALIASED:
        this.decoders.push(field.sql.decoder === noopDecoder ? undefined : field.sql.decoder);
        this.key += (field.isSelectionField ? "\x01f" : "\x01a") + field.fieldAlias;
        return field.isSelectionField || this.chunk(field.sql);
      default:
        return isPlain(field) && this.fields(field);
    }
  }
}
