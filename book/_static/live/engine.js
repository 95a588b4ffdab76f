// Evaluates line integrals: the counterpart of udig_lab/engine.py. Points go through the model in passes of bounded
// size; between two of them the caller may stop the work, and sees how far it is.

const TOKENS = 256; // in one pass: a third of a second, where no second thread helps

/** F of points, or with `target` also their gradients; `each(values, gradients, first, n)` sees every pass. */
async function inPasses(model, points, length, target, pause, each) {
  const room = Math.max(1, Math.floor(TOKENS / length));
  for (let first = 0; first < points.length; first += room) {
    await pause(first, points.length);
    const rows = points.slice(first, first + room);
    const { logits, gradient } = await model.run(rows, length, target);
    each(logits, gradient, first, rows.length);
  }
  await pause(points.length, points.length);
}

/** Sum over the path of gradient times weight: one score a token. */
export async function integrate(model, { points, weights }, length, target, pause) {
  const scores = new Float64Array(length);
  await inPasses(model, points, length, target, pause, (_, gradient, first, n) => {
    const width = gradient.length / n / length;
    for (let k = 0, place = 0; k < n; k++) {
      const weight = weights[first + k];
      for (let token = 0, own = 0; token < length; token++) {
        let sum = 0;
        for (let d = 0; d < width; d++) sum += gradient[place++] * weight[own++];
        scores[token] += sum;
      }
    }
  });
  return scores;
}

/** All logits of points, row by row. */
export async function values(model, points, length, pause) {
  const found = [];
  await inPasses(model, points, length, 0, pause, (logits, _, first, n) => {
    const classes = logits.length / n;
    for (let k = 0; k < n; k++) found.push(Array.from(logits.subarray(k * classes, (k + 1) * classes)));
  });
  return found;
}
