#!/usr/bin/env python3
"""Runs programs in turn and prints their time, page faults and memory. scripts/bench.sh calls it.

    sample.py TITLE RUNS [NAME=COMMAND …] [--goal TEXT EXPRESSION LIMIT …]

The programs run alternately, because the speed of a machine changes from minute to minute. A command is split at
spaces. A goal is a Python expression of the names, each with `wall`, `p10`, `cpu` (milliseconds), `faults` and `peak`
(MiB), such as `ours.wall / loop.wall`, and its upper limit. A goal that is missed does not change the exit status.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from types import SimpleNamespace

# Above this ratio of the median to the tenth percentile, other work has disturbed the runs.
QUIET = 1.3


def run(words, null, stderr):
    """Returns the wall time and CPU time in milliseconds, and the minor page faults."""
    actions = [(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, stderr.fileno(), 2)]
    stderr.truncate(0)
    start = time.perf_counter()
    child = os.posix_spawnp(words[0], words, os.environ, file_actions=actions)
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - start
    if status != 0:
        stderr.seek(0)
        sys.exit(f"sample.py: {' '.join(words)[:200]}: exit status {os.waitstatus_to_exitcode(status)}\n{stderr.read()}")
    return wall * 1000, (usage.ru_utime + usage.ru_stime) * 1000, usage.ru_minflt


def peak(words):
    """Returns the largest resident memory of three runs in MiB. GNU time is smaller than this program, whose own memory
    wait4 would report."""
    command = ["/usr/bin/time", "-f", "%M", *words]
    runs = [subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    return max(int(run.stderr.splitlines()[-1]) for run in runs) / 1024


def measure(words, runs):
    wall, cpu, faults = zip(*runs)
    tenth = sorted(wall)[len(wall) // 10]
    median = statistics.median
    return SimpleNamespace(wall=median(wall), p10=tenth, cpu=median(cpu), faults=median(faults), peak=peak(words))


def main():
    title, runs, *rest = sys.argv[1:]
    goals = rest.index("--goal") if "--goal" in rest else len(rest)
    commands = {name: words.split() for name, words in (command.split("=", 1) for command in rest[:goals])}
    null = os.open(os.devnull, os.O_RDWR)
    stderr = tempfile.TemporaryFile("a+")
    results = {name: [] for name in commands}
    # The first round fills caches, and makes the state.
    for turn in range(int(runs) + 1):
        for name, words in commands.items():
            result = run(words, null, stderr)
            if turn > 0:
                results[name].append(result)
    measured = {name: measure(commands[name], results[name]) for name in commands}

    print(f"\n{title}, {runs} runs of each")
    print(f"  {'':<24}{'wall':>11}{'p10':>11}{'CPU':>11}{'faults':>9}{'peak':>11}")
    for name, of in measured.items():
        times = "".join(f"{value:>8.1f} ms" for value in (of.wall, of.p10, of.cpu))
        print(f"  {name.replace('_', ' '):<24}{times}{of.faults:>9.0f}{of.peak:>7.1f} MiB")
    while rest[goals:]:
        _, text, expression, limit = rest[goals : goals + 4]
        value = eval(expression, {}, measured)  # an expression of bench.sh
        print(f"  {text}: {value:.2f}, goal {limit}{'' if value <= float(limit) else ': MISSED'}")
        goals += 4
    busy = [name for name, of in measured.items() if of.wall > QUIET * of.p10]
    if busy:
        print(f"  Do not trust this: the machine was busy during the runs of {', '.join(busy)}.")


main()
