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
