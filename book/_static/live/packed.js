// Files as scripts/live_model.py packs them: gzip, and for 16-bit numbers all even bytes before all odd ones.

/** Fetch a file; `onBytes(n)` is told of every piece that arrives. */
export async function bytes(url, onBytes) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`the file ${url.pathname.split("/").pop()} is missing`);
  const reader = answer.body.getReader();
  const pieces = [];
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    pieces.push(piece.value);
    onBytes(piece.value.length);
  }
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

/** Undo gzip, unless a server has done so on the way. */
export async function unzipped(content) {
  if (content[0] !== 0x1f || content[1] !== 0x8b) return content;
  const stream = new Blob([content]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Undo `packed`. */
export async function unpacked(content) {
  const planes = await unzipped(content);
  const half = Math.ceil(planes.length / 2);
  const found = new Uint8Array(planes.length);
  for (let i = 0; i < half; i++) found[2 * i] = planes[i];
  for (let i = half; i < planes.length; i++) found[2 * (i - half) + 1] = planes[i];
  return found;
}
