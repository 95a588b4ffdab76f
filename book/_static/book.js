// Name each call-out after its bold first word, so that book.css can give it its colour:
// "> **Break it.** ..." becomes <blockquote class="ul-break-it">.
document.addEventListener("DOMContentLoaded", () => {
  for (const quote of document.querySelectorAll(".bd-article blockquote")) {
    const strong = quote.querySelector(":scope > p:first-child > strong:first-child, :scope > div > p:first-child > strong:first-child");
    if (!strong) continue;
    const kind = strong.textContent.trim().toLowerCase().replace(/[^a-z]+/g, "-").replace(/^-|-$/g, "");
    if (kind) quote.classList.add("ul-" + kind);
  }
});

// On paper, what is folded away is open; afterwards it is as the reader left it.
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll(".bd-article details:not([open])")) {
    fold.open = true;
    fold.dataset.ulPrinted = "";
  }
});
addEventListener("afterprint", () => {
  for (const fold of document.querySelectorAll("[data-ul-printed]")) {
    fold.open = false;
    delete fold.dataset.ulPrinted;
  }
});

// docutils writes the bibliography as a list whose children are no list items (their role is deprecated in
// favour of "listitem"), so a screen reader would announce an empty list.
document.addEventListener("DOMContentLoaded", () => {
  for (const entry of document.querySelectorAll(".citation-list > [role='doc-biblioentry']")) entry.setAttribute("role", "listitem");
});

// The theme's arrows that unfold a part of the table of contents have no text: they take their link's.
document.addEventListener("DOMContentLoaded", () => {
  for (const arrow of document.querySelectorAll(".bd-sidebar-primary .has-children > details > summary")) {
    const link = arrow.closest(".has-children").querySelector("a");
    arrow.setAttribute("aria-label", `Pages of ${link.textContent.trim()}`);
  }
});

// Sphinx breaks long signatures into a list of definitions that defines nothing: to a screen reader it is no list.
document.addEventListener("DOMContentLoaded", () => {
  for (const part of document.querySelectorAll("dt.sig dl, dt.sig dl > dd")) part.setAttribute("role", "none");
});

// A formula that is wider than the text is set smaller until it fits, down to 70 %; what is wider still scrolls.
{
  const plain = new WeakMap();
  const fit = () => {
    const formulas = [...document.querySelectorAll(".bd-article div.math mjx-container[display='true']")];
    for (const formula of formulas) {
      if (!plain.has(formula)) plain.set(formula, formula.style.fontSize || "100%");
      formula.style.fontSize = plain.get(formula);
    }
    const shares = formulas.map((formula) => {
      const frame = formula.closest("div.math");
      return frame.clientWidth / Math.max(frame.scrollWidth, formula.scrollWidth, 1);
    });
    formulas.forEach((formula, at) => {
      const share = Math.max(0.7, shares[at] - 0.005);
      if (0 < shares[at] && shares[at] < 1) formula.style.fontSize = `calc(${share} * ${plain.get(formula)})`;
    });
  };
  addEventListener("load", () => window.MathJax?.startup?.promise?.then(fit));
  addEventListener("resize", fit);
  document.addEventListener("toggle", fit, true); // formulas in a fold have a width once it is open
}

// Names of code in a table may break behind a dot or an underscore.
document.addEventListener("DOMContentLoaded", () => {
  for (const name of document.querySelectorAll(".bd-article .pst-scrollable-table-container td code .pre")) {
    const parts = name.textContent.split(/(?<=[._])/);
    if (parts.length > 1) name.replaceChildren(...parts.flatMap((part, at) => (at ? [document.createElement("wbr"), part] : [part])));
  }
});

// An interval stays whole, with its star; the mean before it may have a line of its own. So does "20 %".
document.addEventListener("DOMContentLoaded", () => {
  for (const cell of document.querySelectorAll(".bd-article .cell_output :is(th, td)")) {
    if (cell.children.length) continue;
    const whole = cell.textContent
      .replace(/\[[-+\d.]+, [-+\d.]+\]( \*)?/g, (interval) => interval.replaceAll(" ", "\u00a0"))
      .replace(/(\d) %/g, "$1\u00a0%");
    if (whole !== cell.textContent) cell.textContent = whole;
  }
});
