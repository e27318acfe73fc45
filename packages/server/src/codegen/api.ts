// What pages may call: the text of `.generated/api.d.ts`, which needs no source of the functions (FUN-73).
import type ts from "typescript";
import { indented, JsonTypes } from "./json-type.ts";
import type { TypeScript } from "./typescript.ts";

const HEADER = `// Made by Ferry of functions/index.ts at each change. What travels is JSON: dates, bigints and bytes are text.
import "@ferry/client/functions";
`;
const FOOTER = `
declare module "@ferry/client/functions" {
  interface Register {
    api: Api;
  }
}
`;
/** Names that the file has for itself. */
const OWN_NAMES = ["Api", "Register"];

interface Callable {
  name: string;
  kind: string;
  /** `undefined` if callers need not give any. */
  args: { type: ts.Type; isOptional: boolean } | undefined;
  result: ts.Type | undefined;
  comment: string;
}

/** How a function was declared, from the mark that `@ferry/server` gives to types; `undefined` if callers cannot reach it. */
function kindOf(typescript: TypeScript, checker: ts.TypeChecker, type: ts.Type): string | undefined {
  const mark = type.getProperty("~ferry");
  if (!mark) return "auto";
  const how = checker.getNonNullableType(checker.getTypeOfSymbol(mark));
  if (how.isStringLiteral()) return undefined;
  const memberOf = (name: string) => {
    const member = how.getProperty(name);
    return member && checker.getTypeOfSymbol(member);
  };
  const internal = memberOf("internal");
  if (internal && internal.flags & typescript.TypeFlags.BooleanLiteral && checker.typeToString(internal) === "true") return undefined;
  const kind = memberOf("kind");
  return kind?.isStringLiteral() ? kind.value : "auto";
}

function argsOf(typescript: TypeScript, checker: ts.TypeChecker, signature: ts.Signature): Callable["args"] {
  const [, parameter] = signature.getParameters();
  if (!parameter) return undefined;
  const { TypeFlags } = typescript;
  const type = checker.getTypeOfSymbol(parameter);
  // A handler that looks at no arguments.
  if (type.flags & (TypeFlags.Unknown | TypeFlags.Undefined | TypeFlags.Void)) return undefined;
  const declaration = parameter.valueDeclaration;
  const isMarked = declaration && typescript.isParameter(declaration) && checker.isOptionalParameter(declaration);
  const mayLack = type.isUnion() && type.types.some((member) => member.flags & (TypeFlags.Undefined | TypeFlags.Void));
  return { type, isOptional: Boolean(isMarked) || mayLack || Boolean(type.flags & TypeFlags.Any) };
}

/** The exports of a module that callers reach (FUN-01), by name. */
function callables(typescript: TypeScript, checker: ts.TypeChecker, module: ts.Symbol): Callable[] {
  const { SymbolFlags, TypeFlags } = typescript;
  const found = checker.getExportsOfModule(module).flatMap((exported): Callable[] => {
    const { name } = exported;
    if (name === "default" || name.startsWith("_")) return [];
    const symbol = exported.flags & SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
    if (!(symbol.flags & SymbolFlags.Value)) return [];
    const type = checker.getTypeOfSymbol(symbol);
    const comment = typescript.displayPartsToString(symbol.getDocumentationComment(checker));
    if (type.flags & TypeFlags.Any) return [{ name, kind: "auto", args: undefined, result: type, comment }];
    const kind = kindOf(typescript, checker, type);
    const signature = type.getCallSignatures().at(-1);
    if (kind === undefined || !signature) return [];
    const args = argsOf(typescript, checker, signature);
    return [{ name, kind, args, result: checker.getAwaitedType(signature.getReturnType()), comment }];
  });
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function documented(comment: string): string {
  if (comment === "") return "";
  const lines = comment.replaceAll("*/", "*\\/").split("\n");
  return lines.length === 1 ? `/** ${lines[0]} */\n` : `/**\n${lines.map((line) => ` * ${line}`.trimEnd()).join("\n")}\n */\n`;
}

/** The text of `api.d.ts`: the same for the same functions, byte for byte. */
export function apiText(typescript: TypeScript, program: ts.Program, entry: ts.SourceFile | undefined): string {
  const checker = program.getTypeChecker();
  const module = entry && checker.getSymbolAtLocation(entry);
  const types = new JsonTypes(typescript, checker, OWN_NAMES);
  const functions = module ? callables(typescript, checker, module) : [];
  const members = functions.map(({ name, kind, args, result, comment }) => {
    const argsText = args ? types.text(args.type) ?? "{}" : "{}";
    const lines = [
      `kind: ${JSON.stringify(kind)};`,
      `args${!args || args.isOptional ? "?" : ""}: ${argsText};`,
      `result: ${result ? types.result(result) : "unknown"};`,
    ];
    return indented(`${documented(comment)}${name}: {\n${lines.map(indented).join("\n")}\n};`);
  });
  const api = members.length > 0 ? `\nexport interface Api {\n${members.join("\n")}\n}\n` : "\nexport interface Api {}\n";
  const named = [...types.named].map(([name, text]) => `\nexport type ${name} = ${text};\n`).join("");
  return HEADER + api + named + FOOTER;
}
