import assert from "node:assert/strict";
import { test } from "node:test";

import { withIndex } from "../js/lib/artifacts.js";
import { STAGE_LABELS, STATUS_CHOICES, activityText, isFinished, jobName } from "../js/lib/jobs.js";
import { JOB_STATUSES, STAGES } from "../js/lib/tables.js";

test("every state and every stage of the service has a name", () => {
  assert.deepEqual(Object.keys(STAGE_LABELS).sort(), [...STAGES].sort());
  assert.deepEqual(
    STATUS_CHOICES.map(([status]) => status),
    JOB_STATUSES,
  );
  assert.ok(STATUS_CHOICES.every(([, name]) => name));
});

test("isFinished is true of the final states", () => {
  const finished = JOB_STATUSES.filter((status) => isFinished({ status }));
  assert.deepEqual(finished, ["succeeded", "failed", "cancelled"]);
});

test("jobName is that of the file; a link has none before it is downloaded", () => {
  assert.equal(jobName({ media: { name: "a.mp4" } }), "a.mp4");
  assert.equal(jobName({ media: null }), "Link");
});

test("activityText says how many wait before a job, or what is done", () => {
  const queued = (position) => activityText({ status: "queued", stage: null, position });
  assert.deepEqual([0, null, 1, 3].map(queued), [
    "Next in line",
    "Next in line",
    "1 analysis ahead",
    "3 analyses ahead",
  ]);
  assert.equal(activityText({ status: "running", stage: "faces", position: null }), "Analysing faces…");
  assert.equal(activityText({ status: "running", stage: null, position: null }), "Starting…");
});

test("withIndex joins artifacts with the entries of the index", () => {
  const artifacts = [
    { name: "a.png", size: 1 },
    { name: "b.png", size: 2 },
  ];
  assert.deepEqual(withIndex(artifacts, [{ name: "a.png", title: "A face", kind: "heatmap" }]), [
    { name: "a.png", title: "A face", kind: "heatmap", size: 1 },
    { name: "b.png", title: "b.png", size: 2 },
  ]);
});
