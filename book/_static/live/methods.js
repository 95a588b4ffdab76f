// The methods of the page: the counterpart of udig_lab/methods. Each turns a problem into points with weights, for the
// engine to follow, or, like SIG, into points at which F alone is needed, with `scores(values, { atInput, atBaseline })`,
// which makes scores of F there; `ends` says how many of F(x) and F(x') those need as well.
//
// UDIG looks for its anchors first, which takes a while; `pause` lets the page breathe, as in the engine.
//
// A problem is { vocabulary, ids, moving, explicand, baseline, baselineRow, baselineId, nSteps }: token ids; which of
// them move; x and x', L * D numbers each; the row that moving tokens are moved to, and its number if it has one.
import { udigAnchors, vertices } from "./anchors.js";
import { polyline, straight } from "./paths.js";

/** Gradient x input: one gradient at the input, times the way from the baseline. */
export function gradientXInput({ explicand, baseline }) {
  return { points: [explicand], weights: [explicand.map((x, d) => x - baseline[d])] };
}

/** Integrated Gradients with Gauss-Legendre nodes. */
export function ig({ explicand, baseline, nSteps }) {
  return straight(explicand, baseline, { nSteps, rule: "gauss_legendre" });
}

/** Uniform Discretized IG with the package's defaults but for the number of anchors. */
export async function udig(problem, pause) {
  const { vocabulary, ids, moving, explicand, baselineRow, baselineId, nSteps } = problem;
  const { width } = vocabulary;
  const atBaseline = vocabulary.distances(baselineRow);
  const search = { nSteps, nNeighbors: 50, atBaseline };
  const words = [...new Set(ids.filter((_, i) => moving[i]))]; // a word's path depends on nothing but the word
  const found = new Map();
  for (const id of words) {
    await pause(found.size, words.length, "Finding anchors");
    found.set(id, udigAnchors(vocabulary, id, baselineRow, baselineId, search));
  }
  const anchors = ids.map((id, i) => (moving[i] ? found.get(id) : null));
  const corners = Array.from({ length: 2 * (nSteps + 1) + 1 }, () => explicand.slice()); // special tokens stand still
  anchors.forEach((rows, i) => {
    if (rows) vertices(vocabulary, rows, baselineRow, 1).forEach((row, k) => corners[k].set(row, i * width));
  });
  return { ...polyline(corners), anchors };
}

/** Points at which some tokens are at the input and the others at the baseline, one for each set of tokens. */
function coalitions({ vocabulary, explicand, baseline }, sets) {
  const { width } = vocabulary;
  return sets.map((present) => {
    const point = baseline.slice();
    for (const i of present) point.set(explicand.subarray(i * width, (i + 1) * width), i * width);
    return point;
  });
}

const movers = (moving) => moving.flatMap((moves, i) => (moves ? [i] : []));

/** Sequential IG in closed form: F(x) less F with one token at its baseline (Enguehard 2023, eq. 5). */
export function sig(problem) {
  const tokens = movers(problem.moving);
  const points = coalitions(problem, tokens.map((i) => tokens.filter((other) => other !== i)));
  const scores = (left, { atInput }) => spread(problem, tokens, (k) => atInput - left[k]);
  return { points, ends: 1, scores };
}

/** Both ends: the mean of what a token takes away when it leaves the text, and brings when it comes alone. */
export function bothEnds(problem) {
  const tokens = movers(problem.moving);
  const alone = coalitions(problem, tokens.map((i) => [i]));
  const half = tokens.length;
  const scores = (found, { atInput, atBaseline }) =>
    spread(problem, tokens, (k) => (atInput - found[k] + (found[half + k] - atBaseline)) / 2);
  return { points: [...sig(problem).points, ...alone], ends: 2, scores };
}

/** A score for each of L tokens: zero where none moves. */
function spread({ moving }, tokens, score) {
  const scores = new Float64Array(moving.length);
  tokens.forEach((token, k) => (scores[token] = score(k)));
  return scores;
}

export const METHODS = { gradient_x_input: gradientXInput, ig, udig, sig, both_ends: bothEnds };
