// The threshold of a distribution: shows the figures of the chosen step. All of them were computed by the server.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const holder = document.getElementById("distribution-data");
  const range = document.getElementById("threshold-range");
  if (!holder || !range) return;
  const data = JSON.parse(holder.textContent);
  const card = document.getElementById("threshold");
  const bars = card.querySelectorAll(".pred-histogram rect");
  const cost = document.getElementById("contact-cost");
  const link = card.querySelector("[data-show-link]");
  const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
  const exact = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const show = (name, text) => card.querySelectorAll(`[data-show="${name}"]`).forEach((node) => { node.textContent = text; });
  const share = (value, places = 0) => (value === null ? "–" : `${(100 * value).toFixed(places)} %`);
  const sums = (value, between = ", ") => Object.entries(value || {}).map(([code, sum]) => `${exact.format(sum)} ${code}`).join(between) || "–";

  const costs = (step) => {
    const each = cost.value === "" ? NaN : Number(cost.value);
    if (!(each >= 0)) {
      show("cost", "–");
      show("cost_note", "enter the cost of one above");
      show("pays", "–");
      return;
    }
    const total = each * step.players;
    const codes = Object.keys(step.value);
    const code = codes.length === 1 ? ` ${codes[0]}` : "";
    show("cost", exact.format(total) + code);
    show("cost_note", step.expected ? `${exact.format(total / step.expected)} for each true case` : `${whole.format(step.players)} times ${exact.format(each)}`);
    // of several currencies no sum exists that a cost could be compared with
    const against = codes.length === 1 ? (step.loss || step.value)[codes[0]] : 0;
    const least = against > 0 ? total / against : null;
    show("pays", least === null ? "–" : least > 1 ? "never" : share(least, least < 0.1 ? 1 : 0));
  };

  const move = () => {
    const number = Number(range.value);
    const step = data.steps[number];
    bars.forEach((bar, place) => bar.classList.toggle("pred-in", place >= number));
    range.setAttribute("aria-valuetext", step.text);
    show("text", step.text);
    show("players", whole.format(step.players));
    show("share", share(step.share, 1));
    show("precision", share(step.precision));
    show("recall", share(step.recall));
    show("expected", step.expected === null ? "–" : whole.format(step.expected));
    show("value", sums(step.value, "\n"));
    show("loss", sums(step.loss));
    const query = new URLSearchParams({ [data.parameter]: String(step.threshold) });
    if (data.currency) query.set("currency", data.currency);
    link.href = `${data.list}?${query}`;
    costs(step);
  };

  range.addEventListener("input", move);
  cost.addEventListener("input", () => costs(data.steps[Number(range.value)]));
  move();
});
