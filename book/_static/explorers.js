// Wakes up the explorers of a page: every <div data-explorer="name">. What stands inside such a block is shown until its
// explorer is complete, and stays if anything is missing: an old browser, a lost file, a page opened without a server.
// The explorers themselves are modules beside this file, fetched only where a page has a block for them.
(() => {
  const here = document.currentScript.src; // modules and data are found from here, at any depth and in any sub-folder

  async function wake(root) {
    const name = root.dataset.explorer;
    if (!/^[a-z]+$/.test(name)) return;
    const [{ mount }, { build }] = await Promise.all([
      import(new URL("explorers/common.js", here)),
      import(new URL(`explorers/${name}.js`, here)),
    ]);
    await mount(root, name, build);
  }

  function explain(root) {
    root.dataset.state = "static";
    if (location.protocol !== "file:") return; // a lost file is nothing a reader can mend; this is
    const note = document.createElement("p");
    note.className = "ul-note";
    note.textContent =
      "This figure moves when the book is served: run “python -m http.server” in its folder and open the address it names.";
    root.append(note);
  }

  const start = () => {
    for (const root of document.querySelectorAll("[data-explorer]")) wake(root).catch(() => explain(root));
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
