// Anchor words of UDIG: the counterpart of udig_lab/methods/anchors.py, for its greedy strategy and all rows as candidates.
import { monotone, upscale } from "./paths.js";

export const BASELINE_ANCHOR = -1; // stands for the baseline where no candidate was left

/**
 * Words near evenly spaced points of the straight line (Sinha Roy & Kundu 2024, §3): the word itself, then m anchors.
 * At each point the nearest rows compete, without those already used and without the baseline's own row.
 */
export function udigAnchors(vocabulary, id, baseline, baselineId, { nSteps, nNeighbors, atBaseline }) {
  const word = vocabulary.row(id);
  const positions = Array.from({ length: nSteps }, (_, i) => (nSteps - i) / (nSteps + 1)); // from the word's side
  const near = vocabulary.nearestOnSegment(atBaseline, vocabulary.distances(word), positions, nNeighbors);
  const barred = new Set([id, baselineId]);
  const chosen = [id];
  let current = word;
  for (const rows of near) {
    let best = BASELINE_ANCHOR;
    let least = Infinity;
    for (const row of rows) {
      if (barred.has(row)) continue;
      const cost = greedyCost(vocabulary.row(row), current, baseline, nSteps);
      if (cost < least) [best, least] = [row, cost];
    }
    current = best === BASELINE_ANCHOR ? baseline : vocabulary.row(best);
    barred.add(best);
    chosen.push(best);
  }
  return chosen;
}

/** Squared distance from a candidate to its own monotone version. */
function greedyCost(candidate, current, baseline, m) {
  let cost = 0;
  for (let d = 0; d < candidate.length; d++) {
    const [x, here, end] = [candidate[d], current[d], baseline[d]];
    if ((x >= here && x <= end) || (x <= here && x >= end)) continue;
    const change = x - (here - (here - end) / m);
    cost += change * change;
  }
  return cost;
}

/** The monotone path of a word, baseline first: 2^factor (m + 1) + 1 corners. */
export function vertices(vocabulary, anchors, baseline, factor) {
  const rows = anchors.map((row) => (row === BASELINE_ANCHOR ? baseline : vocabulary.row(row)));
  return upscale(monotone(rows, baseline), factor);
}
