// What the target's answer means. No sandbox is needed for that, so `npm test` tests it.

import { decode } from "./text.js";

// Reads {"queue": {"waiting": 3, "done": 120}} into samples. What is not told is left out: absent is never zero.
export function parse(body) {
  const text = decode(body);
  const queue = read(text)?.queue;
  const samples = [];
  if (typeof queue !== "object" || queue === null) {
    throw unexpected(text);
  }
  for (const metric of ["waiting", "done"]) {
    const value = queue[metric] ?? null;
    if (typeof value === "number") {
      samples.push({ graph: "#.jobs", metric, value });
    } else if (value !== null) {
      throw unexpected(text);
    }
  }
  return samples;
}

function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function unexpected(text) {
  return new Error(`no JSON with numbers in "queue": '${text.slice(0, 40)}'`);
}
