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
  const costError = document.getElementById("contact-cost-error");
  const link = card.querySelector("[data-show-link]");
  const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
  const exact = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const show = (name, text) => card.querySelectorAll(`[data-show="${name}"]`).forEach((node) => { node.textContent = text; });
  const share = (value, places = 0) => (value === null ? "–" : `${(100 * value).toFixed(places)} %`);
  const sums = (value, between = ", ") => Object.entries(value || {}).map(([code, sum]) => `${exact.format(sum)} ${code}`).join(between) || "–";

  const costs = (step) => {
    // a number field tells nothing of a text that is no number but that it is bad
    const isBad = cost.validity.badInput || Number(cost.value) < 0;
    const each = cost.value === "" || isBad ? NaN : Number(cost.value);
    costError.textContent = isBad ? "A cost is a number from 0 on." : "";
    cost.setAttribute("aria-invalid", String(isBad));
    if (!(each >= 0)) {
      show("cost", "–");
      show("cost_note", isBad ? "the cost above is not valid" : "enter the cost of one above");
      show("pays", "–");
      show("pays_note", isBad ? "the cost above is not valid" : "needs the cost of one");
      return;
    }
    const total = each * step.players;
    const codes = data.currency ? [data.currency] : [];
    const code = data.currency ? ` ${data.currency}` : "";
    show("cost", exact.format(total) + code);
    show("cost_note", step.expected ? `${exact.format(total / step.expected)} for each true case` : `${whole.format(step.players)} times ${exact.format(each)}`);
    // of several currencies no sum exists that a cost could be compared with
    const against = codes.length === 1 ? step[data.against.sum][codes[0]] || 0 : 0;
    const least = against > 0 ? total / against : null;
    show("pays_note", codes.length !== 1 ? "choose one currency: several have no common sum" : least === null ? "nothing is at stake here" : `at least, of ${data.against.of}`);
    show("pays", least === null ? "–" : least > 1 && data.against.sum === "loss" ? "never" : share(least, least < 0.1 ? 1 : 0));
  };

  const move = () => {
    const number = Number(range.value);
    const step = data.steps[number];
    bars.forEach((bar, place) => bar.classList.toggle("pred-in", place >= number));
    range.setAttribute("aria-valuetext", step.text);
    range.style.setProperty("--at", `${(100 * number) / Math.max(data.steps.length - 1, 1)}%`);
    show("text", step.text);
    show("players", whole.format(step.players));
    show("share", share(step.share, 1));
    show("precision", share(step.precision));
    show("recall", share(step.recall));
    show("expected", step.expected === null ? "–" : whole.format(step.expected));
    show("value", sums(step.value, "\n"));
    show("loss", sums(step.loss));
    const query = new URLSearchParams({ ...data.also, ...(data.currency && { currency: data.currency }), [data.parameter]: String(step.threshold) });
    link.href = `${data.list}?${query}`;
    costs(step);
  };

  range.addEventListener("input", move);
  cost.addEventListener("input", () => costs(data.steps[Number(range.value)]));
  move();
});
