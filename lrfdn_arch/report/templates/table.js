"use strict";
// Clicking a heading (or pressing Enter) sorts the table: first ascending, then descending.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];

  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const ascending = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const rows = [...body.rows].sort((a, b) => compare(value(a, column), value(b, column), ascending));
      body.append(...rows);
    });
  });
}

function value(row, column) {
  const text = row.cells[column].dataset.value.replace(/ \[.*\]$/, ""); // without its interval
  const number = Number(text);
  return text !== "" && !Number.isNaN(number) ? number : text;
}

// Unknown cells stay at the end in either order.
function compare(a, b, ascending) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  return ascending ? order : -order;
}
