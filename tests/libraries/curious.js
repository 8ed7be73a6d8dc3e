// Tries many addresses by JavaScript's own fetch, and returns the reached ones in one error, which a test reads.

const HOSTS = ["127.0.0.1", "127.0.0.2", "127.1", "0x7f000001", "localhost", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"];

export const metrics = {
  describe() {
    return { name: "curious", version: "1", summary: "Looks around", scope: "endpoint", options: [] };
  },

  graphs() {
    return [];
  },

  async collect(target) {
    const { host, port: own } = target.endpoint;
    const { other } = await (await fetch(`http://${host}:${own}/stats`)).json();
    const reached = [];
    let refused = 0;
    for (const path of ["/", "/redirect"]) {
      for (const host of HOSTS) {
        for (const port of [own, other]) {
          try {
            const answer = await fetch(`http://${host}:${port}${path}`);
            reached.push(`${host}:${port}${path} ${answer.status}`);
          } catch {
            refused += 1;
          }
        }
      }
    }
    throw { tag: "other", val: `${refused} refused, reached ${reached.join(", ")}` };
  },
};
