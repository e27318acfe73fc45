/** Numbers and times as they are shown. */

export const number = (value: string | number | undefined): string => Number(value ?? 0).toLocaleString("en");

export function bytes(value: string | number | undefined): string {
  let size = Number(value ?? 0);
  if (size < 1024) return `${size} B`;
  for (const unit of ["KiB", "MiB", "GiB", "TiB"]) {
    size /= 1024;
    if (size < 1024 || unit === "TiB") return `${size < 10 ? size.toFixed(1) : Math.round(size)} ${unit}`;
  }
  return "";
}

const UNITS: [number, string][] = [[60, "s"], [60, "min"], [24, "h"], [30, "d"], [12, "mo"], [Infinity, "y"]];

/** How far `seconds` lie from `now`, in one unit. */
export function span(seconds: number): string {
  let value = Math.max(0, Math.round(seconds));
  for (const [size, unit] of UNITS) {
    if (value < size) return `${value} ${unit}`;
    value = Math.floor(value / size);
  }
  return "";
}

export function relative(unix: number, now = Date.now() / 1000): string {
  if (Math.abs(unix - now) < 2) return "now";
  return unix > now ? `in ${span(unix - now)}` : `${span(now - unix)} ago`;
}

export const exact = (unix: number): string => new Date(unix * 1000).toISOString().replace("T", " ").replace(".000Z", " UTC");
