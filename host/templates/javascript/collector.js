// A collector for mackerel-plugin-wasm that reads the numbers of a queue's jobs from a program's JSON.
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
      summary: "Waiting and finished jobs of a queue",
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

// Passes the host's errors back to it unchanged, because the host writes their messages.
function get(request) {
  try {
    return http.get(request);
  } catch (error) {
    throw { tag: "http", val: error.payload };
  }
}
