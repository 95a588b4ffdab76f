// The embedding table as a space: the counterpart of udig_lab/model/vocabulary.py. Rows are whole numbers with a scale each;
// they become float32 only where they are needed, so that the table takes 23 MB of memory and not 47.

export class Vocabulary {
  /**
   * @param {Int16Array} codes V * D numbers
   * @param {Float32Array} scales V of them; code times scale is the entry
   * @param {(row: number) => string} name the token of a row
   */
  constructor(codes, scales, name) {
    this.codes = codes;
    this.scales = scales;
    this.name = name;
    this.size = scales.length;
    this.width = codes.length / scales.length;
    this.squaredNorms = Float32Array.from(scales, (_, row) => this.row(row).reduce((sum, x) => sum + x * x, 0));
  }

  /** A row of the table, D numbers. */
  row(number) {
    const start = number * this.width;
    const scale = this.scales[number];
    return Float32Array.from(this.codes.subarray(start, start + this.width), (code) => code * scale);
  }

  /** Word embeddings of L tokens, one behind the other. */
  embeddings(ids) {
    const found = new Float32Array(ids.length * this.width);
    ids.forEach((id, i) => found.set(this.row(id), i * this.width));
    return found;
  }

  /** Squared distances of a point to all rows, less the point's own squared length. */
  distances(point) {
    const { codes, scales, width, squaredNorms } = this;
    const found = new Float32Array(this.size);
    for (let row = 0, place = 0; row < found.length; row++) {
      let product = 0;
      for (let d = 0; d < width; d++) product += codes[place++] * point[d];
      found[row] = squaredNorms[row] - 2 * scales[row] * product;
    }
    return found;
  }

  /**
   * The k rows nearest to each of the points start + t (end - start), nearest first. In t the distances are straight
   * lines between those at both ends (up to what all rows share), so the table is read twice, however many points.
   *
   * @param {Float32Array} atStart `distances` of the start
   * @param {Float32Array} atEnd `distances` of the end
   */
  nearestOnSegment(atStart, atEnd, positions, k) {
    return Array.from(positions, (t) => smallest(atStart.map((from, row) => from + t * (atEnd[row] - from)), k));
  }
}

/** The indices of the k smallest values, in order. */
function smallest(values, k) {
  const best = []; // sorted, at most k
  for (let i = 0; i < values.length; i++) {
    if (best.length === k && values[i] >= values[best[k - 1]]) continue;
    let place = best.length === k ? k - 1 : best.length;
    while (place > 0 && values[best[place - 1]] > values[i]) {
      best[place] = best[place - 1];
      place--;
    }
    best[place] = i;
  }
  return best;
}
