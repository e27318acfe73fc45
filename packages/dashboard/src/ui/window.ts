/**
 * The part of a long list that is in memory: some pages of it, wherever they are, read on in both directions as somebody scrolls. Rows are
 * numbered from where reading began; the first of all is 0 once it was seen.
 */

export type Page<R> = { rows: R[]; hasMore: boolean };

/** Where rows come from, by the key of a row beside them: nothing is counted, and no row is passed over. */
export type Pager<R, K> = {
  /** Rows that follow this key, in their order; none: the first. */
  after: (key: K | undefined, signal: AbortSignal) => Promise<Page<R>>;
  /** Rows before this key, in their order; none: the last. Not every list can be read backwards. */
  before?: (key: K | undefined, signal: AbortSignal) => Promise<Page<R>>;
  keyOf: (row: R) => K;
};

/** Rows that are kept at most. */
export const KEPT_MAX = 1000;
/** Places that are remembered, so that somebody who goes back far does not read all that is between. */
const MARKS_MAX = 1024;
/** Behind how many rows the next place is remembered. */
const MARK_EVERY = 50;
/** How far backwards is read row by row rather than from a place that is remembered. */
const NEAR = 300;

/** The row `at` is the first one behind this key. */
type Mark<K> = { at: number; after: K | undefined };

export class RowWindow<R, K> {
  rows: R[] = [];
  /** The number of the first of them. */
  first = 0;
  /** Whether anything was read. */
  isRead = false;
  /** Whether the first row of all, and the last, are among them. */
  isStart = false;
  isEnd = false;
  /** Whether rows are numbered from the first of all. */
  isExact = true;
  /** Behind the last row that was ever seen. */
  extent = 0;
  /** Whether that was the last one of all. */
  isExtentEnd = false;
  private marks: Mark<K>[] = [];

  constructor(private readonly pager: Pager<R, K>) {}

  get end(): number {
    return this.first + this.rows.length;
  }

  /** How many rows there are; none: that is not known. */
  get total(): number | undefined {
    return this.isExact && this.isExtentEnd ? this.extent : undefined;
  }

  /** Begins anew, at the first row or at the last. */
  async begin(where: "first" | "last", signal: AbortSignal): Promise<void> {
    const isLast = where === "last" && !!this.pager.before;
    const page = await (isLast ? this.pager.before!(undefined, signal) : this.pager.after(undefined, signal));
    if (signal.aborted) return;
    this.marks = [];
    this.isRead = true;
    this.isExact = !isLast || !page.hasMore;
    this.isExtentEnd = false;
    this.extent = 0;
    this.put(page.rows, 0, isLast ? !page.hasMore : true, isLast || !page.hasMore);
    if (this.isExact) this.marks = [{ at: 0, after: undefined }];
  }

  /** Reads the next page that rows from `from` up to `to` want; whether another one may be wanted then. */
  async need(from: number, to: number, signal: AbortSignal): Promise<boolean> {
    const known = this.known();
    // What changed nothing would change nothing again.
    return (await this.step(from, to, signal)) && this.known() !== known;
  }

  private known(): string {
    return `${[this.first, this.end, this.extent, this.isStart, this.isEnd]}`;
  }

  private async step(from: number, to: number, signal: AbortSignal): Promise<boolean> {
    if (!this.isRead) {
      await this.begin("first", signal);
      return !signal.aborted;
    }
    if (this.rows.length === 0) return false;
    if (from >= this.end && !this.isEnd) {
      const mark = this.markUpTo(from);
      if (mark && mark.at >= this.end) return this.jump(mark, signal);
    }
    if (from < this.first && !this.isStart) return this.backwards(from, signal);
    if (to > this.end && !this.isEnd) return this.forwards(signal);
    return false;
  }

  private async forwards(signal: AbortSignal): Promise<boolean> {
    const last = this.pager.keyOf(this.rows.at(-1)!);
    const page = await this.pager.after(last, signal);
    if (signal.aborted) return false;
    this.remember({ at: this.end, after: last });
    const over = Math.max(0, this.rows.length + page.rows.length - KEPT_MAX);
    this.put([...this.rows.slice(over), ...page.rows], this.first + over, this.isStart && over === 0, !page.hasMore);
    return true;
  }

  private async backwards(from: number, signal: AbortSignal): Promise<boolean> {
    const mark = this.markUpTo(from);
    const { before } = this.pager;
    if (mark && (!before || this.first - from > NEAR)) return this.jump(mark, signal);
    if (!before) return false;
    const beginning = this.pager.keyOf(this.rows[0]!);
    const page = await before(beginning, signal);
    if (signal.aborted) return false;
    const last = page.rows.at(-1);
    if (last) this.remember({ at: this.first, after: this.pager.keyOf(last) });
    const kept = this.rows.slice(0, Math.max(0, KEPT_MAX - page.rows.length));
    this.put([...page.rows, ...kept], this.first - page.rows.length, !page.hasMore, this.isEnd && kept.length === this.rows.length);
    // More have come before these than their numbers leave room for.
    if (!this.isStart && this.first <= 0) this.loosen();
    this.renumber();
    return true;
  }

