// Several methods on one sentence: the same words, line under line, each with its score and each method with its gap.
import { buttons, choice, controls, element, heat, number, percent } from "./common.js";

const CORPORA = { sst2: "SST-2-style", rotten_tomatoes: "Rotten-Tomatoes-style" };

export function build({ panel, data, options, say }) {
  const redraw = () => draw();
  const groups = Object.entries(CORPORA).map(([corpus, title]) => ({
    group: title,
    options: data.sentences.flatMap((s, i) => (s.corpus === corpus ? [[String(i), s.text]] : [])),
  }));
  const sentence = choice("Sentence", groups, options.sentence, redraw);
  const baseline = buttons("Baseline", [["mask", "[MASK]"], ["pad", "[PAD]"]], options.baseline ?? "mask", redraw);
  const wanted = (options.methods ?? "ig,udig,sig").split(",");
  const methods = buttons("Methods", Object.entries(data.methods), wanted, redraw, true);
  const verdict = element("p", { class: "ul-readout" });
  const rows = element("div", { class: "ul-rows" });
  const key = element("p", { class: "ul-small" }, "Orange, solid line: for the class; blue, dashed line: against it.");
  panel.append(controls(sentence, baseline, methods), verdict, rows, key);

  function draw() {
    const chosen = data.sentences[Number(sentence.value())];
    const place = chosen.by[baseline.value()];
    const right = chosen.class === chosen.label;
    verdict.textContent =
      `The model says “${chosen.target}” with probability ${number(chosen.p, 3)}, which is ${right ? "right" : "wrong"} ` +
      `(trait: ${chosen.about}). F(x) − F(x′) = ${number(place.change)}.`;
    const names = methods.values();
    rows.replaceChildren(...names.map((name) => row(name, data.methods[name], chosen.words, place)));
    if (!names.length) rows.replaceChildren(element("p", {}, "Choose at least one method."));
    say(`${verdict.textContent} ${names.map((name) => spoken(data.methods[name], chosen.words, place.scores[name])).join(" ")}`);
  }
  return draw;
}

const total = (scores) => scores.reduce((sum, v) => sum + v, 0);

/** What a method says in short: its highest word. */
function spoken(title, words, scores) {
  const best = scores.indexOf(Math.max(...scores));
  return `${title}: highest ${words[best]}, ${number(scores[best], 2, true)}.`;
}

/** A method's line: title, gap, and the words on their colours with the scores below them. */
function row(name, title, words, place) {
  const scores = place.scores[name];
  const top = Math.max(...scores.map(Math.abs)) || 1;
  const gap = total(scores) - place.change;
  const sum = `sum ${number(total(scores), 2, true)}, gap Δ ${number(gap, 2, true)} (${percent(Math.abs(gap / place.change))})`;
  const told = name === "random" ? "the control: there is nothing its sum should be" : sum;
  const items = words.map((word, i) =>
    element("li", {}, heat(element("bdi", {}, word), scores[i] / top), element("small", {}, number(scores[i], 2, true))),
  );
  return element(
    "section", { class: "ul-method" },
    element("p", { class: "ul-method-name" }, element("strong", {}, title), ` ${told}`),
    element("ul", { class: "ul-heatline", "aria-label": `Scores by ${title}` }, ...items),
  );
}
