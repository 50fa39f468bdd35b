// The page works without this: it adds the filters, and Escape as another way to close a cell.
"use strict";
(() => {
  const form = document.getElementById("filters");
  const show = () => {
    const want = Object.fromEntries(new FormData(form));
    const is = (name, value) => !want[name] || want[name] === value;
    let shown = 0;
    for (const table of document.querySelectorAll("table.matrix")) {
      const heads = [...table.tHead.rows[0].cells];
      const used = heads.map(() => false);
      for (const body of table.tBodies) {
        let any = false;
        for (const row of [...body.rows].slice(1)) {
          let here = false;
          [...row.cells].forEach((cell, i) => {
            if (i === 0) return;
            const on = is("model", body.dataset.model) && is("precision", row.dataset.precision) &&
              is("provider", heads[i].dataset.provider) && is("ort", heads[i].dataset.ort) &&
              is("class", cell.dataset.class) && is("known", cell.dataset.known) && cell.dataset.class !== "";
            cell.classList.toggle("off", !on);
            if (on) { here = used[i] = true; shown++; }
          });
          row.hidden = !here;
          any = any || here;
        }
        body.hidden = !any;
      }
      for (const row of table.querySelectorAll("tr:not(.model)"))
        [...row.cells].forEach((cell, i) => { cell.hidden = i > 0 && !used[i]; });
    }
    form.querySelector("output").value = shown + " cells";
  };
  if (form) {
    form.hidden = false;
    form.addEventListener("change", show);
    form.addEventListener("reset", () => setTimeout(show));
    show();
  }
  const opened = () => { try { return document.querySelector(".cell:target"); } catch { return null; } };
  document.addEventListener("keydown", event => {
    const cell = opened();
    if (cell && event.key === "Escape") {
      const back = cell.querySelector(".close").getAttribute("href");
      location.hash = back;
      const link = document.getElementById(decodeURIComponent(back.slice(1)));
      if (link) link.focus();
    }
  });
})();
