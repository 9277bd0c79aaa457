import assert from "node:assert/strict";
import { test } from "node:test";

import { exportChoices, fileNameIn } from "../js/lib/export-formats.js";
import { EXPORT_FORMATS } from "../js/lib/tables.js";

test("exportChoices offers every format of the service, and the complete result", () => {
  const queries = exportChoices().map(({ query }) => new URLSearchParams(query).get("format"));
  assert.deepEqual(new Set(queries), new Set([...EXPORT_FORMATS.map(({ name }) => name), "json"]));
});

test("exportChoices offers tables once for each kind of row", () => {
  const tables = exportChoices().filter(({ query }) => query.startsWith("format=csv"));
  const { rows } = EXPORT_FORMATS.find(({ name }) => name === "csv");
  assert.deepEqual(
    tables.map(({ query }) => query),
    rows.map((row) => `format=csv&rows=${row}&bom=true`),
  );
  assert.equal(tables[0].name, "CSV");
});

test("exportChoices has a name and a description for each", () => {
  const choices = exportChoices();
  for (const { name, description } of choices) assert.ok(name && description);
  assert.equal(new Set(choices.map(({ name }) => name)).size, choices.length);
});

test("fileNameIn prefers the extended name", () => {
  assert.equal(fileNameIn(`attachment; filename="a.csv"`), "a.csv");
  assert.equal(fileNameIn(`attachment; filename="a.csv"; filename*=UTF-8''%C3%A4.csv`), "ä.csv");
  assert.equal(fileNameIn(""), "result");
});
