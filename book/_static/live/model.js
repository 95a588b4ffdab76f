// The lab model in the browser: tokenizer, embedding table, and the graph that gives logits and gradients.
import { Vocabulary } from "./vocabulary.js";
import { bytes, unpacked, unzipped } from "./packed.js";

const FILES = new URL("files/", import.meta.url);
const FIXED = ["[CLS]", "[SEP]", "[PAD]", "[MASK]"]; // never explained; an unknown word is a word of the text

/** What stands in the way, in a sentence; or null. */
export async function obstacle() {
  if (typeof WebAssembly !== "object") return "this browser has no WebAssembly, which the model needs";
  if (typeof DecompressionStream !== "function") return "this browser is too old to unpack the model";
  const answer = await fetch(new URL("manifest.json", FILES));
  if (!answer.ok) return "its files are missing from this copy of the book";
  const { missing } = await answer.json();
  return missing ? `the book was built without it: ${missing}` : null;
}

export class Model {
  /** Fetch everything; `onProgress(share)` goes from 0 to 1. */
  static async load(onProgress) {
    const manifest = await (await fetch(new URL("manifest.json", FILES))).json();
    let arrived = 0;
    const count = (n) => onProgress((arrived += n) / manifest.bytes);
    const get = (name) => bytes(new URL(name, FILES), count);
    const json = async (name) => JSON.parse(new TextDecoder().decode(await unzipped(await get(name))));
    const [ort, tokenizers, runtime, graph, table, vocabulary, settings, config] = await Promise.all([
      import(new URL("onnxruntime-web.js", FILES)),
      import(new URL("tokenizers.js", FILES)),
      get("runtime.bin").then(unzipped),
      get("model.bin").then(unpacked),
      get("table.bin").then(unpacked),
      json("tokenizer.bin"),
      json("tokenizer_config.json"),
      json("config.json"),
    ]);
    Object.assign(ort.env.wasm, { wasmBinary: runtime, numThreads: 1, proxy: false }); // more threads need special headers
    const session = await ort.InferenceSession.create(graph, { executionProviders: ["wasm"] });
    const model = new Model(ort, session, new tokenizers.Tokenizer(vocabulary, settings), table, config);
    for (let turn = 0; turn < 2; turn++) await model.run(Array(8).fill(new Float32Array(16 * model.width)), 16, 0);
    return model;
  }

  constructor(ort, session, tokenizer, table, config) {
    Object.assign(this, { ort, session, tokenizer });
    this.width = config.hidden_size;
    this.classes = Object.values(config.id2label);
    this.fixed = new Set(FIXED.map((token) => tokenizer.token_to_id(token)));
    const [size, numbers] = [config.vocab_size, config.vocab_size * config.hidden_size];
    const codes = new Int16Array(table.buffer, 0, numbers);
    const scales = new Float32Array(table.buffer, 2 * numbers, size);
    this.vocabulary = new Vocabulary(codes, scales, (row) => tokenizer.id_to_token(row) ?? `row ${row}`);
  }

  /** Token ids of a text, and which of them may be explained. */
  encode(text) {
    const { ids } = this.tokenizer.encode(text);
    return { ids, moving: ids.map((id) => !this.fixed.has(id)) };
  }

  /** Points, each L * D numbers -> logits, n * classes, and gradients of the target's logit, n * L * D. */
  async run(points, length, target) {
    const { Tensor } = this.ort;
    const n = points.length;
    const together = new Float32Array(n * length * this.width);
    points.forEach((point, k) => together.set(point, k * length * this.width));
    const found = await this.session.run({
      embeddings: new Tensor("float32", together, [n, length, this.width]),
      attention_mask: new Tensor("int64", new BigInt64Array(n * length).fill(1n), [n, length]),
      target: new Tensor("float32", Float32Array.from(this.classes, (_, c) => Number(c === target)), [this.classes.length]),
    });
    return { logits: found.logits.data, gradient: found.gradient.data };
  }
}

/** Probabilities of a row of logits. */
export function softmax(logits) {
  const top = Math.max(...logits);
  const parts = logits.map((x) => Math.exp(x - top));
  const total = parts.reduce((sum, x) => sum + x, 0);
  return parts.map((x) => x / total);
}
