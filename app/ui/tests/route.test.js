import assert from "node:assert/strict";
import { test } from "node:test";

import { jobFragment, parseRoute, personOf, timeOf } from "../js/lib/route.js";

test("parseRoute returns view, parameters and query", () => {
  const { name, parameters, query } = parseRoute("#/job/a%2Fb?t=48.5&person=2");
  assert.equal(name, "job");
  assert.deepEqual(parameters, ["a/b"]);
  assert.equal(timeOf(query), 48.5);
  assert.equal(query.get("person"), "2");
});

test("parseRoute of nothing is the start", () => {
  assert.equal(parseRoute("").name, "");
  assert.equal(parseRoute("#/").name, "");
});

test("parseRoute leaves invalid escapes as they are", () => {
  assert.deepEqual(parseRoute("#/job/%E0%A4").parameters, ["%E0%A4"]);
});

test("jobFragment and parseRoute agree", () => {
  const { parameters, query } = parseRoute(jobFragment("x y", { time: 12.3456, person: 3 }));
  assert.deepEqual(parameters, ["x y"]);
  assert.equal(timeOf(query), 12.35);
  assert.equal(personOf(query), 3);
  for (const text of ["person=0", "person=x", ""]) assert.equal(personOf(new URLSearchParams(text)), null);
  assert.equal(jobFragment("x"), "#/job/x");
});

test("timeOf is null for what is not a time", () => {
  for (const text of ["t=abc", "t=-3", "t=Infinity", ""]) assert.equal(timeOf(new URLSearchParams(text)), null);
});
