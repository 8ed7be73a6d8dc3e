// The parser of the target's response. It needs no sandbox, so `npm test` can test it.

import { decode } from "./text.js";

// Parses {"queue": {"waiting": 3, "done": 120}} into samples. A missing number is omitted, never reported as zero.
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
