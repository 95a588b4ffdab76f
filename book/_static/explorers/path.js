// One word's way from the baseline, among the rows of the embedding table. The plane is a shadow of a space with hundreds
// of dimensions, so distances that matter are also given as numbers, measured in that space.
import { buttons, chart, choice, controls, element, line, percent, player, quoted, shape, slider } from "./common.js";

const KINDS = {
  word: "a word",
  piece: "a word piece",
  number: "a number",
  unused: "a row that training never used",
  special: "a special token",
  other: "a sign or another script",
};

export function build({ panel, data, options, say }) {
  const redraw = () => draw();
  const word = choice("Word", data.words.map((w) => [w, w]), options.word, redraw);
  const baseline = buttons("Baseline", [["mask", "[MASK]"], ["pad", "[PAD]"]], options.baseline ?? "mask", redraw);
  const method = buttons("Method", Object.entries(data.methods), options.method ?? "udig", redraw);
  const last = data.planes[data.words[0]].mask.paths.ig.points.length - 1;
  const step = slider("Step", { min: 0, max: last, value: options.step ?? 20 }, redraw);
  player(step);
  const readout = element("p", { class: "ul-readout" });
  const figure = element("div", { class: "ul-charts" });
  const note = element("p", { class: "ul-small" });
  const list = element("ol", { class: "ul-anchors", "aria-label": "Anchors from baseline to word" });
  panel.append(controls(word, baseline, method, step), readout, figure, note, list);

  function draw() {
    const plane = data.planes[word.value()][baseline.value()];
    const path = plane.paths[method.value()];
    const k = step.value();
    const start = `[${baseline.value().toUpperCase()}]`;
    step.show(`${k} of ${last}`);
    const text = described(path, k, last, word.value(), start);
    readout.textContent = text;
    say(text);
    figure.replaceChildren(picture(figure.clientWidth, plane, path, k, word.value(), start));
    note.textContent =
      `The longest piece of this path covers ${percent(path.longest)} of |x − x′|. It is measured in the whole space, like ` +
      "all distances in words. The plane, spanned by the two main directions of all that is drawn, shows " +
      `${percent(plane.variance[0] + plane.variance[1])} of its variance: points that touch here may lie far apart.`;
    list.replaceChildren(...anchorItems(path, k));
    list.hidden = !path.anchors;
  }
  return draw;
}

/** Where the point is, in a sentence. */
function described(path, k, last, word, start) {
  const nearest = `Nearest row of the table: ${quoted(path.nearest[k])}, ${percent(path.away[k])} away.`;
  if (k === 0) return `Step 0 of ${last}: the baseline ${start}. ${nearest}`;
  if (k === last) return `Step ${k} of ${last}: the word ${quoted(word)}. ${nearest}`;
  if (!path.anchors) return `Step ${k} of ${last}, on the straight line. ${nearest}`;
  const kind = KINDS[path.kinds[k - 1]];
  return (
    `Step ${k} of ${last}. Anchor: ${quoted(path.anchors[k - 1])}, ${kind}; ` +
    `keeping the path monotone moved the point ${percent(path.bent[k - 1])} away from it. ${nearest}`
  );
}

/** All anchors in the order of the path; rows that are no words are set apart by their form, not by colour alone. */
function anchorItems(path, k) {
  return (path.anchors ?? []).map((name, i) =>
    element(
      "li",
      { class: `ul-kind-${path.kinds[i]}`, "aria-current": i + 1 === k && "step", title: KINDS[path.kinds[i]] },
      element("bdi", {}, name),
    ),
  );
}

