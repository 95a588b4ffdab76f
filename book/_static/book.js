// What a page can only do in the browser. All else is done when the book is built (book/_ext), and works without scripts.

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
