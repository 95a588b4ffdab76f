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

// What scrolls sideways fades at the side where more of it lies: tables, formulas, figures, code. Style sheets cannot tell.
{
  const BOXES =
    ".pst-scrollable-table-container, .cell_output .output, .cell_output .text_html, div.math, mjx-container[display='true'], " +
    "div.highlight pre, .cell_output pre, [data-explorer]";
  const tell = (box) => {
    const rest = box.scrollWidth - box.clientWidth;
    const scrolls = rest > 4 && getComputedStyle(box).overflowX !== "visible";
    box.classList.toggle("ul-more-right", scrolls && box.scrollLeft < rest - 4);
    box.classList.toggle("ul-more-left", scrolls && box.scrollLeft > 4);
  };
  const tellAll = () => document.querySelectorAll(`.bd-article :is(${BOXES})`).forEach(tell);
  document.addEventListener("scroll", ({ target }) => target instanceof Element && target.matches(BOXES) && tell(target), {
    capture: true,
    passive: true,
  });
  for (const event of ["load", "resize"]) addEventListener(event, tellAll);
  addEventListener("load", () => window.MathJax?.startup?.promise?.then(() => setTimeout(tellAll)));
  document.addEventListener("toggle", tellAll, true);
}

// The search names pages; this leads each of its results to the section that says most of what was asked for. Pages are
// fetched for their summaries anyway. Where that is not possible (a book opened from a folder), results stay as they are.
{
  const asked = new URLSearchParams(location.search).get("q") ?? "";
  const words = asked.toLowerCase().split(/\s+/).filter((word) => word.length > 1);
  const within = (text) => words.filter((word) => text.includes(word)).length;

  const section = (html) => {
    let best = null;
    let most = 0;
    for (const place of new DOMParser().parseFromString(html, "text/html").querySelectorAll("article section[id]")) {
      const own = [...place.children].filter((part) => !part.matches("section, .headerlink"));
      const title = own.find((part) => /^H[2-6]$/.test(part.tagName));
      if (!title) continue; // the page itself
      const said = own.map((part) => part.textContent).join(" ").toLowerCase();
      const found = within(said) + within(title.textContent.toLowerCase());
      if (found > most) [best, most] = [{ id: place.id, name: title.childNodes[0].textContent.trim() }, found];
    }
    return within(asked.toLowerCase()) <= most ? best : null;
  };

  const lead = async (link) => {
    link.dataset.ulLed = "";
    try {
      const found = section(await (await fetch(link.href)).text());
      if (!found) return;
      const place = document.createElement("a");
      place.href = `${link.href}#${found.id}`;
      place.textContent = found.name;
      place.className = "ul-section";
      link.after(" › ", place);
    } catch {} // nothing is lost: the page itself is linked
  };

  document.addEventListener("DOMContentLoaded", () => {
    const results = document.querySelector("#search-results");
    if (!results || !words.length || location.protocol === "file:") return;
    // Where a result's place holds no text, as that of an index entry, Sphinx has no summary and stumbles over it.
    const summary = Search.makeSearchSummary;
    Search.makeSearchSummary = (...given) => summary(...given) ?? document.createElement("p");
    const unled = "li > a:not(.ul-section, [data-ul-led], [href*='#'])";
    const look = () => [...results.querySelectorAll(unled)].forEach(lead);
    new MutationObserver(look).observe(results, { childList: true, subtree: true });
    look();
  });
}
