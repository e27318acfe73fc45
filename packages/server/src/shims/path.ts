// node:path, POSIX.
export const sep = "/";
export const delimiter = ":";

export function isAbsolute(path: string): boolean {
  return path.startsWith("/");
}

export function normalize(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === ".." && parts.length > 0 && parts.at(-1) !== "..") parts.pop();
    else if (part !== ".." || !isAbsolute(path)) parts.push(part);
  }
  const text = parts.join("/");
  const end = text !== "" && path.endsWith("/") ? "/" : "";
  return isAbsolute(path) ? `/${text}${end}` : text === "" ? "." : text + end;
}

export function join(...paths: string[]): string {
  return normalize(paths.filter((path) => path !== "").join("/"));
}

export function resolve(...paths: string[]): string {
  let path = "";
  for (const part of paths.toReversed()) {
    path = path === "" ? part : `${part}/${path}`;
    if (isAbsolute(part)) break;
  }
  const full = normalize(isAbsolute(path) ? path : `/${path}`);
  return full.length > 1 && full.endsWith("/") ? full.slice(0, -1) : full;
}

export function dirname(path: string): string {
  const at = path.replace(/\/+$/, "").lastIndexOf("/");
  if (at < 0) return ".";
  return at === 0 ? "/" : path.slice(0, at);
}

export function basename(path: string, suffix = ""): string {
  const base = path.replace(/\/+$/, "").split("/").at(-1) ?? "";
  return suffix !== "" && base !== suffix && base.endsWith(suffix) ? base.slice(0, -suffix.length) : base;
}

export function extname(path: string): string {
  const base = basename(path);
  const at = base.lastIndexOf(".");
  return at <= 0 ? "" : base.slice(at);
}

export function relative(from: string, to: string): string {
  const left = resolve(from).split("/").filter(Boolean);
  const right = resolve(to).split("/").filter(Boolean);
  let shared = 0;
  while (shared < left.length && left[shared] === right[shared]) shared += 1;
  return [...left.slice(shared).map(() => ".."), ...right.slice(shared)].join("/");
}

export function parse(path: string): { root: string; dir: string; base: string; ext: string; name: string } {
  const base = basename(path);
  const ext = extname(path);
  const dir = path.includes("/") ? dirname(path) : "";
  return { root: isAbsolute(path) ? "/" : "", dir, base, ext, name: ext === "" ? base : base.slice(0, -ext.length) };
}

export const posix = { sep, delimiter, isAbsolute, normalize, join, resolve, dirname, basename, extname, relative, parse };
export default { ...posix, posix };
