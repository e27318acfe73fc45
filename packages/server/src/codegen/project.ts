// A project's files as its language service sees them. The service is kept, so that a check after an edit costs little.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, extname, join, resolve, sep } from "node:path";
import type ts from "typescript";
import type { TypeScript } from "./typescript.ts";

/** Folders of the Ferry directory that hold no sources. */
const NO_SOURCES = ["node_modules", "migrations", "packages"];
/** Where functions are exported from, as the hub looks for them. */
const ENTRIES = ["functions/index.ts", "functions/index.js"];
/** drizzle types bytes as Node's `Buffer`, which a project without Node's types does not know. */
const BUFFER = { name: "ferry-buffer.d.ts", text: "interface Buffer extends Uint8Array {}\n" };
/** Names under which sources may import what stands under the second one. */
const ALIASES: Record<string, string> = { "@edgepod/server": "@ferry/server", "@edgepod/server/schema": "@ferry/server/schema" };

export interface Project {
  /** Where schema and functions stand. */
  readonly directory: string;
  /** The file that exports the functions, if there is one. */
  entry(): string | undefined;
  /** The files as they are now. */
  program(): ts.Program;
  /** The next program is a new one, whether or not a file has changed. */
  invalidate(): void;
  /** What is wrong with the configuration. */
  readonly configErrors: readonly ts.Diagnostic[];
}

/** Sources below `directory`; `client.ts` is made of what is checked, and is the page's. */
function sourcesBelow(directory: string, isTop = true): string[] {
  const entries = readdirSync(directory, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    if (entry.name.startsWith(".")) return [];
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return isTop && NO_SOURCES.includes(entry.name) ? [] : sourcesBelow(path, false);
    return extname(path) === ".ts" && !(isTop && entry.name === "client.ts") ? [path] : [];
  });
}

