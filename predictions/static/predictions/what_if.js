// Marks the numbers that were changed, shows below each field what it counts as or what is wrong with it, and scores again after a reset.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("what-if-form");
  if (!form) return;
  const mark = () => form.querySelectorAll("input[data-was]").forEach((field) => {
    field.classList.toggle("pred-changed", field.value !== field.dataset.was);
  });
  const tell = () => {
    const holder = document.getElementById("what-if-data");
    const data = holder ? JSON.parse(holder.textContent) : { errors: {}, follows: {} };
    form.querySelectorAll("[data-error]").forEach((place) => {
      const name = place.dataset.error;
      const field = form.elements[name];
      place.textContent = data.errors[name] || "";
      if (data.errors[name]) {
        field.setAttribute("aria-invalid", "true");
        field.setAttribute("aria-describedby", place.id);
        field.closest("details")?.setAttribute("open", "");
      } else {
        field.removeAttribute("aria-invalid");
        field.removeAttribute("aria-describedby");
      }
    });
    form.querySelectorAll("[data-follows]").forEach((place) => {
      place.textContent = data.follows[place.dataset.follows] || "";
    });
  };
  form.addEventListener("input", mark);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => {
    mark();
    form.requestSubmit();
  }, 0));
  document.body.addEventListener("htmx:afterSettle", (event) => {
    if (event.target.id === "what-if-answer") tell();
  });
  mark();
});
