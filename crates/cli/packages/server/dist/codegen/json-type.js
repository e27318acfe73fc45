/** Deeper types are endless ones, whose instances are all different. */
const DEPTH_MAX = 30;
/** An object that is longer is written with a line per member. */
const LINE_MAX = 100;
const INDENT = "  ";
/** What JSON makes of these is always the same. */
const KNOWN = {
    Date: "string", Uint8Array: "string", ArrayBuffer: "string", Buffer: "string",
    Map: "{}", Set: "{}", ReadonlyMap: "{}", ReadonlySet: "{}", WeakMap: "{}", WeakSet: "{}", RegExp: "{}", Promise: "{}",
};
/** Writes types of one program, all into one file. */
export class JsonTypes {
    #names;
    #open;
    #ts;
    #checker;
    #taken;
    /** `taken` are names that recursive types must not have. */
    constructor(typescript, checker, taken) {
        /** Name of a recursive type → its text, in the order in which they were met. */
        this.named = new Map();
        this.#names = new Map();
        this.#open = [];
        this.#ts = typescript;
        this.#checker = checker;
        this.#taken = new Set(taken);
    }
    /** The text of what a call gives: it may also be absent. */
    result(type) {
        const text = this.text(type);
        const { TypeFlags } = this.#ts;
        const mayLack = type.isUnion() && type.types.some(({ flags }) => flags & (TypeFlags.Undefined | TypeFlags.Void));
        if (text === undefined)
            return "undefined";
        return mayLack ? `${text} | undefined` : text;
    }
    /** The text of `type`; `undefined` if JSON has nothing for it, as for functions. */
    text(type, depth = 0) {
        const { TypeFlags } = this.#ts;
        const { flags } = type;
        if (flags & TypeFlags.Any)
            return "any";
        if (flags & (TypeFlags.Unknown | TypeFlags.NonPrimitive))
            return "unknown";
        if (flags & TypeFlags.Never)
            return "never";
        if (flags & (TypeFlags.Undefined | TypeFlags.Void | TypeFlags.ESSymbolLike))
            return undefined;
        if (flags & TypeFlags.Null)
            return "null";
        if (flags & TypeFlags.BigIntLike)
            return "string";
        if (flags & TypeFlags.BooleanLiteral)
            return this.#checker.typeToString(type);
        if (flags & TypeFlags.Boolean)
            return "boolean";
        if (type.isStringLiteral() || type.isNumberLiteral())
            return JSON.stringify(type.value);
        if (flags & (TypeFlags.TemplateLiteral | TypeFlags.StringMapping))
            return this.#pattern(type);
        if (flags & TypeFlags.StringLike)
            return "string";
        if (flags & TypeFlags.NumberLike && !type.isUnion())
            return "number";
        if (flags & TypeFlags.Instantiable)
            return this.#constraint(type, depth);
        return this.#composed(type, depth);
    }
    /** `\`a${string}\`` is its own text, unless it speaks of type parameters. */
    #pattern(type) {
        const text = this.#checker.typeToString(type, undefined, this.#ts.TypeFormatFlags.NoTruncation);
        return /^`(?:[^$]|\$\{(?:string|number|bigint|boolean)\})*`$/.test(text) ? text : "string";
    }
    #constraint(type, depth) {
        const constraint = this.#checker.getBaseConstraintOfType(type);
        return constraint && constraint !== type && depth < DEPTH_MAX ? this.text(constraint, depth + 1) : "unknown";
    }
    /** A type of others: written out once it is sure whether it contains itself. */
    #composed(type, depth) {
        const name = this.#names.get(type);
        if (name !== undefined)
            return name;
        const open = this.#open.find((entry) => entry.type === type);
        if (open)
            return (open.name ??= this.#newName(type));
        if (depth >= DEPTH_MAX)
            return "unknown";
        const entry = { type };
        this.#open.push(entry);
        const text = type.isUnion() ? this.#union(type, depth) : this.#object(type, depth);
        this.#open.pop();
        if (entry.name === undefined)
            return text;
        this.#names.set(type, entry.name);
        this.named.set(entry.name, text ?? "undefined");
        return entry.name;
    }
    #newName(type) {
        const symbolName = (type.aliasSymbol ?? type.symbol)?.name ?? "";
        const base = /^[A-Za-z_$][\w$]*$/.test(symbolName) && !symbolName.startsWith("__") ? symbolName : "Recursive";
        const isTaken = (name) => this.#taken.has(name) || this.named.has(name) || this.#open.some((open) => open.name === name);
        let name = base;
        for (let n = 2; isTaken(name); n++)
            name = base + n;
        return name;
    }
    #union(type, depth) {
        const texts = new Set(type.types.flatMap((member) => this.text(member, depth + 1) ?? []));
        if (texts.has("true") && texts.has("false")) {
            texts.delete("true");
            texts.delete("false");
            texts.add("boolean");
        }
        if (texts.size === 0)
            return undefined;
        if (texts.has("any"))
            return "any";
        if (texts.has("unknown"))
            return "unknown";
        // TypeScript's own order depends on what was looked at before.
        return [...texts].sort((a, b) => Number(a === "null") - Number(b === "null") || (a < b ? -1 : 1)).join(" | ");
    }
    #object(type, depth) {
        const { TypeFlags, SymbolFlags } = this.#ts;
        if (type.isIntersection()) {
            // A branded string is a string.
            const primitive = type.types.find((member) => member.flags & (TypeFlags.StringLike | TypeFlags.NumberLike | TypeFlags.BooleanLike | TypeFlags.BigIntLike));
            if (primitive)
                return this.text(primitive, depth + 1);
        }
        const known = KNOWN[type.symbol?.name ?? ""];
        if (known !== undefined && this.#isLibrary(type.symbol))
            return known;
        if (this.#checker.isArrayType(type) || this.#checker.isTupleType(type))
            return this.#list(type, depth);
        const toJson = type.getProperty("toJSON");
        const [signature] = toJson ? this.#checker.getTypeOfSymbol(toJson).getCallSignatures() : [];
        if (signature)
            return this.text(signature.getReturnType(), depth + 1);
        const properties = this.#checker.getPropertiesOfType(type);
        const isCallable = type.getCallSignatures().length > 0 || type.getConstructSignatures().length > 0;
        if (isCallable)
            return undefined;
        const members = this.#ordered(properties).flatMap((property) => {
            if (property.flags & (SymbolFlags.Method | SymbolFlags.Prototype) || this.#isHidden(property))
                return [];
            const text = this.#member(property, depth);
            return text === undefined ? [] : [text];
        });
        for (const { keyType, type: valueType } of this.#checker.getIndexInfosOfType(type)) {
            if (keyType.flags & TypeFlags.ESSymbolLike)
                continue;
            const key = keyType.flags & TypeFlags.NumberLike ? "number" : this.text(keyType, depth + 1) ?? "string";
            const value = this.text(valueType, depth + 1);
            if (value !== undefined)
                members.push(`[key: ${key}]: ${value}`);
        }
        return braced(members);
    }
    #member(property, depth) {
        const type = this.#checker.getTypeOfSymbol(property);
        const { TypeFlags, SymbolFlags } = this.#ts;
        const text = this.text(type, depth + 1);
        if (text === undefined)
            return undefined;
        const isDroppable = (member) => Boolean(member.flags & (TypeFlags.Undefined | TypeFlags.Void | TypeFlags.ESSymbolLike)) || member.getCallSignatures().length > 0;
        const isOptional = Boolean(property.flags & SymbolFlags.Optional) || (type.isUnion() && type.types.some(isDroppable));
        const name = /^[A-Za-z_$][\w$]*$/.test(property.name) ? property.name : JSON.stringify(property.name);
        return `${name}${isOptional ? "?" : ""}: ${text}`;
    }
    /** Symbols as keys, what is private, and getters of classes do not travel. */
    #isHidden(property) {
        const { ModifierFlags, SyntaxKind } = this.#ts;
        if (property.name.startsWith("__@") || property.name.startsWith("__#"))
            return true;
        const declaration = property.valueDeclaration;
        if (!declaration)
            return false;
        if (declaration.kind === SyntaxKind.GetAccessor && this.#ts.isClassLike(declaration.parent))
            return true;
        return Boolean(this.#ts.getCombinedModifierFlags(declaration) & (ModifierFlags.Private | ModifierFlags.Protected));
    }
    /** As declared where all are declared in files, so that `id` stays first; by name where they are computed. */
    #ordered(properties) {
        const place = (property) => {
            const declaration = property.declarations?.[0];
            return declaration ? { file: declaration.getSourceFile().fileName, at: declaration.getStart() } : { file: "", at: 0 };
        };
        return [...properties].sort((a, b) => {
            const [from, to] = [place(a), place(b)];
            if (from.file !== to.file)
                return from.file < to.file ? -1 : 1;
            return from.at - to.at || (a.name < b.name ? -1 : 1);
        });
    }
    /** What JSON drops is `null` in a list. */
    #list(type, depth) {
        const items = this.#checker.getTypeArguments(type).map((item) => this.#item(item, depth));
        if (!this.#checker.isTupleType(type))
            return arrayOf(items[0] ?? "unknown");
        const { elementFlags } = type.target;
        const { ElementFlags } = this.#ts;
        const parts = items.map((text, i) => {
            const flags = elementFlags[i] ?? ElementFlags.Required;
            if (flags & ElementFlags.Variable)
                return `...${arrayOf(text)}`;
            return flags & ElementFlags.Optional ? `${grouped(text)}?` : text;
        });
        return `[${parts.join(", ")}]`;
    }
    #item(type, depth) {
        const text = this.text(type, depth + 1) ?? "null";
        const { TypeFlags } = this.#ts;
        const isDroppable = type.isUnion() && type.types.some((member) => member.flags & TypeFlags.Undefined);
        return isDroppable && !/\bnull$/.test(text) ? `${text} | null` : text;
    }
    #isLibrary(symbol) {
        return (symbol.declarations ?? []).every((declaration) => {
            const { fileName, isDeclarationFile } = declaration.getSourceFile();
            return isDeclarationFile && /[\\/](?:typescript[\\/]lib|@types[\\/]node)[\\/]|[\\/]ferry-buffer\.d\.ts$/.test(fileName);
        });
    }
}
/** In parentheses if it has parts of its own. */
function grouped(text) {
    let depth = 0;
    for (const char of text.replace(/"(?:[^"\\]|\\.)*"|`[^`]*`/g, "")) {
        if ("{[(".includes(char))
            depth += 1;
        if ("}])".includes(char))
            depth -= 1;
        if (char === "|" && depth === 0)
            return `(${text})`;
    }
    return text;
}
function arrayOf(text) {
    return `${grouped(text)}[]`;
}
function braced(members) {
    if (members.length === 0)
        return "{}";
    const line = `{ ${members.join("; ")} }`;
    if (line.length <= LINE_MAX && !line.includes("\n"))
        return line;
    return `{\n${members.map((member) => `${indented(member)};\n`).join("")}}`;
}
/** Each line of `text` one step to the right. */
export function indented(text) {
    return text.split("\n").map((line) => INDENT + line).join("\n");
}
