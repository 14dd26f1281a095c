// Marks the numbers that were changed, and scores again after a reset.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("what-if-form");
  if (!form) return;
  const mark = () => form.querySelectorAll("input[data-was]").forEach((field) => {
    field.classList.toggle("pred-changed", field.value !== field.dataset.was);
  });
  form.addEventListener("input", mark);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => {
    mark();
    form.requestSubmit();
  }, 0));
  mark();
});