function readConfig(typescript: TypeScript, project: string, directory: string) {
  const path = [directory, project].map((folder) => join(folder, "tsconfig.json")).find((file) => existsSync(file));
  const { ScriptTarget, ModuleKind, ModuleResolutionKind } = typescript;
  const forced: ts.CompilerOptions = { noEmit: true, composite: false, incremental: false, skipLibCheck: true, allowJs: true };
  if (!path) {
    const options: ts.CompilerOptions = {
      strict: true,
      target: ScriptTarget.ES2022,
      module: ModuleKind.ESNext,
      moduleResolution: ModuleResolutionKind.Bundler,
      lib: ["lib.es2023.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
      allowImportingTsExtensions: true,
      types: [],
      ...forced,
    };
    return { options, errors: [] };
  }
  const read = typescript.readConfigFile(path, typescript.sys.readFile);
  const parsed = typescript.parseJsonConfigFileContent(read.config ?? {}, typescript.sys, dirname(path), forced, path);
  // That it names no files is no fault: which ones are checked is known.
  const errors = parsed.errors.filter(({ code }) => code !== 18002 && code !== 18003);
  return { options: parsed.options, errors: read.error ? [read.error, ...errors] : errors };
}

/** Opens the project in the folder `project`, whose Ferry directory is `directory`. */
export function openProject(typescript: TypeScript, project: string, directory: string): Project {
  const { options, errors } = readConfig(typescript, project, directory);
  const versions = new Map<string, string>();
  const snapshots = new Map<string, { version: string; snapshot: ts.IScriptSnapshot }>();
  let roots: string[] = [];
  let resolutions: ts.ModuleResolutionCache;
  let isUnresolved = false;
  let generation = 0;
  const buffer = join(directory, BUFFER.name);
  let isBufferKnown = true;
  const forgetResolutions = () => {
    resolutions = typescript.createModuleResolutionCache(project, (name) => name, options);
  };
  forgetResolutions();

  const versionOf = (file: string): string => {
    if (file === buffer) return "1";
    const known = versions.get(file);
    if (known !== undefined) return known;
    const found = statSync(file, { throwIfNoEntry: false });
    const version = found ? `${found.mtimeMs}:${found.size}${roots.includes(file) ? `:${generation}` : ""}` : "";
    versions.set(file, version);
    return version;
  };
  // Two members that the service asks for and its published types lack.
  const host: ts.LanguageServiceHost & Pick<ts.CompilerHost, "getModuleResolutionCache" | "hasInvalidatedResolutions"> = {
    getCompilationSettings: () => options,
    getCurrentDirectory: () => project,
    getDefaultLibFileName: (settings) => typescript.getDefaultLibFilePath(settings),
    getScriptFileNames: () => (isBufferKnown ? roots : [...roots, buffer]),
    getScriptVersion: versionOf,
    getScriptSnapshot(file) {
      const version = versionOf(file);
      if (version === "") return undefined;
      const known = snapshots.get(file);
      if (known?.version === version) return known.snapshot;
      const text = file === buffer ? BUFFER.text : readFileSync(file, "utf8");
      const snapshot = typescript.ScriptSnapshot.fromString(text);
      snapshots.set(file, { version, snapshot });
      return snapshot;
    },
    fileExists: typescript.sys.fileExists,
    readFile: typescript.sys.readFile,
    readDirectory: typescript.sys.readDirectory,
    directoryExists: typescript.sys.directoryExists,
    getDirectories: typescript.sys.getDirectories,
    ...(typescript.sys.realpath && { realpath: typescript.sys.realpath }),
    resolveModuleNameLiterals(literals, file, redirected, settings, source) {
      return literals.map((literal) => {
        const name = ALIASES[literal.text] ?? literal.text;
        const mode = typescript.getModeForUsageLocation(source, literal, settings);
        const resolved = typescript.resolveModuleName(name, file, settings, typescript.sys, resolutions, redirected, mode);
        isUnresolved ||= !resolved.resolvedModule;
        return resolved;
      });
    },
    getModuleResolutionCache: () => resolutions,
    // What was not found may have been installed or written since.
    hasInvalidatedResolutions: () => isUnresolved,
  };
  const service = typescript.createLanguageService(host, typescript.createDocumentRegistry());

  return {
    directory,
    configErrors: errors,
    entry: () => ENTRIES.map((name) => join(directory, name)).find((file) => existsSync(file)),
    invalidate() {
      generation += 1;
    },
    program() {
      versions.clear();
      const entry = this.entry();
      const found = [...new Set([...(entry ? [entry] : []), ...sourcesBelow(directory)])];
      if (isUnresolved || found.join("\n") !== roots.join("\n")) forgetResolutions();
      roots = found;
      const getProgram = () => {
        const program = service.getProgram();
        if (!program) throw new Error("TypeScript gave no program");
        return program;
      };
      let program = getProgram();
      const hasNodeTypes = program.getSourceFiles().some(({ fileName }) => fileName.includes("/@types/node/"));
      if (hasNodeTypes !== isBufferKnown) {
        isBufferKnown = hasNodeTypes;
        program = getProgram();
      }
      isUnresolved = program.getSourceFiles().some((file) => isOwn(program, file) && lacksModules(typescript, program, file));
      return program;
    },
  };
}

/** Whether the file is the developer's: no library. */
export function isOwn(program: ts.Program, file: ts.SourceFile): boolean {
  return !file.isDeclarationFile && !program.isSourceFileDefaultLibrary(file) && !resolve(file.fileName).includes(`${sep}node_modules${sep}`);
}

function lacksModules(typescript: TypeScript, program: ts.Program, file: ts.SourceFile): boolean {
  const { imports } = file as unknown as { imports?: readonly ts.StringLiteralLike[] };
  const checker = program.getTypeChecker();
  return (imports ?? []).some((literal) => typescript.isStringLiteral(literal) && !checker.getSymbolAtLocation(literal));
}
