// What the live page shows of an answer: the verdict, the meter and what to think of its gap, words to mask, anchors.
import { choice, element, heat, number, quoted } from "./common.js";
import { BASELINES } from "./share.js";

const SMALL = 0.1; // a gap below this share of F(x) - F(x') needs no remark
const WORD = /^(##)?([A-Za-z]+(['’-][A-Za-z]+)*|[0-9]+)$/; // what a reader would call a word, as in udig_lab/model/vocabulary.py

// Why the scores of a method miss F(x) - F(x').
const REASONS = {
  gradient_x_input: "It knows the slope of F at your sentence only, and F bends on the way to the baseline.",
  ig: "More steps make it smaller.",
  udig:
    "Its path makes long steps, and the gradient where a step begins stands for all of it. In the package, shorter steps " +
    "(factor=5) with a better rule (rule=\"trapezoid\") close this gap; more anchors need not.",
  sig:
    "That is its design: every token is taken out alone, so what tokens do together is counted twice, or not at all. No " +
    "setting changes that.",
  both_ends:
    "That is its design: every token is taken out alone and put in alone, which tells less than all orders would. No " +
    "number of steps changes that.",
};

const sum = (values) => values.reduce((total, v) => total + v, 0);

/** The answer in one sentence. */
export function summary({ target, probability, tokens, scores, moving }) {
  const words = scores.flatMap((score, i) => (moving[i] ? [[score, tokens[i]]] : []));
  const [score, word] = words.reduce((best, pair) => (pair[0] > best[0] ? pair : best));
  return `The model says “${target}” with probability ${number(probability, 3)}. Highest score: ${quoted(word)}, ${number(score, 2, true)}.`;
}

/** Everything that is shown of an answer. */
export function shown(answer, { method, baseline }, ask, say) {
  const { tokens, scores, fInput, fBaseline, evaluations, gradients, seconds, anchors } = answer;
  const [one, many] = gradients ? ["gradient", "gradients"] : ["forward pass", "forward passes"];
  const cost = `${evaluations} ${evaluations === 1 ? one : many}`;
  const change = fInput - fBaseline;
  const parts = [
    element("p", { class: "ul-readout" }, `${summary(answer)} Computed on your device: ${cost}, ${number(seconds, 2)} s.`),
    ...meter(sum(scores), change),
    remark(method, scores, change),
    words(answer, ask, say),
    element(
      "p", { class: "ul-small" },
      "Orange, solid line: for the class; blue, dashed line: against it. Choose a word to mask it and ask the model again.",
    ),
  ];
  if (tokens.includes("[UNK]")) {
    parts.push(element("p", { class: "ul-small" }, "[UNK] stands for something that the model has no token for."));
  }
  if (anchors) parts.push(paths(answer, baseline));
  return parts;
}

/** What a reader has to know of the gap; empty where the scores do share out the difference. */
function remark(method, scores, change) {
  const gap = Math.abs(sum(scores) - change);
  const times = gap / Math.abs(change);
  if (!(times > SMALL)) return element("p", { class: "ul-remark", hidden: true });
  const little = Math.abs(change) < 0.1 * sum(scores.map(Math.abs));
  let said = `The gap is ${number(100 * times, 0)} % of F(x) − F(x′).`;
  if (times > 1) {
    const size = change === 0 ? "F(x) − F(x′) is zero" : `The gap is ${number(times, 1)} times as large as F(x) − F(x′)`;
    said = `${size}: these scores are no shares of that difference.`;
  }
  if (little) said += " The model says nearly the same of the baseline, so there was little to share out.";
  const kind = times > 1 ? "ul-remark ul-wide" : "ul-remark";
  return element("p", { class: kind }, `${said} ${REASONS[method]}`);
}

/** A gauge: the bar is the sum of the scores, the mark is F(x) - F(x'). */
function meter(total, change) {
  const widest = Math.max(Math.abs(total), Math.abs(change), 1e-9) * 1.15;
  const low = Math.min(0, total, change) < 0 ? -widest : 0;
  const place = (v) => (100 * (v - low)) / (widest - low);
  const bar = element("div", { class: "ul-gauge-bar" });
  bar.style.left = `${Math.min(place(0), place(total))}%`;
  bar.style.right = "auto";
  bar.style.width = `${Math.abs(place(total) - place(0))}%`;
  const mark = element("div", { class: "ul-gauge-mark" }, element("span", {}, "F(x) − F(x′)"));
  mark.style.left = `${place(change)}%`;
  const rest = `${number(total, 3, true)}, F(x) − F(x′) is ${number(change, 3, true)}: gap Δ ${number(total - change, 3, true)}.`;
  const gauge = element("div", { class: "ul-gauge", role: "img", "aria-label": `The scores sum to ${rest}` }, bar, mark);
  const symbol = element("i", {}, "A", element("sub", {}, "i"));
  return [gauge, element("p", { class: "ul-sum" }, "The scores ", symbol, ` sum to ${rest}`)];
}

/** The tokens on their colours, each a button that masks it. */
function words({ ids, tokens, scores, moving, target, probability }, ask, say) {
  const top = Math.max(...scores.map(Math.abs)) || 1;
  const masked = new Set();
  const verdict = element("p", { class: "ul-readout ul-masking" }, "");
  let turn = 0;
  const again = () => {
    const own = ++turn;
    if (!masked.size) return void (verdict.textContent = "Nothing is masked.");
    ask({ ask: "predict", ids, masked: [...masked] }, ({ probabilities }) => {
      if (own !== turn) return;
      const names = [...masked].sort((a, b) => a - b).map((i) => tokens[i]);
      verdict.textContent =
        `With ${names.map(quoted).join(", ")} masked, the probability of “${target}” is ${number(probabilities[target], 3)}; ` +
        `it was ${number(probability, 3)}.`;
      say(verdict.textContent);
    });
  };
  const items = tokens.flatMap((token, i) => {
    if (!moving[i]) return [];
    const word = element("bdi", {}, token);
    const score = number(scores[i], 2, true);
    const button = element("button", { type: "button", class: "ul-token", "aria-pressed": "false", title: "Mask this word" }, word);
    button.setAttribute("aria-label", `${token}, ${score}; mask`);
    heat(word, scores[i] / top);
    button.addEventListener("click", () => {
      if (!masked.delete(i)) masked.add(i);
      button.setAttribute("aria-pressed", String(masked.has(i)));
      again();
    });
    return [element("li", {}, button, element("small", {}, score))];
  });
  return element("div", {}, element("ul", { class: "ul-heatline", "aria-label": "Scores; choose a word to mask it" }, ...items), verdict);
}

/** The words that a chosen token's path visits. */
function paths({ tokens, anchors, moving, scores }, baseline) {
  const list = element("ol", { class: "ul-anchors" });
  const entry = (name) => element("li", { class: WORD.test(name) && "ul-kind-word" }, element("bdi", {}, name));
  const draw = () => list.replaceChildren(...anchors[Number(which.value())].map(entry));
  const entries = tokens.flatMap((token, i) => (moving[i] ? [[String(i), token]] : []));
  const highest = String(scores.indexOf(Math.max(...scores.filter((_, i) => moving[i]))));
  const which = choice("Anchors on the path of", entries, highest, draw);
  draw();
  const end = BASELINES.find(([value]) => value === baseline)[1];
  const note =
    `From the word (left) to the baseline, ${end}. Near every point of the straight line between the two, 50 rows compete, ` +
    "and greedy takes the one that has to be bent least. A dashed frame: no word.";
  return element("div", {}, which.box, list, element("p", { class: "ul-small" }, note));
}
