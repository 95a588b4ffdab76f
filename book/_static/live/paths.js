// Paths from the baseline to the explicand as weighted points: the counterpart of udig_lab/paths.py, function by
// function. An embedded text of L tokens is one Float32Array of L * D numbers; so are the points and weights of a path,
// of which there are K.
import { polylineRule, segmentRule } from "./quadrature.js";

/** The straight line from baseline to explicand: Integrated Gradients (Sundararajan et al. 2017, eq. 1). */
export function straight(explicand, baseline, { nSteps, rule }) {
  const { nodes, weights } = segmentRule(rule, nSteps);
  const difference = explicand.map((x, d) => x - baseline[d]);
  return {
    points: Array.from(nodes, (t) => baseline.map((start, d) => start + t * difference[d])),
    weights: Array.from(weights, (w) => difference.map((x) => w * x)),
  };
}

/** A path through given corners, baseline first, explicand last; the gradient is taken where each piece begins. */
export const polyline = (vertices) => polylineRule(vertices);

/**
 * Bend a walk through anchor words until every coordinate is monotone (Sanyal & Ren 2021, §3.2): the word itself and its
 * m anchors in, the path from the baseline to the word out, all as rows of D numbers.
 */
export function monotone(anchors, baseline) {
  const m = anchors.length - 1;
  const points = [anchors[0]];
  for (let step = 1; step <= m; step++) {
    const previous = points[step - 1];
    points.push(
      anchors[step].map((anchor, d) => {
        const between = (anchor - previous[d]) * (anchor - baseline[d]) <= 0;
        return between ? anchor : previous[d] - (previous[d] - baseline[d]) / m;
      }),
    );
  }
  return [baseline, ...points.reverse()];
}

/** Insert the mid-point of every piece, `factor` times: P corners become 2^factor (P - 1) + 1. */
export function upscale(vertices, factor) {
  for (let turn = 0; turn < factor; turn++) {
    vertices = vertices.flatMap((corner, k) =>
      k ? [corner.map((end, d) => (end + vertices[k - 1][d]) / 2), corner] : [corner],
    );
  }
  return vertices;
}
