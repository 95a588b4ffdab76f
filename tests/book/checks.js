// What the browser tests ask a page. `ready` and `reachable` are states to wait for; every other
// answer is a list of what is wrong, as text.
window.check = (() => {
  const label = (element) => {
    const kinds = typeof element.className === "string" ? element.className.trim().split(/\s+/).filter(Boolean) : [];
    const name = element.tagName.toLowerCase() + (element.id ? "#" + element.id : "") + kinds.map((k) => "." + k).join("");
    return `${name} "${element.textContent.trim().replace(/\s+/g, " ").slice(0, 60)}"`;
  };
  const shown = (element) => element.getClientRects().length > 0;
  const overflow = (element) => getComputedStyle(element).overflowX;
  const boxOf = (element, kinds) => {
    for (let box = element.parentElement; box && box !== article(); box = box.parentElement) {
      if (kinds.includes(overflow(box)) && getComputedStyle(box).display !== "inline") return box;
    }
    return null;
  };
  // Formulas are boxes of glyphs: the whole counts, not each of them.
  const parts = (root) => [...root.querySelectorAll("*")].filter((e) => shown(e) && !e.closest("mjx-container > *, svg *"));
  const article = () => document.querySelector("article") ?? document.querySelector("main");

  // Parts of the text that a box cuts off, or that stick out of the page; a box that scrolls may hold what it likes.
  const lost = (cutting, scrolling) => {
    const found = new Set();
    const edge = document.documentElement.clientWidth;
    for (const element of parts(document.querySelector(".bd-article-container") ?? article())) {
      if (element.closest(".visually-hidden, .sr-only, mjx-assistive-mml")) continue;
      const right = element.getBoundingClientRect().right;
      const box = boxOf(element, [...cutting, ...scrolling]);
      if (box && scrolling.includes(overflow(box))) continue;
      if (box && right > box.getBoundingClientRect().right + 1) found.add("cuts: " + label(box));
      else if (!box && right > edge + 1) found.add("sticks out: " + label(element));
    }
    return [...found];
  };

  // Colours and places are what they are going to be, at once.
  document.addEventListener("DOMContentLoaded", () => {
    const still = new CSSStyleSheet();
    still.replaceSync("*, ::before, ::after { transition: none !important; animation: none !important; }");
    document.adoptedStyleSheets.push(still);
  });

  let typeset = false;

  return {
    ready: () => {
      if (document.readyState !== "complete" || document.fonts.status !== "loaded") return false;
      if (!document.querySelector(".math")) return true;
      window.MathJax?.startup?.promise?.then(() => (typeset = true));
      return typeset;
    },

    // The theme makes boxes that scroll reachable by keyboard, a moment after something has changed.
    reachable: () =>
      [...document.querySelectorAll("pre, .cell_output > .output, .pst-scrollable-table-container")]
        .filter((e) => e.scrollWidth > e.clientWidth || e.scrollHeight > e.clientHeight)
        .every((e) => e.tabIndex === 0),

    // The code of cells that are not folded, and how high it stands, beside the height of the page.
    openCode: () => ({
      height: article().getBoundingClientRect().height,
      cells: [...article().querySelectorAll(".cell_input")]
        .filter((e) => shown(e) && !e.closest("details:not([open])"))
        .map((e) => [e.querySelector("pre").textContent, e.getBoundingClientRect().height]),
    }),

    brokenImages: () =>
      [...document.images].filter((i) => i.loading !== "lazy" && !(i.complete && i.naturalWidth)).map((i) => i.src.slice(0, 200)),

    untypesetMathematics: () => [...document.querySelectorAll(".math")].filter((m) => !m.querySelector("mjx-container")).map(label),

    wrongMathematics: () => [...document.querySelectorAll("mjx-merror, [data-mjx-error]")].map(label),

    // Nothing may scroll sideways but boxes within the text.
    sideways: () => {
      const found = lost(["hidden", "clip"], ["auto", "scroll"]);
      for (let frame = article(); frame; frame = frame.parentElement) {
        if (frame.scrollWidth > frame.clientWidth + 1)
          found.push(`${frame.tagName.toLowerCase()} is ${frame.scrollWidth} wide, shows ${frame.clientWidth}`);
      }
      return found;
    },

    // On paper no box can be scrolled.
    lostOnPaper: () => lost(["auto", "scroll", "hidden", "clip"], []),

    // Of every figure exactly the variant of the theme shows.
    wrongVariants: () => {
      const theme = document.documentElement.dataset.theme;
      return [...document.querySelectorAll(".ul-figure")]
        .filter((f) => !f.closest("details:not([open])"))
        .filter((f) => [...f.querySelectorAll("img")].some((i) => shown(i) !== i.classList.contains("ul-" + theme)))
        .map((f) => f.querySelector("img")?.alt.slice(0, 80) ?? "a figure without a picture");
    },

    // Marks three texts of each kind: same colours all the way up, same size and weight. Contrast is the same in all of a
    // kind, so axe need look at these only: at more than one and far apart, for it can not judge what is scrolled out of
    // its box, and none of a single sign. What is placed over other things is a kind of its own.
    markKinds: () => {
      const ways = new Map([[null, ""]]);
      const way = (element) => {
        if (!ways.has(element)) {
          const s = getComputedStyle(element);
          const placed = /absolute|fixed|sticky/.test(s.position) ? ways.size : "";
          const look = [s.color, s.backgroundColor, s.backgroundImage, s.opacity, s.filter, placed].join("|");
          const above = way(element.parentElement);
          ways.set(element, above.endsWith("\n" + look) ? above : `${above}\n${look}`);
        }
        return ways.get(element);
      };
      const kinds = new Map();
      for (const element of document.querySelectorAll("body *")) {
        const own = [...element.childNodes].filter((n) => n.nodeType === Node.TEXT_NODE).map((n) => n.data);
        const field = element.matches("input, select, textarea");
        if (!shown(element) || !(field || /[\p{L}\p{N}].*[\p{L}\p{N}]/su.test(own.join(" ")))) continue;
        const s = getComputedStyle(element);
        const kind = [way(element), s.fontSize, s.fontWeight, s.textShadow, element.matches("a"), field].join("|");
        if (!kinds.has(kind)) kinds.set(kind, []);
        kinds.get(kind).push(element);
      }
      for (const same of kinds.values()) {
        for (const at of [0, same.length >> 1, same.length - 1]) same[at].setAttribute("data-kind", "");
      }
    },

    // Hundreds of code tokens of one kind have one colour, glyphs hold no text, and what a formula holds for screen
    // readers nobody sees: axe need look at one of each kind only, which makes it more than five times faster.
    thinOut: () => {
      const seen = new Set();
      for (const token of document.querySelectorAll("pre span, dt.sig span")) {
        const kind = [token.className, token.style.cssText, token.closest("div[class], dt")?.className].join("|");
        if (seen.has(kind)) token.replaceWith(...token.childNodes);
        else seen.add(kind);
      }
      for (const glyphs of document.querySelectorAll("mjx-math")) glyphs.replaceChildren();
      for (const spoken of [...document.querySelectorAll("mjx-assistive-mml")].slice(1)) spoken.textContent = "formula";
    },
  };
})();