function picture(width, plane, path, k, word, start) {
  const all = Object.values(plane.paths).flatMap((p) => [...p.points, ...(p.at ?? [])]);
  const everything = [...plane.ends, ...plane.near.map(([, , x, y]) => [x, y]), ...all];
  const { x, y, height } = frame(everything, width); // the same for all methods, so that they can be compared
  const c = chart({ width, height, x, y, label: `Plane with the path from ${start} to ${word}; the point stands at step ${k}.` });
  const at = ([u, v]) => [c.X(u), c.Y(v)];
  const draw = (name, attributes) => c.node.append(shape(name, attributes));
  draw("path", { class: "ul-straight", d: line(plane.ends.map(at)) });
  for (const [, , u, v] of plane.near) draw("circle", { class: "ul-near", cx: c.X(u), cy: c.Y(v), r: 2.5 });
  for (const anchor of path.at ?? []) {
    const [u, v] = at(anchor);
    draw("path", { class: "ul-anchor", d: `M${u},${v - 4}l4,4l-4,4l-4,-4z` });
  }
  draw("path", { class: "ul-line ul-path", d: line(path.points.map(at)) });
  draw("path", { class: "ul-line ul-one", d: line(path.points.slice(0, k + 1).map(at)) });
  for (const p of path.points) draw("circle", { class: "ul-dot", cx: at(p)[0], cy: at(p)[1], r: 2 });
  const [px, py] = at(path.points[k]);
  const labels = [];
  if (path.anchors && k > 0 && k < path.points.length - 1) {
    const [u, v] = at(path.at[k - 1]);
    draw("line", { class: "ul-bend", x1: u, y1: v, x2: px, y2: py });
    draw("path", { class: "ul-anchor ul-current", d: `M${u},${v - 7}l7,7l-7,7l-7,-7z` });
    labels.push([path.anchors[k - 1], u, v, "ul-name ul-strong"]);
  }
  const ends = plane.ends.map(at);
  for (const [u, v] of ends) draw("rect", { class: "ul-end", x: u - 5, y: v - 5, width: 10, height: 10 });
  draw("circle", { class: "ul-point", cx: px, cy: py, r: 7 });
  labels.unshift([start, ...ends[0], "ul-name ul-strong"], [word, ...ends[1], "ul-name ul-strong"]);
  for (const [name, , u, v] of plane.near) labels.push([name, c.X(u), c.Y(v), "ul-name"]);
  const marks = [...plane.near.map(([, , u, v]) => [u, v]), ...(path.at ?? [])].map(at);
  writeLabels(c.node, labels, width, height, [[px, py]], marks);
  return c.node;
}

/** The part of the plane that holds all points, with one scale for both directions: angles stay true. */
function frame(points, width) {
  const [xs, ys] = [points.map((p) => p[0]), points.map((p) => p[1])];
  const middle = (v) => (Math.min(...v) + Math.max(...v)) / 2;
  const size = (v) => Math.max(...v) - Math.min(...v);
  const height = Math.round(Math.max(260, Math.min(460, 16 + (1.1 * (width - 20) * size(ys)) / size(xs))));
  const unit = 1.16 * Math.max(size(xs) / (width - 20), size(ys) / (height - 16)); // per pixel, with a margin for names
  const around = (v, pixels) => [middle(v) - (unit * pixels) / 2, middle(v) + (unit * pixels) / 2];
  return { x: around(xs, width - 20), y: around(ys, height - 16), height };
}

/**
 * Names at their points, the important ones first; one that would cover another is left out, and so is one in plain type
 * that would cover the mark of another point: in a crowd, on a phone above all, the marks say more.
 */
function writeLabels(node, labels, width, height, points, marks) {
  const taken = points.map(([x, y]) => [x - 8, y - 8, x + 8, y + 8]);
  const apart = (a, b) => a[2] < b[0] || a[0] > b[2] || a[3] < b[1] || a[1] > b[3];
  const inside = (b) => b[0] > 0 && b[2] < width && b[1] > 0 && b[3] < height;
  const free = (b) => inside(b) && taken.every((other) => apart(b, other));
  const covers = (b, x, y) => marks.some(([u, v]) => Math.hypot(u - x, v - y) > 1 && !apart(b, [u - 3, v - 3, u + 3, v + 3]));
  for (const [name, x, y, look] of labels) {
    const long = 7.2 * name.length + 6;
    const places = [[x + 9, y + 4, "start"], [x - 9, y + 4, "end"], [x, y - 10, "middle"], [x, y + 20, "middle"]];
    for (const [u, v, anchor] of places) {
      const from = anchor === "start" ? u : anchor === "end" ? u - long : u - long / 2;
      const box = [from, v - 12, from + long, v + 4];
      if (!free(box) || (!look.includes("ul-strong") && covers(box, x, y))) continue;
      taken.push(box);
      node.append(shape("text", { class: look, x: u, y: v, "text-anchor": anchor }, name));
      break;
    }
  }
}
