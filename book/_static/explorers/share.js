// A question to the live page as the part of an address behind its "#", and back. Browsers do not send that part to any
// server. What comes out of an address was written by anybody: only known names are taken, and the text stays text.

export const METHODS = [
  ["gradient_x_input", "Gradient × input"], ["ig", "IG"], ["udig", "UDIG"], ["sig", "SIG"], ["both_ends", "Both ends"],
];
export const BASELINES = [["mask", "[MASK]"], ["pad", "[PAD]"], ["zero", "zero vector"]];
export const STEPS = { min: 4, max: 64 };
export const isStepped = (method) => method === "ig" || method === "udig";

const known = (value, pairs) => (pairs.some(([name]) => name === value) ? value : null);

/** "#text=…&method=…": a question { text, method, baseline, nSteps } as a fragment. */
export function fragment({ text, method, baseline, nSteps }) {
  const parts = new URLSearchParams({ text, method, baseline });
  if (isStepped(method)) parts.set("steps", nSteps);
  return `#${parts}`;
}

/** The question in a fragment, null for what is missing or unknown in it; or null, where it is no question at all. */
export function question(hash) {
  const parts = new URLSearchParams(hash.replace(/^#/, ""));
  const text = parts.get("text");
  if (!text) return null;
  const steps = Math.round(Number(parts.get("steps") ?? NaN));
  return {
    text,
    method: known(parts.get("method"), METHODS),
    baseline: known(parts.get("baseline"), BASELINES),
    nSteps: steps >= STEPS.min && steps <= STEPS.max ? steps : null,
  };
}

/** A question in words. */
export function inWords({ text, method, baseline, nSteps }) {
  const name = (value, pairs) => pairs.find(([own]) => own === value)[1];
  const steps = isStepped(method) ? `, ${nSteps} steps` : "";
  const short = text.length > 60 ? `${text.slice(0, 60).trimEnd()}…` : text;
  return `${name(method, METHODS)}, baseline ${name(baseline, BASELINES)}${steps}: \u2068“${short}”\u2069`;
}
