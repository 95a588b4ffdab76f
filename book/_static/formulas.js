// A formula that is wider than the text is set smaller until it fits, down to 70 % of MathJax's own size (which is larger
// than the text's, as TeX's letters are small for theirs). If that does not do, as on phones, it is broken into lines: where
// its author left a wide space, else before a relation, else before a sum's next term, within large brackets at the very
// last. Its source stays as it is, for Colab and for desks. What can not be broken still scrolls.
{
  const SMALLEST = 0.7;
  const COMFORT = 0.85; // lines are filled as if formulas were set so small
  const [QUAD, NEXT, FIRST, TERM, INNER] = [1, 2, 3, 4, 5]; // places to break at, the best first
  const RELATIONS = /^(=|\\(approx|le|ge|ne|equiv|propto|overset|Longrightarrow|longrightarrow|xrightarrow))$/;
  const ALONE = /^\s*(\\Longrightarrow|\\overset\{.*\}\{=\})\s*$/s; // stands before what it leads to
  const TERMS = /^([+-]|\\(cup|setminus|odot|cdot))$/;
  const GROUP = /^(\{|\\(begin|left))$/; // nothing in it can be broken
  const GROUP_END = /^(\}|\\(end|right))$/;
  const BRACKET = /^([([]|\\(\{|lvert|lVert|langle|[bB]igg?l))$/;
  const BRACKET_END = /^([)\]]|\\(\}|rvert|rVert|rangle|[bB]igg?r))$/;
  const TOKEN = /\\[a-zA-Z]+|\\.|\s+|./gsu;

  // TeX as pieces between places to break at: {tex, at}, `at` being the kind of the place before it. Null: do not break.
  const pieces = (tex, start = QUAD) => {
    const found = [{ tex: "", at: start }];
    let [groups, brackets] = [0, 0]; // so many are open
    let before = ""; // the last token that is no space
    let large = false; // whether the bracket that is open is
    let related = false; // whether a relation came since the last wide space
    const place = (token) => {
      if (groups || brackets > 1) return 0;
      const term = TERMS.test(token) && before && !RELATIONS.test(before) && !BRACKET.test(before); // else it is a sign
      if (brackets) return term && large ? INNER : 0;
      if (/^\\q?quad$/.test(token)) return QUAD;
      if (RELATIONS.test(token)) return related ? NEXT : FIRST;
      return term ? TERM : 0;
    };
    for (const [token] of tex.matchAll(TOKEN)) {
      const at = place(token);
      if (at === QUAD) related = false;
      else if (at === NEXT || at === FIRST) related = true;
      const last = found.at(-1);
      if (at && ALONE.test(last.tex)) last.tex += "\\quad ";
      else if (at && last.tex.trim()) found.push({ tex: "", at });
      if (at === QUAD) before = "";
      if (at === QUAD) continue;
      if (!/^\\([bB]igg?[lr]|left|right)$/.test(before)) {
        groups += GROUP.test(token) - GROUP_END.test(token); // what follows \left or \bigl is part of it
        if (!brackets) large = /^\\Bigg?l$/.test(token);
        brackets += BRACKET.test(token) - BRACKET_END.test(token);
      }
      found.at(-1).tex += token;
      if (token.trim()) before = token;
    }
    return groups || brackets ? null : found.filter((piece) => piece.tex.trim());
  };

  // The same of a whole formula; one that its author aligned has a piece for every line, and for what stands beside it.
  const parts = (tex) => {
    const aligned = /^\s*\\begin\{aligned\}(.*)\\end\{aligned\}\s*$/s.exec(tex);
    if (!aligned) return pieces(tex);
    if (/\\(begin|substack)/.test(aligned[1])) return null; // "&" and "\\" may belong to a table within
    const found = [];
    for (const line of aligned[1].split(/\\\\(?:\[[^\]]*\])?/)) {
      const cells = line.split("&");
      for (let at = 0; at < cells.length; at += 2) {
        const follows = found.length && !cells[at].trim(); // a line goes on, or a remark stands beside it
        const own = pieces(cells.slice(at, at + 2).join(""), follows ? NEXT : QUAD);
        if (!own) return null;
        found.push(...own.map((piece, i) => (i ? piece : { ...piece, line: true, beside: follows && at > 0 })));
      }
    }
    return found;
  };

  const width = (some) => some.reduce((sum, piece) => sum + piece.width, 0);

  // Pieces as lines that have room, broken at as few and as good places as possible.
  const fill = (some, room) => {
    if (some.length < 2 || (width(some) <= room && !some.some((piece, at) => at && piece.line))) return [some];
    const rest = some.slice(1);
    const splits = rest.some((piece) => piece.line) ? (piece) => piece.line : (piece) => piece.at === best;
    const best = Math.min(...rest.map((piece) => piece.at));
    if (best === INNER && width(some) <= (room * COMFORT) / SMALLEST) return [some];
    const groups = [[some[0]]];
    for (const piece of rest) splits(piece) ? groups.push([piece]) : groups.at(-1).push(piece);
    const lines = [];
    for (const group of groups) {
      const last = lines.at(-1);
      if (last && !group[0].line && width([...last, ...group]) <= room) last.push(...group);
      else lines.push(...fill(group, room));
    }
    return lines;
  };

  const stacked = (lines, tag) => `\\begin{aligned}${lines.map((line) => `&${line}`).join("\\\\[0.4em]")}\\end{aligned}${tag}`;
  const written = (line) => {
    const indent = (line[0].at > QUAD ? "\\enspace{}" : "") + (line[0].beside ? "\\enspace " : "");
    return indent + line.map((piece, at) => (at && piece.at === QUAD ? "\\quad " : "") + piece.tex).join("");
  };

  // At the left, a number on the right takes its room once; a formula in the middle leaves as much on its other side.
  const typeset = (item, tex, side = "left") => {
    const book = MathJax.startup.document;
    const { options } = book.outputJax;
    const usual = options.displayAlign;
    item.math = tex;
    options.displayAlign = side;
    item.rerender(book, 20); // 20: from its source
    options.displayAlign = usual;
    book.addStyleSheet(); // for what the page had no need of so far
  };

  // The formula in lines for a box so wide, or null. It is set once with every piece on a line, to see how wide they are.
  const broken = (item, tex, box) => {
    const tag = /\\tag\{[^}]*\}/.exec(tex)?.[0] ?? "";
    const some = parts(tex.replace(tag, ""));
    if (!some || some.length < 2) return null;
    typeset(item, stacked(some.map((piece) => piece.tex), tag));
    const root = item.typesetRoot;
    const rows = [...root.querySelectorAll("mjx-itable")].map((table) => table.querySelectorAll(":scope > mjx-mtr"));
    const own = rows.find((found) => found.length === some.length);
    if (!own) return null;
    const range = document.createRange();
    const across = (element) => {
      range.selectNodeContents(element);
      return range.getBoundingClientRect().width;
    };
    const em = parseFloat(getComputedStyle(root).fontSize);
    const label = root.querySelector("mjx-labels mjx-mtd");
    own.forEach((row, at) => (some[at].width = across(row.lastElementChild) + 0.3 * em)); // and the space around a relation
    const room = box / COMFORT - (label ? across(label) + 0.8 * em : 0) - em;
    const joined = some.reduce((all, piece) => {
      const left = all.at(-1);
      const sum = left?.width + piece.width; // of a left side that, if short, has no line of its own
      if (piece.at !== FIRST || left.width > 3 * em || sum > (room * COMFORT) / SMALLEST) return [...all, piece];
      return [...all.slice(0, -1), { ...left, tex: left.tex + piece.tex, width: sum }];
    }, []);
    return stacked(fill(joined, room).map(written), tag);
  };

  const known = new WeakMap(); // by formula: its source, the width that it was set for, and whether it was set anew
  const shrink = (item, frame) => {
    const { typesetRoot: formula } = item;
    const plain = (formula.dataset.ulPlain ??= formula.style.fontSize || "100%");
    formula.style.fontSize = plain;
    const share = frame.clientWidth / Math.max(frame.scrollWidth, formula.scrollWidth, 1);
    if (share < 1) formula.style.fontSize = `calc(${Math.max(SMALLEST, share - 0.005)} * ${plain})`;
    return share;
  };
  const fit = () => {
    for (const item of MathJax.startup.document.math) {
      const frame = item.display && item.typesetRoot?.closest(".bd-article div.math");
      if (!frame?.clientWidth) continue; // in a fold
      const state = known.get(item) ?? { tex: item.math };
      if (state.box === frame.clientWidth) continue;
      known.set(item, state);
      state.box = frame.clientWidth;
      if (state.reset) typeset(item, state.tex, "center");
      state.reset = false;
      if (shrink(item, frame) >= SMALLEST) continue;
      const lines = broken(item, state.tex, state.box);
      typeset(item, lines ?? state.tex);
      state.reset = true;
      item.typesetRoot.toggleAttribute("data-ul-broken", lines !== null);
      shrink(item, frame);
    }
  };
  const begin = () =>
    window.MathJax?.startup?.promise?.then(() => {
      fit();
      addEventListener("resize", fit);
      document.addEventListener("toggle", fit, true); // formulas in a fold have a width once it is open
    });
  addEventListener("load", begin);
}
