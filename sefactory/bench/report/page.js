"use strict";

// Sorts the rows of a table by the column of this header cell. Rows without a value stay last.
function sortBy(header) {
  const table = header.closest("table");
  const column = header.cellIndex;
  const descending = header.getAttribute("aria-sort") === "ascending";
  const value = (body) => {
    const cell = body.rows[0].cells[column];
    if (column === 0) return cell.textContent;
    return cell && "value" in cell.dataset ? Number(cell.dataset.value) : null;
  };
  const compare = (a, b) => (column === 0 ? a.localeCompare(b, "en", { numeric: true }) : a - b);
  const entries = [...table.tBodies].map((body) => ({ body, value: value(body) }));
  entries.sort((a, b) => {
    if (a.value === null || b.value === null) return (a.value === null) - (b.value === null);
    return descending ? compare(b.value, a.value) : compare(a.value, b.value);
  });
  table.append(...entries.map((entry) => entry.body));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
}

for (const header of document.querySelectorAll("table.rows thead th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...header.childNodes);
  button.addEventListener("click", () => sortBy(header));
  header.append(button);
}

// Shows only what belongs to blocks whose name has all the words.
const filter = document.querySelector(".filter");
if (filter) {
  filter.hidden = false;
  filter.addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/);
    const matches = (element) => words.every((word) => element.dataset.block.toLowerCase().includes(word));
    for (const element of document.querySelectorAll("[data-block]")) element.hidden = !matches(element);
    const rows = [...document.querySelectorAll("table.rows tbody")];
    filter.querySelector("output").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
  });
}

// Opens the config that a link leads to; browsers that open it themselves do nothing more here.
function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  const details = target && target.closest("details");
  if (details && !details.open) {
    details.open = true;
    target.scrollIntoView();
  }
}
addEventListener("hashchange", openTarget);
openTarget();
