// Writes what the binary `ferry` is made of, as CycloneDX 1.5. On stdin: `cargo metadata --format-version 1`.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

const metadata = JSON.parse(readFileSync(0, "utf8"));
const packages = new Map(metadata.packages.map((one) => [one.id, one]));
const nodes = new Map(metadata.resolve.nodes.map((node) => [node.id, node]));
// Sums of what cargo has downloaded and compared.
const sums = new Map();
for (const entry of readFileSync(new URL("../Cargo.lock", import.meta.url), "utf8").split("[[package]]")) {
  const of = (name) => entry.match(new RegExp(`^${name} = "(.*)"$`, "m"))?.[1];
  if (of("checksum")) sums.set(`${of("name")}@${of("version")}`, of("checksum"));
}

/** What is compiled in: neither tests nor build scripts are. */
const linked = (node) =>
  node.deps.filter((dep) => dep.dep_kinds.some(({ kind }) => kind === null)).map((dep) => dep.pkg);

const root = metadata.packages.find((one) => one.name === "ferry");
const reached = new Set([root.id]);
for (const id of reached) for (const next of linked(nodes.get(id))) reached.add(next);

const purl = ({ name, version }) => `pkg:cargo/${name}@${version}`;
const component = (one) => {
  const sum = sums.get(`${one.name}@${one.version}`);
  return {
    type: one === root ? "application" : "library",
    "bom-ref": purl(one),
    name: one.name,
    version: one.version,
    purl: purl(one),
    ...(one.description && { description: one.description.replaceAll(/\s+/g, " ").trim() }),
    ...(one.license && { licenses: [{ expression: one.license.replaceAll("/", " OR ") }] }),
    ...(sum && { hashes: [{ alg: "SHA-256", content: sum }] }),
  };
};
const used = [...reached].map((id) => packages.get(id)).sort((a, b) => (purl(a) < purl(b) ? -1 : 1));
const components = used.filter((one) => one !== root).map(component);
const dependencies = used.map((one) => ({
  ref: purl(one),
  dependsOn: [...new Set(linked(nodes.get(one.id)).map((id) => purl(packages.get(id))))].sort(),
}));
// A name that follows from the content, so that the same sources make the same document.
const digest = createHash("sha256").update(JSON.stringify([components, dependencies])).digest("hex");
const variant = ((parseInt(digest[16], 16) & 3) | 8).toString(16);
const uuid = [digest.slice(0, 8), digest.slice(8, 12), `8${digest.slice(13, 16)}`, variant + digest.slice(17, 20), digest.slice(20, 32)];
const document = {
  $schema: "http://cyclonedx.org/schema/bom-1.5.schema.json",
  bomFormat: "CycloneDX",
  specVersion: "1.5",
  serialNumber: `urn:uuid:${uuid.join("-")}`,
  version: 1,
  metadata: { component: component(root) },
  components,
  dependencies,
};
process.stdout.write(`${JSON.stringify(document, null, 1)}\n`);
