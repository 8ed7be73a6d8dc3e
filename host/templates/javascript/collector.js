// {{name}} is a collector for mackerel-plugin-wasm: it reads from a program's JSON how many jobs its queue has.
import http from "mackerel:collector/http@{{contract}}";

import { parse } from "./queue.js";

function value(options, name) {
  return options.find((option) => option.name === name)?.value;
}

export const metrics = {
  describe() {
    return {
      name: "{{name}}",
      version: "0.1.0",
      summary: "Jobs of a queue: how many wait, how many are done",
      scope: "endpoint",
      options: [{ name: "path", help: "The path of the JSON", kind: { tag: "text" }, default: "/queue" }],
    };
  },

  graphs(options) {
    const path = value(options, "path");
    if (!path.startsWith("/")) {
      throw `--path '${path}' does not begin with '/'`;
    }
    return [
      {
        key: "#.jobs",
        label: "Jobs",
        unit: "integer",
        metrics: [
          { name: "waiting", label: "Waiting", stacked: false, kind: { tag: "gauge" } },
          { name: "done", label: "Done per minute", stacked: false, kind: { tag: "counter", val: "minute" } },
        ],
      },
    ];
  },

  collect(_target, options) {
    const response = get({ scheme: "http", path: value(options, "path"), headers: [] });
    if (response.status !== 200) {
      throw { tag: "status", val: response.status };
    }
    try {
      return { samples: parse(response.body), time: null };
    } catch (error) {
      throw { tag: "unexpected", val: error.message };
    }
  },
};

// The host words its own errors, so they are handed back to it as they came.
function get(request) {
  try {
    return http.get(request);
  } catch (error) {
    throw { tag: "http", val: error.payload };
  }
}
