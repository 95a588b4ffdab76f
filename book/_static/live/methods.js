// The methods of the page: the counterpart of udig_lab/methods. Each turns a problem into points with weights, for the
// engine to follow, or, like SIG, into points at which F alone is needed.
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

/** Sequential IG in closed form: F(x) less F with one token at its baseline (Enguehard 2023, eq. 5). */
export function sig({ vocabulary, moving, explicand, baselineRow }) {
  const tokens = moving.flatMap((moves, i) => (moves ? [i] : []));
  const points = tokens.map((i) => {
    const left = explicand.slice();
    left.set(baselineRow, i * vocabulary.width);
    return left;
  });
  return { points, tokens };
}

export const METHODS = { gradient_x_input: gradientXInput, ig, udig, sig };
