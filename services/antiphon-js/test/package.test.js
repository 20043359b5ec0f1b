// The package as others install it: what npm packs, and that its types name what the module exports.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import * as antiphon from "../antiphon.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

test("the packed package is installed and imported by its name, and brings nothing else", () => {
  const folder = mkdtempSync(join(tmpdir(), "antiphon-js-"));
  const [packed] = JSON.parse(execFileSync("npm", ["pack", "--json", "--pack-destination", folder], { cwd: ROOT, stdio: ["ignore", "pipe", "ignore"] }));
  const modules = readdirSync(join(ROOT, "src")).map((name) => `src/${name}`);
  assert.deepEqual(packed.files.map(({ path }) => path).sort(), ["README.md", "antiphon.d.ts", "antiphon.js", "package.json", ...modules].sort());

  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module", private: true }));
  execFileSync("npm", ["install", "--offline", "--no-audit", "--no-fund", join(folder, packed.filename)], { cwd: folder, stdio: "ignore" });
  const script = 'import { connect } from "antiphon-js"; console.log(typeof connect)';
  assert.equal(execFileSync(process.execPath, ["--input-type=module", "-e", script], { cwd: folder, encoding: "utf8" }).trim(), "function");
  assert.equal(JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")).dependencies, undefined);
});

test("the types declare each export, and nothing that is not there", () => {
  const types = readFileSync(join(ROOT, "antiphon.d.ts"), "utf8");
  const declared = [...types.matchAll(/^export (?:class|function|const) (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(declared.sort(), Object.keys(antiphon).sort());
});
