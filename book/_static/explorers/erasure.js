// Take a method at its word: delete the words it scores highest, one after another, and watch the model change its mind.
import { buttons, chart, choice, controls, element, line, number, player, quoted, shape, slider } from "./common.js";

export function build({ panel, data, options, say }) {
  const redraw = () => draw();
  const list = data.texts.map((t, i) => [String(i), t.text]);
  const sentence = choice("Sentence", list, options.sentence, redraw);
  const method = buttons("Method", Object.entries(data.methods), options.method ?? "ig", redraw);
  const how = buttons("Words are", [["delete", "deleted"], ["mask", "replaced by [MASK]"]], "delete", redraw);
  const count = slider("Words taken k", { min: 0, max: 1, value: 1 }, redraw);
  player(count, 700);
  const words = element("p", { class: "ul-words" });
  const readout = element("p", { class: "ul-readout" });
  const figure = element("div", { class: "ul-charts" });
  panel.append(controls(sentence, method, how, count), words, readout, figure);
  count.limits(0, data.texts[0].pieces.length);
  count.input.value = options.k ?? 2;

  function draw() {
    const text = data.texts[Number(sentence.value())];
    const n = text.pieces.length;
    count.limits(0, n); // a shorter sentence pulls the slider back
    const k = count.value();
    const p = text.p[how.value()];
    const curve = p[method.value()];
    const order = text.orders[method.value()];
    count.show(`${k} of ${n}`);
    const gone = new Map(order.slice(0, k).map((place, rank) => [place, rank + 1]));
    words.replaceChildren(...text.pieces.flatMap((piece, i) => shown(piece, gone.get(i), how.value())));
    const lost = k ? ` Last taken: ${quoted(text.pieces[order[k - 1]].trim())}.` : "";
    const said =
      `${data.methods[method.value()]}, k = ${k}: probability of “${text.target}” ${number(curve[k])}. ` +
      `Random order on average ${number(p.mean[k])}, oracle ${number(p.oracle[k])}.${lost}`;
    readout.textContent = said;
    say(said);
    const name = data.methods[method.value()];
    figure.replaceChildren(legend(name, data.draws), curves(figure.clientWidth, p, curve, k, n, name, text.target));
  }
  return draw;
}

/** A piece of the sentence; one that is gone is struck through and numbered in the order of its going. */
function shown(piece, rank, how) {
  const space = piece.startsWith(" ") ? [" "] : [];
  const text = piece.trim();
  if (!rank) return [...space, element("span", {}, text)];
  const label = how === "mask" ? "[MASK]" : "";
  return [...space, element("del", { class: "ul-gone" }, text), label, element("sup", {}, String(rank))];
}

/** Probability against k: the method between the oracle and chance. */
function curves(width, p, curve, k, n, name, target) {
  const here = `${name}: ${number(curve[k])} at k = ${k}; random ${number(p.mean[k])}; oracle ${number(p.oracle[k])}.`;
  const c = chart({
    width, height: 300, x: [0, n], y: [0, 1],
    xTicks: [...Array(n + 1).keys()].filter((v) => width > 30 * n || v % 2 === 0),
    yTicks: [0, 0.25, 0.5, 0.75, 1],
    xLabel: "words taken k", yLabel: `probability of “${target}”`,
    label: `Probability against the number of words taken. ${here}`,
  });
  const at = (values) => values.map((v, i) => [c.X(i), c.Y(v)]);
  const draw = (kind, attributes, ...children) => c.node.append(shape(kind, attributes, ...children));
  draw("path", { class: "ul-band", d: `${line([...at(p.low), ...at(p.high).reverse()])}z` });
  draw("path", { class: "ul-line ul-chance", d: line(at(p.mean)) });
  draw("path", { class: "ul-line ul-oracle", d: line(at(p.oracle)) });
  draw("line", { class: "ul-now", x1: c.X(k), x2: c.X(k), y1: c.top, y2: c.bottom });
  draw("path", { class: "ul-line ul-one", d: line(at(curve)) });
  for (const [x, y] of at(curve)) draw("circle", { class: "ul-dot", cx: x, cy: y, r: 2.5 });
  draw("circle", { class: "ul-point", cx: c.X(k), cy: c.Y(curve[k]), r: 6 });
  return c.node;
}

/** A sample of each line with its name, as text that wraps. */
function legend(name, draws) {
  const chance = `random orders: mean of ${draws}, band: middle 80 %`;
  const entries = [["ul-one", name], ["ul-chance", chance], ["ul-oracle", "oracle: the best set found"]];
  const sample = (look) =>
    shape("svg", { width: 30, height: 10, "aria-hidden": "true" }, shape("path", { class: `ul-line ${look}`, d: "M1,5H29" }));
  return element("ul", { class: "ul-legend" }, ...entries.map(([look, text]) => element("li", {}, sample(look), text)));
}
