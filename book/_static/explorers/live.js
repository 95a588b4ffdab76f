// A sentence of the reader's own, explained while they wait. All numbers come from a worker (../live/worker.js), which
// is started, and fetches the model, only when the reader asks for it, or opens a link that asks.
import { shown, summary } from "./answer.js";
import { buttons, choice, controls, element, number, slider } from "./common.js";
import { BASELINES, METHODS, STEPS, fragment, inWords, isStepped, question } from "./share.js";

const LONGEST = 2000; // characters
const MEGABYTE = 1e6;

export function build({ panel, data, options, say }) {
  const text = element("textarea", { id: "ul-live-text", rows: 2, spellcheck: "false", dir: "auto" });
  text.value = data.sentences[0];
  const own = element("div", { class: "ul-control ul-text" }, element("label", { for: text.id }, "Your sentence"), text);
  const picks = [["", "…"], ...data.sentences.map((sentence) => [sentence, sentence])];
  const pick = choice("Or one of ours", picks, "", () => {
    if (pick.value()) text.value = pick.value();
    mark();
  });
  const method = buttons("Method", METHODS, options.method ?? "ig", () => adapt());
  const baseline = buttons("Baseline", BASELINES, options.baseline ?? "mask", () => mark());
  const steps = slider("Steps", { ...STEPS, value: options.steps ?? 32 }, () => adapt());
  const go = element("button", { type: "submit", class: "ul-go" }, "Explain");
  const form = element("form", {}, controls({ box: own }, pick, method, baseline, steps), go);
  const bar = element("progress", { max: 1, value: 0, "aria-label": "Progress" });
  const doing = element("span", {});
  const progress = element("p", { class: "ul-progress", hidden: true }, bar, doing);
  const trouble = element("p", { class: "ul-trouble", role: "alert" });
  const stale = element("p", { class: "ul-stale", hidden: true });
  const result = element("div", { class: "ul-result" });
  panel.append(form, progress, trouble, stale, result);

  let worker = null;
  let asked = 0;
  let answered = null; // the question whose answer is shown
  const waiting = new Map(); // id of a question -> what to do with its answer

  function ask(what, onAnswer) {
    worker ??= start();
    worker.postMessage({ id: ++asked, ...what });
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
    show(null, []);
    trouble.textContent = sentence;
  }

  function show(asking, parts) {
    answered = asking;
    result.replaceChildren(...parts);
    mark();
  }

  const current = () => {
    const chosen = { text: text.value.trim(), method: method.value(), baseline: baseline.value() };
    return { ...chosen, nSteps: isStepped(chosen.method) ? steps.value() : null };
  };

  /** What is shown may answer another question than the one that stands in the form: then it says so. */
  const mark = () => {
    const old = answered !== null && JSON.stringify(answered) !== JSON.stringify(current());
    if (old === !stale.hidden) return;
    stale.hidden = !old;
    result.classList.toggle("ul-old", old);
    stale.textContent = old ? `An old answer, to ${inWords(answered)}. Press Explain for what you have chosen now.` : "";
    if (old) say("The answer below is old. Press Explain again.");
  };

  const adapt = () => {
    const stepped = isStepped(method.value());
    steps.input.disabled = !stepped;
    steps.show(stepped ? steps.input.value : "none");
    mark();
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    trouble.textContent = "";
    const asking = current();
    if (!asking.text) return fail("There is nothing to explain yet: write at least one word.");
    if (asking.text.length > LONGEST) {
      return fail(`Your text has ${asking.text.length} characters; this page takes at most ${LONGEST}. Shorten it.`);
    }
    advance({ what: "Starting", share: 0 });
    say("Working.");
    ask({ ask: "explain", ...asking }, (answer) => {
      go.textContent = "Explain";
      show(asking, [...shown(answer, asking, ask, say), sharing(asking, say)]);
      // All digits, for tests and for whoever opens the inspector.
      result.dataset.answer = JSON.stringify({ tokens: answer.tokens, scores: answer.scores, seconds: answer.seconds });
      say(summary(answer));
    });
  });
  text.addEventListener("input", mark);
  // Enter explains, as in a search field; a new line in a sentence means nothing to the model.
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });

  /** A question that came with the address is put into the form, and asked. */
  const opened = () => {
    const given = question(location.hash);
    if (!given) return;
    text.value = given.text;
    method.set(given.method ?? method.value());
    baseline.set(given.baseline ?? baseline.value());
    steps.input.value = given.nSteps ?? steps.input.value;
    adapt();
    form.requestSubmit();
  };
  addEventListener("hashchange", opened);
  setTimeout(opened); // once the explorer stands

  if (options.bytes) go.textContent = `Explain (loads ${number(options.bytes / MEGABYTE, 0)} MB, once)`;
  return adapt;
}

/** A link to a question, and a button that copies it. */
function sharing(asking, say) {
  const link = element("a", { href: fragment(asking) }, "Link to this answer");
  const copy = element("button", { type: "button", class: "ul-play ul-copy" }, "Copy the link");
  const done = element("span", {});
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(link.href);
      done.textContent = "Copied.";
    } catch {
      done.textContent = "This browser does not let the page copy: take the link's address from its menu.";
    }
    say(done.textContent);
  });
  const note = "It carries your sentence behind the “#”, which browsers do not send to a server.";
  return element("p", { class: "ul-share" }, link, copy, done, element("small", { class: "ul-small" }, note));
}
