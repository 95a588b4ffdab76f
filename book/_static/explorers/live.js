// A sentence of the reader's own, explained while they wait. All numbers come from a worker (../live/worker.js), which
// is started, and fetches the model, only when the reader asks for it.
import { buttons, choice, controls, element, heat, number, quoted, slider } from "./common.js";

const LONGEST = 2000; // characters
const MEGABYTE = 1e6;
const METHODS = [["gradient_x_input", "Gradient × input"], ["ig", "IG"], ["udig", "UDIG"], ["sig", "SIG"]];
const BASELINES = [["mask", "[MASK]"], ["pad", "[PAD]"], ["zero", "zero vector"]];
const STEPPED = ["ig", "udig"];
const WORD = /^(##)?([A-Za-z]+(['’-][A-Za-z]+)*|[0-9]+)$/; // what a reader would call a word, as in udig_lab/model/vocabulary.py

export function build({ panel, data, options, say }) {
  const text = element("textarea", { id: "ul-live-text", rows: 2, spellcheck: "false", dir: "auto" });
  text.value = data.sentences[0];
  const own = element("div", { class: "ul-control ul-text" }, element("label", { for: text.id }, "Your sentence"), text);
  const picks = [["", "…"], ...data.sentences.map((sentence) => [sentence, sentence])];
  const pick = choice("Or one of ours", picks, "", () => pick.value() && (text.value = pick.value()));
  const method = buttons("Method", METHODS, options.method ?? "ig", () => adapt());
  const baseline = buttons("Baseline", BASELINES, options.baseline ?? "mask", () => {});
  const steps = slider("Steps", { min: 4, max: 64, value: options.steps ?? 32 }, () => adapt());
  const go = element("button", { type: "submit", class: "ul-go" }, "Explain");
  const form = element("form", {}, controls({ box: own }, pick, method, baseline, steps), go);
  const bar = element("progress", { max: 1, value: 0, "aria-label": "Progress" });
  const doing = element("span", {});
  const progress = element("p", { class: "ul-progress", hidden: true }, bar, doing);
  const trouble = element("p", { class: "ul-trouble", role: "alert" });
  const result = element("div", { class: "ul-result" });
  panel.append(form, progress, trouble, result);

  let worker = null;
  let asked = 0;
  const waiting = new Map(); // id of a question -> what to do with its answer

  function ask(question, onAnswer) {
    worker ??= start();
    worker.postMessage({ id: ++asked, ...question });
    waiting.set(asked, onAnswer);
  }

  function start() {
    const made = new Worker(new URL("../live/worker.js", import.meta.url), { type: "module" });
    made.onmessage = ({ data: { id, progress: share, answer, error, superseded } }) => {
      if (share) return id === asked && advance(share);
      const onAnswer = waiting.get(id);
      waiting.delete(id);
      if (superseded) return;
      if (id === asked) progress.hidden = true;
      if (error) fail(error);
      else onAnswer(answer);
    };
    made.onerror = () => {
      worker = null; // the next question tries again
      fail("The live model could not be started: a script is missing, or this browser is too old for it.");
    };
    return made;
  }

  function advance({ what, share }) {
    progress.hidden = false;
    bar.value = share;
    const size = what.startsWith("Loading") && options.bytes ? ` (${number(options.bytes / MEGABYTE, 0)} MB, once)` : "";
    doing.textContent = `${what}${size}: ${number(100 * share, 0)} %`;
  }

  function fail(sentence) {
    progress.hidden = true;
    result.replaceChildren();
    trouble.textContent = sentence;
  }

  const adapt = () => {
    const stepped = STEPPED.includes(method.value());
    steps.input.disabled = !stepped;
    steps.show(stepped ? steps.input.value : "none");
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    trouble.textContent = "";
    const written = text.value.trim();
    if (!written) return fail("There is nothing to explain yet: write at least one word.");
    if (written.length > LONGEST) {
      return fail(`Your text has ${written.length} characters; this page takes at most ${LONGEST}. Shorten it.`);
    }
    const settings = { method: method.value(), baseline: baseline.value(), nSteps: steps.value() };
    advance({ what: "Starting", share: 0 });
    say("Working.");
    ask({ ask: "explain", text: written, ...settings }, (answer) => {
      go.textContent = "Explain";
      result.replaceChildren(...shown(answer, settings, ask, say));
      // All digits, for tests and for whoever opens the inspector.
      result.dataset.answer = JSON.stringify({ tokens: answer.tokens, scores: answer.scores, seconds: answer.seconds });
      say(summary(answer));
    });
  });
  // Enter explains, as in a search field; a new line in a sentence means nothing to the model.
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });

  if (options.bytes) go.textContent = `Explain (loads ${number(options.bytes / MEGABYTE, 0)} MB, once)`;
  return adapt;
}

const sum = (values) => values.reduce((total, v) => total + v, 0);

/** The answer in one sentence. */
function summary({ target, probability, tokens, scores, moving }) {
  const words = scores.flatMap((score, i) => (moving[i] ? [[score, tokens[i]]] : []));
  const [score, word] = words.reduce((best, pair) => (pair[0] > best[0] ? pair : best));
  return `The model says “${target}” with probability ${number(probability, 3)}. Highest score: ${quoted(word)}, ${number(score, 2, true)}.`;
}

/** Everything that is shown of an answer. */
function shown(answer, { method, baseline }, ask, say) {
  const { tokens, scores, moving, fInput, fBaseline, evaluations, gradients, seconds, anchors } = answer;
  const [one, many] = gradients ? ["gradient", "gradients"] : ["forward pass", "forward passes"];
  const cost = `${evaluations} ${evaluations === 1 ? one : many}`;
  const parts = [
    element("p", { class: "ul-readout" }, `${summary(answer)} Computed on your device: ${cost}, ${number(seconds, 2)} s.`),
    ...meter(sum(scores), fInput - fBaseline),
    words(answer, ask, say),
    element(
      "p", { class: "ul-small" },
      "Orange, solid line: for the class; blue, dashed line: against it. Click a word to mask it and ask the model again.",
    ),
  ];
  if (tokens.includes("[UNK]")) {
    parts.push(element("p", { class: "ul-small" }, "[UNK] stands for something that the model has no token for."));
  }
  if (anchors) parts.push(paths(answer, baseline));
  if (method === "sig") parts.push(element("p", { class: "ul-small" }, "SIG's scores need not add up to the whole."));
  return parts;
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
  const said =
    `The scores sum to ${number(total, 3, true)}, F(x) − F(x′) is ${number(change, 3, true)}: ` +
    `gap Δ ${number(total - change, 3, true)}.`;
  return [element("div", { class: "ul-gauge", role: "img", "aria-label": said }, bar, mark), element("p", { class: "ul-sum" }, said)];
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
  const note = `From the word (left) to the baseline, ${end}. A dashed frame: no word.`;
  return element("div", {}, which.box, list, element("p", { class: "ul-small" }, note));
}
