/* Filters of a page of published numbers: by entry, by attack, by paper, and by words of an experiment's title. */
(function () {
  "use strict";
  const form = document.getElementById("published-filter");
  if (!form) return;
  const sections = [...document.querySelectorAll("section.published")];
  const total = document.querySelectorAll("td.theirs").length;

  function filterDetails(details, words, attack, paper) {
    const text = details.querySelector("summary").textContent.toLowerCase();
    const found = words.every((word) => text.includes(word)) && (paper === "" || paper === details.dataset.paper);
    let shown = 0;
    for (const row of details.querySelectorAll("tbody tr")) {
      row.hidden = !found || (attack !== "" && row.dataset.attack !== attack);
      shown += row.hidden ? 0 : row.querySelectorAll(".theirs").length;
    }
    details.hidden = shown === 0;
    return shown;
  }

  function filter() {
    const entry = form.elements.entry.value;
    const attack = form.elements.attack.value;
    const paper = form.elements.paper.value;
    const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const section of sections) {
      let here = 0;
      for (const details of section.querySelectorAll("details")) {
        const count = filterDetails(details, words, attack, paper);
        /* A choice of attack leaves few lines, so they are shown at once; without one, experiments start closed. */
        if (details.open !== (attack !== "" && count > 0)) details.open = attack !== "" && count > 0;
        here += entry === "" || entry === section.id ? count : 0;
      }
      section.hidden = here === 0;
      shown += here;
    }
    document.querySelector(".nothing").hidden = shown > 0;
    form.querySelector(".count").textContent = `${shown} of ${total} numbers`;
  }

  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();
  /* The address may name a section that moved when the filters appeared. */
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target) target.scrollIntoView();
})();