  /** Rows are no longer numbered from the first of all, which is not where it was. */
  private loosen(): void {
    this.isExact = false;
    this.marks = this.marks.filter(({ after }) => after !== undefined);
  }

  /** Reads from a place that is remembered; what is there already stays if it follows. */
  private async jump(mark: Mark<K>, signal: AbortSignal): Promise<boolean> {
    const page = await this.pager.after(mark.after, signal);
    if (signal.aborted) return false;
    const isStart = mark.after === undefined;
    // All behind it is gone.
    if (page.rows.length === 0 && !isStart) return this.begin("last", signal).then(() => !signal.aborted);
    const place = this.placeIn(page.rows, this.rows[0]);
    if (place === undefined) {
      this.put(page.rows, mark.at, isStart, !page.hasMore);
    } else {
      const rows = [...page.rows.slice(0, place), ...this.rows];
      this.shift(mark.at, mark.at + place - this.first);
      this.put(rows.slice(0, KEPT_MAX), mark.at, isStart, this.isEnd && rows.length <= KEPT_MAX);
    }
    this.renumber();
    return true;
  }

  /** Numbers what is there anew, by so much more, since rows behind the mark at `from` have come or gone. */
  private shift(from: number, more: number): void {
    if (more === 0) return;
    const kept = this.marks.filter(({ at }) => at <= from || at > this.first);
    this.marks = kept.map(({ at, after }) => ({ at: at <= from ? at : at + more, after }));
    this.extent += more;
    this.moved -= more;
  }

  private placeIn(rows: R[], row: R | undefined): number | undefined {
    if (row === undefined) return undefined;
    const key = JSON.stringify(this.pager.keyOf(row));
    const place = rows.findIndex((one) => JSON.stringify(this.pager.keyOf(one)) === key);
    return place < 0 ? undefined : place;
  }

  /**
   * Reads again what stands around the row `at`; whether that was done. `isHeld`: somebody is at the rows that are there, which stay also where
   * so many have come before them that a page does not reach them.
   */
  async refresh(at: number, signal: AbortSignal, isHeld = false): Promise<boolean> {
    if (!this.isRead || this.rows.length === 0) {
      await this.begin("first", signal);
      return !signal.aborted;
    }
    const { keyOf } = this.pager;
    const place = Math.min(Math.max(0, at - this.first), this.rows.length - 1);
    const from = this.isStart && place < MARK_EVERY ? -1 : Math.max(0, place - MARK_EVERY);
    const page = await this.pager.after(from < 0 ? undefined : keyOf(this.rows[from]!), signal);
    if (signal.aborted) return false;
    const found = new Map(page.rows.map((row, index) => [JSON.stringify(keyOf(row)), index]));
    // The row itself, or the next one that is still there.
    let moved: number | undefined;
    for (let index = place; index < this.rows.length; index += 1) {
      const now = found.get(JSON.stringify(keyOf(this.rows[index]!)));
      if (now === undefined) continue;
      moved = index - now;
      break;
    }
    if (moved === undefined && isHeld && from < 0 && page.hasMore && this.pager.before) {
      // How many have come is found where somebody scrolls there.
      this.isStart = false;
      this.loosen();
      return true;
    }
    moved ??= from + 1;
    const isLeft = page.rows.length > 0 || from < 0;
    if (!isLeft) return this.begin("last", signal).then(() => !signal.aborted);
    const first = this.first + moved;
    this.marks = this.marks.filter((mark) => mark.at <= first);
    this.put(page.rows, first, from < 0, !page.hasMore);
    this.renumber();
    return true;
  }

  /** Has the first row of all be 0, once it is there. */
  private renumber(): void {
    if (!this.isStart) return;
    const less = this.first;
    this.first = 0;
    this.extent -= less;
    this.isExact = true;
    this.marks = this.marks.map(({ at, after }) => ({ at: at - less, after })).filter(({ at }) => at > 0);
    this.marks.unshift({ at: 0, after: undefined });
    this.moved += less;
  }

  private moved = 0;
  /** By how much numbers have become less since this was asked. */
  takeMoved(): number {
    const { moved } = this;
    this.moved = 0;
    return moved;
  }

  private put(rows: R[], first: number, isStart: boolean, isEnd: boolean): void {
    Object.assign(this, { rows, first, isStart, isEnd });
    if (isEnd) this.extent = this.end;
    else this.extent = Math.max(this.extent, this.end);
    // What was the end may have others behind it by now.
    if (isEnd) this.isExtentEnd = true;
    else if (this.end >= this.extent) this.isExtentEnd = false;
  }

  private markUpTo(at: number): Mark<K> | undefined {
    return this.marks.findLast((mark) => mark.at <= at);
  }

  private remember(mark: Mark<K>): void {
    const place = this.marks.findLastIndex((one) => one.at <= mark.at);
    if (place >= 0 && mark.at - this.marks[place]!.at < MARK_EVERY) return;
    if ((this.marks[place + 1]?.at ?? Infinity) - mark.at < MARK_EVERY) return;
    this.marks.splice(place + 1, 0, mark);
    if (this.marks.length > MARKS_MAX) this.marks = this.marks.filter((_, index) => index % 2 === 0);
  }
}
