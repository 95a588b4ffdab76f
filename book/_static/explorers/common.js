// What the explorers share: data, controls, charts, announcements. Text that comes from data goes into text nodes, never
// into markup. Controls are the browser's own, so that keyboard, touch and screen readers work as everywhere else.

let instances = 0; // ids must differ when a page shows an explorer twice

const make = (node, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children); // strings become text nodes
  return node;
};

/** An HTML element; attributes that are false or null are left out. */
export const element = (name, attributes = {}, ...children) => make(document.createElement(name), attributes, children);

/** An SVG element. */
export const shape = (name, attributes = {}, ...children) =>
  make(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

/** A quoted name; the isolating marks keep right-to-left words of the vocabulary from turning the sentence round. */
export const quoted = (name) => `\u2068“${name}”\u2069`;

/** A number with a true minus sign, which is also what screen readers say. */
export const number = (value, digits = 2, sign = false) => {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text; // no “−0.00”
  return (value < 0 ? "−" : sign ? "+" : "") + text;
};

export const percent = (share) => (Number.isFinite(share) ? `${number(100 * share, share < 0.1 ? 1 : 0)} %` : "∞");

/** Put an explorer into its block. The static content gives way only when all of it stands. */
export async function mount(root, name, build) {
  const answer = await fetch(new URL(`data/${name}.json`, import.meta.url));
  if (!answer.ok) throw new Error(`${name}.json: ${answer.status}`);
  const data = await answer.json();
  const title = root.dataset.title ?? name;
  const panel = element("div", { class: "ul-explorer", role: "group", "aria-label": title });
  const live = element("p", { class: "ul-live", role: "status" });
  let waiting;
  let silent = true; // what a page shows at first, or after a turn of the phone, is read like any text
  const say = (text) => {
    if (silent) return;
    clearTimeout(waiting); // while a slider moves, only where it comes to rest is announced
    waiting = setTimeout(() => (live.textContent = text), 400);
  };
  const before = [...root.childNodes];
  root.append(panel); // charts ask how wide it is
  try {
    const draw = build({ panel, data, options: root.dataset, say });
    panel.append(live);
    draw();
    silent = false;
    let width = panel.clientWidth;
    new ResizeObserver(() => {
      if (!panel.clientWidth || panel.clientWidth === width) return;
      width = panel.clientWidth;
      silent = true;
      draw();
      silent = false;
    }).observe(panel);
  } catch (error) {
    panel.remove();
    throw error;
  }
  setAside(before, panel);
  root.dataset.state = "live";
}

/** Tables stay within reach, folded; pictures have been replaced. */
function setAside(nodes, panel) {
  const hasTable = nodes.some((n) => n.querySelector?.("table"));
  const box = element(hasTable ? "details" : "div", { class: "ul-aside", hidden: !hasTable });
  if (hasTable) box.append(element("summary", {}, "Some of these numbers in a table"));
  box.append(...nodes);
  panel.after(box);
}

// --- Controls. Each is { box, value(), … }; `changed` is called after the reader has moved it.

/** A drop-down list; options are [value, text] or { group, options }. `wanted` is a value or a text. */
export function choice(label, options, wanted, changed) {
  const id = `ul-control-${++instances}`;
  const entry = ([value, text]) => element("option", { value }, text);
  const list = element("select", { id });
  for (const o of options) {
    list.append(o.group ? make(element("optgroup", { label: o.group }), {}, o.options.map(entry)) : entry(o));
  }
  const start = [...list.options].find((o) => o.value === wanted || o.textContent === wanted);
  if (start) list.value = start.value;
  list.addEventListener("change", changed);
  const box = element("div", { class: "ul-control" }, element("label", { for: id }, label), list);
  return { box, value: () => list.value };
}

/** Radio buttons in a row, or checkboxes with `many`. */
export function buttons(label, options, wanted, changed, many = false) {
  const name = `ul-control-${++instances}`;
  const box = element("fieldset", { class: "ul-control ul-buttons" }, element("legend", {}, label));
  const inputs = options.map(([value, text]) => {
    const checked = many ? wanted.includes(value) : value === wanted;
    const input = element("input", { type: many ? "checkbox" : "radio", name, value, checked });
    box.append(element("label", {}, input, element("span", {}, text)));
    input.addEventListener("change", changed);
    return input;
  });
  if (!many && !inputs.some((i) => i.checked)) inputs[0].checked = true;
  const values = () => inputs.filter((i) => i.checked).map((i) => i.value);
  const set = (value) => inputs.forEach((i) => (i.checked = i.value === value));
  return { box, values, value: () => values()[0], set };
}

/** A slider with its value beside it. `limits(min, max)` may change later; `show(text)` says the value in words. */
export function slider(label, { min, max, value }, changed) {
  const id = `ul-control-${++instances}`;
  const input = element("input", { type: "range", id, min, max, step: 1, value });
  const said = element("span", { class: "ul-value", "aria-hidden": "true" }); // screen readers have the value text
  input.addEventListener("input", changed);
  const box = element("div", { class: "ul-control ul-slider" }, element("label", { for: id }, label), input, said);
  return {
    box,
    input,
    label,
    value: () => Number(input.value),
    limits: (low, high) => Object.assign(input, { min: low, max: high }),
    show: (text) => {
      said.textContent = text;
      input.setAttribute("aria-valuetext", text);
    },
  };
}

/** A button that walks a slider to its end, and again from the start. */
export function player(control, pause = 350) {
  const { input } = control;
  const button = element("button", { type: "button", class: "ul-play" });
  const name = (verb) => {
    button.textContent = verb;
    button.setAttribute("aria-label", `${verb}: ${control.label}`);
  };
  name("Play");
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    name("Play");
  };
  const step = () => {
    if (Number(input.value) >= Number(input.max)) return stop();
    input.stepUp();
    input.dispatchEvent(new Event("input"));
  };
  button.addEventListener("click", () => {
    if (timer) return stop();
    if (Number(input.value) >= Number(input.max)) input.value = input.min;
    name("Pause");
    timer = setInterval(step, pause);
    step();
  });
  for (const event of ["pointerdown", "keydown"]) input.addEventListener(event, () => timer && stop());
  control.box.append(button);
}

