// Search, filters, copy buttons and the choice of a version. Everything else works without this file.
"use strict";

const search = document.querySelector("#search");
if (search) {
  const form = search.form, facets = [...form.querySelectorAll("[data-facet]")];
  const cards = [...document.querySelectorAll(".cards li")], found = form.querySelector("[data-found]");
  const update = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of cards) {
      const has = words.every(word => card.dataset.words.includes(word)) && facets.every(facet =>
        !facet.value || card.dataset[facet.dataset.facet].split(" | ").includes(facet.value));
      card.hidden = !has;
      shown += has;
    }
    found.textContent = words.length || facets.some(facet => facet.value) ? `${shown} of ${cards.length}` : "";
  };
  form.hidden = false;
  form.addEventListener("input", update);
  form.addEventListener("submit", event => event.preventDefault());
  document.addEventListener("keydown", event => {
    if (event.key === "/" && !/^(?:INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
      event.preventDefault();
      search.focus();
    }
  });
  update();
}

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue; // from a folder, some browsers have none
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("code").innerText.trim() + "\n");
    button.textContent = "Copied";
  });
}

for (const picker of document.querySelectorAll("[data-go]")) {
  picker.addEventListener("change", () => { if (picker.value) location.href = picker.value; });
}
