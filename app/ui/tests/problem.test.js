import assert from "node:assert/strict";
import { test } from "node:test";

import { Problem, isAbort } from "../js/lib/problem.js";

test("fromApi replaces what is written for programmers", () => {
  const problem = Problem.fromApi({ code: "unsupported_media", title: "T", detail: "D", errors: [{ message: "E" }] });
  assert.equal(problem.title, "This file type isn’t supported");
  assert.equal(problem.sentences.length, 1);
  assert.match(problem.sentences[0], /JPEG/);
  assert.equal(problem.code, "unsupported_media");
});

test("fromApi keeps the detail where it says more", () => {
  const problem = Problem.fromApi({ code: "media_too_long", title: "T", detail: "It lasts 3 hours" });
  assert.deepEqual(problem.sentences, ["It lasts 3 hours.", "Use a shorter file."]);
});

test("fromApi shows a code that it does not know in the API's words", () => {
  const problem = Problem.fromApi({ code: "new_code", title: "Something new", detail: "" });
  assert.deepEqual([problem.title, problem.sentences], ["Something new", []]);
});

test("fromApi distinguishes a missing key from an invalid one", () => {
  const answer = { code: "unauthorized", title: "T", detail: "D" };
  assert.equal(Problem.fromApi(answer).title, "Enter your API key");
  assert.equal(Problem.fromApi(answer, { sentKey: true }).title, "This API key isn’t valid");
});

test("faults of a request are listed without a detail", () => {
  const errors = [
    { location: "tag", message: "too long" },
    { location: "url", message: "missing" },
  ];
  const problem = Problem.fromApi({ code: "validation_failed", title: "T", errors });
  assert.deepEqual(problem.sentences, ["tag: too long; url: missing."]);
});

test("fromError keeps problems and wraps other errors", () => {
  const problem = Problem.unreachable();
  assert.equal(Problem.fromError(problem), problem);
  assert.deepEqual(Problem.fromError(new Error("broken")).sentences, ["broken."]);
  assert.equal(Problem.fromError("text").code, "unknown");
});

test("isAbort recognises an aborted request only", () => {
  assert.equal(isAbort(new DOMException("", "AbortError")), true);
  assert.equal(isAbort(new DOMException("", "NetworkError")), false);
  assert.equal(isAbort(new Error("AbortError")), false);
});
