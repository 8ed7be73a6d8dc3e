#!/usr/bin/env bash
# picture.sh [RUNS [SECONDS]]: draws docs/gostats.svg from the plugin's output for twelve containers. It runs the plugin
# RUNS (60) times, SECONDS (5) apart. It needs `make build` and a Docker engine.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

runs=${1:-60} pause=${2:-5}
find_docker || die "the picture needs containers"
build_app
names=()
for number in {01..12}; do names+=("api-$number"); done
start_containers "${names[@]}"
command=("$PLUGIN" run gostats --filter "label=$LABEL" --path /stats --instance-name slot --total sum --select memory.memory_alloc)
say "$runs runs, $pause s apart: ${command[*]:1}"
for ((run = 0; run < runs; run++)); do
  [ "$run" = 0 ] || sleep "$pause"
  MACKEREL_PLUGIN_WORKDIR=$WORK "${command[@]}" | sed "s/^/$run\t/" >> "$WORK/values"
done

# Two panels side by side: each container, and the sum of all. The vertical axes begin at zero.
awk -F'\t' -v runs="$runs" -v pause="$pause" '
  {
    panel = $2 ~ /_sum\./ ? 2 : 1
    line = panel SUBSEP $2
    if (!(line in points)) order[++count] = line
    value[line, $1] = $3
    points[line]
    if ($3 > top[panel]) top[panel] = $3
  }
  END {
    width = 340; height = 150
    print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 240\" font-family=\"sans-serif\" font-size=\"12\">"
    print "<rect width=\"800\" height=\"240\" fill=\"#fff\"/>"
    title[1] = "Gostats.# Memory: Alloc"; note[1] = "custom.gostats.*.memory.memory_alloc"
    title[2] = "Gostats Memory (sum): Alloc"; note[2] = "custom.gostats_sum.memory.memory_alloc"
    for (p = 1; p <= 2; p++) {
      left = p == 1 ? 50 : 450
      printf "<text x=\"%d\" y=\"22\" font-weight=\"bold\">%s</text><text x=\"%d\" y=\"38\" fill=\"#777\">%s</text>\n", left, title[p], left, note[p]
      for (tick = 0; tick <= 2; tick++) {
        y = 50 + height - height * tick / 2
        printf "<path d=\"M%d %.1fh%d\" stroke=\"#ddd\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\" fill=\"#777\">%.0fM</text>\n", left, y, width, left - 5, y + 4, top[p] * tick / 2 / 1048576
      }
      printf "<text x=\"%d\" y=\"%d\" fill=\"#777\">%d s ago</text><text x=\"%d\" y=\"%d\" text-anchor=\"end\" fill=\"#777\">now</text>\n", left, height + 68, (runs - 1) * pause, left + width, height + 68
    }
    for (c = 1; c <= count; c++) {
      split(order[c], part, SUBSEP)
      p = part[1]; left = p == 1 ? 50 : 450
      path = ""
      for (run = 0; run < runs; run++) {
        if (!((order[c], run) in value)) continue
        path = path sprintf("%s%.1f %.1f", path == "" ? "M" : "L", left + width * run / (runs - 1), 50 + height - height * value[order[c], run] / top[p])
      }
      printf "<path d=\"%s\" fill=\"none\" stroke=\"hsl(%d 60%% 45%%)\" stroke-width=\"%s\"/>\n", path, p == 2 ? 210 : c * 30, p == 2 ? "2" : "1"
    }
    printf "<text x=\"50\" y=\"234\" fill=\"#777\">12 containers of a Go program, %d runs %d s apart</text>\n", runs, pause
    print "</svg>"
  }' "$WORK/values" > docs/gostats.svg
say "docs/gostats.svg: $(wc -c < docs/gostats.svg) bytes"