/** The controls of an explorer, in a row that wraps. */
export const controls = (...parts) => element("div", { class: "ul-controls" }, ...parts.map((p) => p.box));

// --- Charts. Drawn in the pixels that there are, so that letters keep their size on a phone.

/** Axes with a linear scale each. `X` and `Y` turn values into pixels; `label` says what the chart shows. */
export function chart({ width, height, x, y, xTicks = [], yTicks = [], xLabel, yLabel, label, tick = String }) {
  const [left, right, top, bottom] = yTicks.length ? [48, 12, 24, 38] : [8, 12, 8, 8];
  const X = (v) => left + ((v - x[0]) / (x[1] - x[0])) * (width - left - right);
  const Y = (v) => height - bottom - ((v - y[0]) / (y[1] - y[0])) * (height - top - bottom);
  const node = shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  const write = (look, [u, v], anchor, text) =>
    node.append(shape("text", { class: look, x: u, y: v, "text-anchor": anchor }, text));
  for (const v of yTicks) {
    node.append(shape("line", { class: "ul-grid", x1: left, x2: width - right, y1: Y(v), y2: Y(v) }));
    write("ul-tick", [left - 6, Y(v) + 4], "end", tick(v));
  }
  for (const v of xTicks) write("ul-tick", [X(v), height - bottom + 16], "middle", String(v));
  if (xLabel) write("ul-axis", [width - right, height - 5], "end", xLabel);
  if (yLabel) write("ul-axis", [2, 13], "start", yLabel);
  return { node, X, Y, left, right: width - right, top, bottom: height - bottom };
}

/** About `count` round numbers between two ends. */
export function ticks([low, high], count = 4) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((s) => s * power >= raw);
  const [first, last] = [Math.ceil(low / step - 1e-9), Math.floor(high / step + 1e-9)];
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(6)));
}

/** The attribute `d` of a path through [x, y] in pixels. */
export const line = (points) => `M${points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L")}`;

/** The package's heat map (udig_lab/drawing/heatmap.py, udig_lab/drawing/colours.py): orange and solid for the class, blue and dashed against it. */
export function heat(node, shade) {
  const colour = `var(--ul-${shade >= 0 ? "positive" : "negative"})`;
  const size = Math.abs(shade);
  node.style.background = `rgba(${colour}, ${(0.55 * size).toFixed(2)})`;
  const thick = size > 0.5 ? 3 : size > 0.15 ? 2 : 0;
  node.style.borderBottom = `${thick}px ${shade >= 0 ? "solid" : "dashed"} rgb(${colour})`;
  node.style.marginBottom = `${3 - thick}px`; // what stands below stays in line
  return node;
}
