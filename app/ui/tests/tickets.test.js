import assert from "node:assert/strict";
import { test } from "node:test";

import { ticketScope } from "../js/lib/tickets.js";

test("ticketScope names the job and what of it the path opens", () => {
  assert.deepEqual(ticketScope("/v1/jobs/job_1/media"), { purpose: "media", job: "job_1" });
  assert.deepEqual(ticketScope("/v1/jobs/job_1/events"), { purpose: "events", job: "job_1" });
  assert.deepEqual(ticketScope("/v1/jobs/job%201/artifacts/a.png"), { purpose: "artifacts", job: "job 1" });
});

test("ticketScope of the live stream names no job", () => {
  assert.deepEqual(ticketScope("/v1/stream"), { purpose: "stream" });
});
