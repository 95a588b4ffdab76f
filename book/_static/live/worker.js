// Works beside the page, which stays free for the reader. Messages in: { id, ask, ... }; out: { id, progress | answer |
// error }. A newer "explain" ends an older one.
import { integrate, values } from "./engine.js";
import { METHODS } from "./methods.js";
import { Model, obstacle, softmax } from "./model.js";

const LONGEST = 128; // tokens, special ones included
let loading = null;
let latest = 0;

class Sentence extends Error {} // something that the reader can understand and mend

onmessage = async ({ data: { id, ask, ...question } }) => {
  if (ask === "explain") latest = id;
  const tell = (progress) => postMessage({ id, progress });
  try {
    const model = await ready(tell);
    postMessage({ id, answer: await ANSWERS[ask](model, question, pauses(id, ask, tell)) });
  } catch (error) {
    if (error === "superseded") postMessage({ id, superseded: true });
    else postMessage({ id, error: error instanceof Sentence ? error.message : `The page could not do it: ${error.message}.` });
  }
};

/** The model, loaded once; a failed attempt may be repeated. */
function ready(tell) {
  loading ??= (async () => {
    const why = await obstacle();
    if (why) throw new Sentence(`The live model is not available: ${why}.`);
    return Model.load((share) => tell({ what: "Loading the model", share }));
  })().catch((error) => {
    loading = null;
    throw error;
  });
  return loading;
}

/** Between two passes: let messages in, stop if a newer question has come, say how far this one is. */
function pauses(id, ask, tell) {
  return async (done, of, what = "Computing") => {
    await new Promise((resolve) => setTimeout(resolve));
    if (ask === "explain" && id !== latest) throw "superseded";
    tell({ what, share: done / of });
  };
}

const ANSWERS = { explain, predict };

/** Tokens of a text. Throws a Sentence when there is nothing, or too much. */
function encoded(model, text) {
  const { ids, moving } = model.encode(text);
  if (!moving.includes(true)) throw new Sentence("There is nothing to explain yet: write at least one word.");
  if (ids.length > LONGEST) {
    throw new Sentence(
      `Your text has ${ids.length - 2} tokens; this page explains at most ${LONGEST - 2}. Shorten it, or use the package.`,
    );
  }
  return { ids, moving };
}

/** Scores of a text, with everything the page says about them. */
async function explain(model, { text, method, baseline: name, nSteps }, pause) {
  const { vocabulary } = model;
  const { ids, moving } = encoded(model, text);
  const begin = performance.now();
  const baselineId = name === "zero" ? null : model.tokenizer.token_to_id(`[${name.toUpperCase()}]`);
  const baselineRow = baselineId === null ? new Float32Array(model.width) : vocabulary.row(baselineId);
  const explicand = vocabulary.embeddings(ids);
  const baseline = explicand.slice();
  moving.forEach((moves, i) => moves && baseline.set(baselineRow, i * model.width));
  const problem = { vocabulary, ids, moving, explicand, baseline, baselineRow, baselineId, nSteps };
  const ends = await values(model, [explicand, baseline], ids.length, pause);
  const target = ends[0].indexOf(Math.max(...ends[0]));
  const found = await METHODS[method](problem, pause);
  let scores;
  if (found.weights) scores = await integrate(model, found, ids.length, target, pause);
  else {
    const left = (await values(model, found.points, ids.length, pause)).map((logits) => logits[target]);
    scores = found.scores(left, { atInput: ends[0][target], atBaseline: ends[1][target] });
  }
  const names = (rows) => rows && rows.slice(1).map((row) => (row < 0 ? "the baseline" : vocabulary.name(row)));
  return {
    ids,
    moving,
    tokens: ids.map((id) => vocabulary.name(id)),
    scores: Array.from(scores),
    anchors: found.anchors?.map(names) ?? null,
    target: model.classes[target],
    probability: softmax(ends[0])[target],
    fInput: ends[0][target],
    fBaseline: ends[1][target],
    evaluations: found.points.length + (found.ends ?? 0),
    gradients: Boolean(found.weights),
    seconds: (performance.now() - begin) / 1000,
  };
}

/** Probabilities of all classes with some tokens masked. */
async function predict(model, { ids, masked }) {
  const mask = model.tokenizer.token_to_id("[MASK]");
  const changed = ids.map((id, i) => (masked.includes(i) ? mask : id));
  const [logits] = await values(model, [model.vocabulary.embeddings(changed)], ids.length, async () => {});
  return { probabilities: Object.fromEntries(softmax(logits).map((p, c) => [model.classes[c], p])) };
}
