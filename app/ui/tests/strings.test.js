import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { STRINGS } from "../js/lib/strings.js";

const JS = new URL("../js/", import.meta.url);
const NOT_OF_THE_PAGE = ["lib/strings.js", "lib/tables.js", "docs.js"];
const modules = readdirSync(JS, { recursive: true })
  .map(String)
  .filter((name) => name.endsWith(".js") && !NOT_OF_THE_PAGE.includes(name));
const sources = new Map(modules.map((name) => [name, readFileSync(new URL(name, JS), "utf8")]));

test("every text is used", () => {
  const all = [...sources.values()].join("");
  for (const [section, texts] of Object.entries(STRINGS)) {
    if (typeof texts === "string") continue;
    for (const name of Object.keys(texts)) assert.ok(all.includes(`STRINGS.${section}.${name}`), `${section}.${name}`);
  }
});

test("modules have no texts of their own", () => {
  for (const [name, source] of sources) {
    const code = source.replace(/\/\*[^]*?\*\/|\/\/.*/g, "");
    assert.deepEqual(code.match(/"[A-Z][a-z]+ [^"]*"|: "[A-Z][a-z]+[^"]*"/g), null, name);
  }
});
