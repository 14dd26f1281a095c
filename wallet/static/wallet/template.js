// The form of a bonus template: tells the terms in plain English while they are written, and hides what the chosen kind has no use for.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const panel = document.querySelector("[data-summary]");
  const form = document.getElementById("bonustemplate_form");
  if (!panel || !form || !form.elements.kind) return;

  const of = { free_spins: ["spins", "spin_value", "spin_game"], money: ["amount", "match_percent"] };
  const arrange = () => {
    for (const [kind, names] of Object.entries(of)) {
      for (const name of names) {
        const row = form.querySelector(`.field-${name}`);
        const field = form.elements[name];
        const filled = field && field.value !== "";
        if (row) row.hidden = form.elements.kind.value !== kind && !filled;
      }
    }
  };

  let latest = 0;
  const tell = async () => {
    const mine = ++latest;
    const answer = await fetch(panel.dataset.summary, { method: "POST", body: new FormData(form), headers: { "X-Requested-With": "fetch" } });
    if (answer.ok && mine === latest) panel.innerHTML = await answer.text();
  };
  let timer;
  const changed = () => {
    arrange();
    clearTimeout(timer);
    timer = setTimeout(tell, 350);
  };
  form.addEventListener("input", changed);
  form.addEventListener("change", changed);
  arrange();
});
