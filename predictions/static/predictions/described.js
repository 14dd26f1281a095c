// Rows are added and taken away without a round trip, and what is wrong stands beside its field.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("described-form");
  const answer = document.getElementById("described-answer");
  if (!form || !answer) return;
  const score = () => form.dispatchEvent(new Event("input", { bubbles: true }));
  const rowsOf = (list) => list.querySelector(".pred-list-rows");

  // rows are counted as they stand: messages name them by that number
  const recount = (list) => {
    const rows = [...rowsOf(list).children];
    rows.forEach((row, place) => {
      row.setAttribute("aria-label", `${row.getAttribute("aria-label").replace(/\s*\d*$/, "")} ${place + 1}`);
      row.querySelectorAll("[name], [data-error-of]").forEach((node) => {
        for (const attribute of ["name", "data-error-of"]) {
          const text = node.getAttribute(attribute);
          if (text) node.setAttribute(attribute, text.replace(/^([a-z]+)-\d+/, `$1-${place}`));
        }
      });
    });
    list.querySelector("button[name=add]").disabled = rows.length >= Number(list.dataset.most);
  };

  form.addEventListener("click", (event) => {
    const button = event.target.closest("button[name=add], button[name=remove]");
    if (!button) return;
    event.preventDefault();
    const list = button.closest("[data-list]");
    if (button.name === "add") {
      rowsOf(list).append(list.querySelector("template").content.cloneNode(true));
      recount(list);
      rowsOf(list).lastElementChild.querySelector("input, select").focus();
    } else {
      const row = button.closest(".pred-list-row");
      const next = row.nextElementSibling || row.previousElementSibling;
      row.remove();
      recount(list);
      (next ? next.querySelector("input, select") : list.querySelector("button[name=add]")).focus();
    }
    score();
  });

  const mark = () => {
    form.querySelectorAll("[aria-invalid]").forEach((field) => field.removeAttribute("aria-invalid"));
    form.querySelectorAll("[data-error-of]").forEach((place) => { place.textContent = ""; });
    answer.querySelectorAll("[data-field]").forEach((wrong) => {
      const name = CSS.escape(wrong.dataset.field);
      const place = form.querySelector(`[data-error-of="${name}"]`);
      if (place) place.textContent = wrong.dataset.message;
      const field = form.querySelector(`input[name="${name}"], select[name="${name}"]`);
      if (field) field.setAttribute("aria-invalid", "true");
    });
  };
  answer.addEventListener("htmx:afterSwap", mark);
});
