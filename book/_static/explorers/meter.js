// Integrated Gradients as a sum that the reader tunes: n slopes of F along the straight line, each as wide as its weight.
// The data hold the slopes; rules, weights and sums are computed here, because they are what is to be seen.
import { buttons, chart, choice, controls, element, line, number, percent, player, shape, slider, ticks } from "./common.js";

const even = (n, f) => Array.from({ length: n }, (_, i) => f(i));

// name -> (slopes of a case, n, Gauss-Legendre nodes and weights) -> nodes t, slopes g, weights w
const RULES = {
  left: (s, n) => ({ t: even(n, (i) => i / n), g: s.uniform[n - 1].slice(0, n), w: even(n, () => 1 / n) }),
  right: (s, n) => ({ t: even(n, (i) => (i + 1) / n), g: s.uniform[n - 1].slice(1), w: even(n, () => 1 / n) }),
  midpoint: (s, n) => ({ t: even(n, (i) => (i + 0.5) / n), g: s.midpoint[n - 1], w: even(n, () => 1 / n) }),
  trapezoid: (s, n) => ({
    t: even(n, (i) => i / (n - 1)),
    g: s.uniform[n - 2],
    w: even(n, (i) => (i % (n - 1) ? 1 : 0.5) / (n - 1)), // both ends count half
  }),
  gauss_legendre: (s, n, gauss) => ({ t: gauss.nodes[n - 1], g: s.gauss_legendre[n - 1], w: gauss.weights[n - 1] }),
};
const NAMES = Object.keys(RULES).map((rule) => [rule, rule === "gauss_legendre" ? "Gauss–Legendre" : rule]);

export function build({ panel, data, options, say }) {
  const texts = [...new Set(data.cases.map((c) => c.text))];
  const redraw = () => draw();
  const sentence = choice("Sentence", texts.map((t) => [t, t]), options.sentence ?? texts[0], redraw);
  const baseline = buttons("Baseline", [["mask", "[MASK]"], ["pad", "[PAD]"]], options.baseline ?? "mask", redraw);
  const rule = buttons("Rule", NAMES, options.rule ?? "left", redraw);
  const steps = slider("Steps n", { min: 1, max: 64, value: options.steps ?? 6 }, redraw);
  player(steps, 250);
  const gauge = element("div", { class: "ul-gauge" });
  const readout = element("p", { class: "ul-readout" });
  const charts = element("div", { class: "ul-charts" });
  panel.append(controls(sentence, baseline, rule, steps), gauge, readout, charts);

  function draw() {
    const found = data.cases.find((c) => c.text === sentence.value() && c.baseline === baseline.value());
    const least = rule.value() === "trapezoid" ? 2 : 1;
    steps.limits(least, 64);
    const n = steps.value();
    const goal = found.end - found.start;
    const at = (count) => RULES[rule.value()](found.slopes, count, data.gauss);
    const total = ({ g, w }) => g.reduce((sum, slope, i) => sum + slope * w[i], 0);
    const now = at(n);
    const sum = total(now);
    const gap = sum - goal;
    steps.show(n === 1 ? "1 step" : `${n} steps`);
    const text =
      `The sum of ${n === 1 ? "1 step" : `${n} steps`} is ${number(sum)}; F(x) − F(x′) is ${number(goal)}. ` +
      `Gap Δ = ${number(gap, 3, true)}, or ${percent(Math.abs(gap / goal))}.`;
    readout.textContent = text;
    say(text);
    showGauge(gauge, sum, goal);
    const wide = charts.clientWidth;
    const width = wide > 620 ? Math.floor((wide - 16) / 2) : wide;
    const gaps = even(65 - least, (i) => Math.abs(total(at(i + least)) - goal));
    charts.replaceChildren(slopes(width, found, now, n), gapChart(width, gaps, least, n, goal));
  }
  return draw;
}

/** A bar that should end where the mark stands. */
function showGauge(gauge, sum, goal) {
  const most = 1.5 * Math.abs(goal);
  const place = (v) => `${Math.max(0, Math.min(100, (100 * v * Math.sign(goal)) / most))}%`;
  const bar = element("span", { class: "ul-gauge-bar" });
  const mark = element("span", { class: "ul-gauge-mark" }, element("span", {}, "F(x) − F(x′)"));
  bar.style.width = place(sum);
  mark.style.left = place(goal);
  gauge.setAttribute("aria-hidden", "true"); // the sentence below says the same
  gauge.replaceChildren(bar, mark);
}

/** The slope of F along the line, and the n rectangles that stand for its integral. */
function slopes(width, found, { t, g, w }, n) {
  const curve = found.slopes.uniform[63];
  const all = [...curve, ...g, 0];
  const y = [Math.min(...all), Math.max(...all) * 1.08];
  const c = chart({
    width, height: 270, x: [0, 1], y, xTicks: [0, 0.5, 1], yTicks: ticks(y),
    xLabel: "t: from baseline to input", yLabel: "slope dF/dt",
    label:
      `Slope of F along the straight line, from ${number(curve[0])} at the baseline to ${number(curve[64])} at the input, ` +
      `with ${n} rectangles under it.`,
  });
  let left = 0;
  for (let i = 0; i < t.length; i++) {
    const [x1, x2] = [c.X(left), c.X(left + w[i])];
    const [y1, y2] = [c.Y(Math.max(0, g[i])), c.Y(Math.min(0, g[i]))];
    const wide = Math.max(0.5, x2 - x1 - (n < 40 ? 1 : 0)); // a gap between them, as long as there is room
    const look = g[i] >= 0 ? "ul-area" : "ul-area ul-against";
    c.node.append(shape("rect", { class: look, x: x1, y: y1, width: wide, height: y2 - y1 }));
    left += w[i];
  }
  c.node.append(shape("line", { class: "ul-zero", x1: c.left, x2: c.right, y1: c.Y(0), y2: c.Y(0) }));
  c.node.append(shape("path", { class: "ul-line ul-one", d: line(curve.map((s, i) => [c.X(i / 64), c.Y(s)])) }));
  if (n <= 32) t.forEach((v, i) => c.node.append(shape("circle", { class: "ul-dot", cx: c.X(v), cy: c.Y(g[i]), r: 3 })));
  return c.node;
}

/** The gap for every number of steps, on a logarithmic scale: how fast a rule converges, and where it does not. */
function gapChart(width, gaps, least, n, goal) {
  const log = (v) => Math.log10(Math.max(v, 1e-4)); // the data are rounded: below this there is nothing to see
  const y = [-4, Math.ceil(log(Math.max(...gaps, Math.abs(goal))))];
  const now = gaps[n - least];
  const c = chart({
    width, height: 270, x: [1, 64], y, xTicks: [1, 16, 32, 48, 64], yTicks: even(y[1] - y[0] + 1, (i) => y[0] + i),
    tick: (v) => (v < -3 ? "≤ 10⁻⁴" : String(10 ** v)),
    xLabel: "steps n", yLabel: "|Δ|",
    label: `Absolute gap for 1 to 64 steps, logarithmic: ${now.toPrecision(2)} with ${n}, ${gaps.at(-1).toPrecision(2)} with 64.`,
  });
  c.node.append(shape("path", { class: "ul-line ul-two", d: line(gaps.map((v, i) => [c.X(i + least), c.Y(log(v))])) }));
  c.node.append(shape("line", { class: "ul-now", x1: c.X(n), x2: c.X(n), y1: c.top, y2: c.bottom }));
  c.node.append(shape("circle", { class: "ul-point", cx: c.X(n), cy: c.Y(log(now)), r: 6 }));
  return c.node;
}
