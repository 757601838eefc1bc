/* An entry's page shows one data set at a time: the one that the address names, else the first. */
(function () {
  "use strict";
  const sections = [...document.querySelectorAll(".entry-page section.dataset")];
  const links = [...document.querySelectorAll("nav.sets a")];

  function named() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    return target && sections.find((section) => section.contains(target));
  }

  function show(section) {
    for (const one of sections) one.hidden = one !== section;
    for (const link of links) {
      if (link.hash === `#${section.id}`) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }

  if (!sections.length) return;
  /* Name, tabs and headline figures fit on one screen, so that an address of a data set opens the page at its top. */
  document.documentElement.classList.add("one-set");
  show(named() || sections[0]);
  addEventListener("hashchange", () => {
    const section = location.hash ? named() : sections[0];
    if (!section) return;
    show(section);
    if (location.hash && location.hash !== `#${section.id}`) document.getElementById(location.hash.slice(1)).scrollIntoView();
  });
})();
