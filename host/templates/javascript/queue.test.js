import assert from "node:assert/strict";
import test from "node:test";

import { parse } from "./queue.js";

const bytes = (text) => new TextEncoder().encode(text);

test("numbers are reported", () => {
  assert.deepEqual(parse(bytes('{"name": "größe", "queue": {"waiting": 3, "done": 120}}')), [
    { graph: "#.jobs", metric: "waiting", value: 3 },
    { graph: "#.jobs", metric: "done", value: 120 },
  ]);
});

test("missing numbers are omitted", () => {
  assert.deepEqual(parse(bytes('{"queue": {"done": 0}}')), [{ graph: "#.jobs", metric: "done", value: 0 }]);
});

test("other responses are errors", () => {
  for (const body of ["", "<html>", "[]", "{}", '{"queue": 3}', '{"queue": {"waiting": "3"}}']) {
    assert.throws(() => parse(bytes(body)), /no JSON with numbers in "queue"/, body);
  }
});
