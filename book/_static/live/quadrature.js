// Rules that turn an integral along a path into a weighted sum: the counterpart of udig_lab/quadrature.py.

/** Nodes and weights of an n-point rule on [0, 1]; the weights sum to 1. */
export function segmentRule(name, n) {
  if (name === "midpoint") {
    return { nodes: Float64Array.from({ length: n }, (_, i) => (i + 0.5) / n), weights: new Float64Array(n).fill(1 / n) };
  }
  if (name !== "gauss_legendre") throw new Error(`unknown rule ${name}; choose gauss_legendre or midpoint`);
  const nodes = new Float64Array(n);
  const weights = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    let x = -Math.cos((Math.PI * (i + 0.75)) / (n + 0.5)); // close to the i-th root of the Legendre polynomial
    let [value, slope] = legendre(n, x);
    for (let turn = 0; turn < 50 && Math.abs(value) > 1e-15 * Math.abs(slope); turn++) {
      x -= value / slope; // Newton's method
      [value, slope] = legendre(n, x);
    }
    nodes[i] = (x + 1) / 2;
    weights[i] = 1 / ((1 - x * x) * slope * slope);
  }
  return { nodes, weights };
}

/** The Legendre polynomial P_n and its derivative at x, by the three-term recurrence. */
function legendre(n, x) {
  let [before, value] = [1, x];
  for (let k = 2; k <= n; k++) [before, value] = [value, ((2 * k - 1) * x * value - (k - 1) * before) / k];
  return [value, (n * (x * value - before)) / (x * x - 1)];
}

/**
 * Points and weights along a polyline of P corners, each a Float32Array: one gradient at the start of every piece, as
 * published. The weights are displacements: they sum to the last corner less the first.
 */
export function polylineRule(vertices) {
  const points = vertices.slice(0, -1);
  const weights = points.map((corner, k) => vertices[k + 1].map((end, d) => end - corner[d]));
  return { points, weights };
}
