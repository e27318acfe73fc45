import type { Fingerprint } from "./fingerprint.ts";
import type { Mapping } from "./mapping.ts";
import type { Built } from "./runnable.ts";

/** Programs write few shapes; one that makes new ones without end (`sql.raw`, aliases made anew) starts over. */
const MAX_PLANS = 500;

/** What was built, by fingerprint. */
export class Plans<Plan> {
  private readonly plans = new Map<string, Plan>();

  get(key: string): Plan | undefined {
    return this.plans.get(key);
  }

  set(key: string, plan: Plan): void {
    if (this.plans.size >= MAX_PLANS) this.plans.clear();
    this.plans.set(key, plan);
  }
}

/** The text of a statement and the mapping of its rows. */
const statements = new Plans<{ sql: string; mapping: Mapping | undefined }>();

/**
 * The statement by its fingerprint, or built by drizzle. What drizzle binds must be what the fingerprint collected, or the
 * statement is built anew each time.
 */
export function planned(print: Fingerprint, build: () => Built): Built {
  const plan = statements.get(print.key);
  if (plan) {
    return { sql: plan.sql, params: print.params, mapping: plan.mapping, expressions: print.decoders };
  }
  const built = build();
  if (isSameList(built.params, print.params) && isSameList(built.expressions, print.decoders)) {
    statements.set(print.key, { sql: built.sql, mapping: built.mapping });
  }
  return built;
}

export function isSameList(left: readonly unknown[], right: readonly unknown[]): boolean {
  return left.length === right.length && left.every((value, i) => Object.is(value, right[i]) || isSameBytes(value, right[i]));
}

/** Encoders make bytes and the like anew each time. */
function isSameBytes(left: unknown, right: unknown): boolean {
  return left instanceof Uint8Array && right instanceof Uint8Array && left.length === right.length
    && left.every((byte, i) => byte === right[i]);
}
