// The weight tester of a contribution table: asks without leaving the page.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector("[data-weigh]");
  if (!form) return;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await fetch(`${form.dataset.weigh}?${new URLSearchParams(new FormData(form))}`);
    if (answer.ok) document.querySelector("[data-weighed]").innerHTML = await answer.text();
  });
});
