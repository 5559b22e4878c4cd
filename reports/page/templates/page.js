"use strict";
// Sorting: every head of a sortable table becomes a button; rows without a value stand last in either direction.
(function () {
  function key(row, column) {
    var cell = row.cells[column], value = cell.dataset.key;
    if (value === undefined) value = cell.matches("table.text *") ? cell.textContent : "";
    return value;
  }
  function compare(a, b, column, sign) {
    var x = key(a, column), y = key(b, column);
    if (x === "" || y === "") return (x === "") - (y === "");
    var p = Number(x), q = Number(y);
    if (!isNaN(p) && !isNaN(q)) return sign * (p - q);
    return sign * x.localeCompare(y, undefined, { numeric: true });
  }
  document.querySelectorAll("table.sortable").forEach(function (table) {
    var heads = table.tHead.rows[0].cells, body = table.tBodies[0];
    Array.prototype.forEach.call(heads, function (head, column) {
      var button = document.createElement("button");
      button.type = "button";
      while (head.firstChild) button.appendChild(head.firstChild);
      head.appendChild(button);
      button.addEventListener("click", function () {
        var up = head.getAttribute("aria-sort") !== "ascending";
        Array.prototype.forEach.call(heads, function (other) { other.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        var rows = Array.prototype.slice.call(body.rows);
        rows.sort(function (a, b) { return compare(a, b, column, up ? 1 : -1); });
        rows.forEach(function (row) { body.appendChild(row); });
      });
    });
  });

  // A table that is wider than its place is set tighter, and if that does not do becomes a list: no number is cut or broken in two.
  function fit() {
    document.querySelectorAll(".scroll").forEach(function (place) {
      if (!place.querySelector(".sortable, .sortless")) return;
      var wide = function () { return place.clientWidth > 0 && place.scrollWidth > place.clientWidth + 1; };
      place.classList.remove("stacked", "tight");
      if (wide()) place.classList.add("tight");
      if (wide()) { place.classList.remove("tight"); place.classList.add("stacked"); }
    });
  }
  window.addEventListener("resize", fit);
  document.addEventListener("change", fit);
  document.addEventListener("listed", fit);
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll(".stacked, .tight").forEach(function (place) { place.classList.remove("stacked", "tight"); });
  });
  window.addEventListener("afterprint", fit);
  fit();

  // Filters: what belongs to a task or a cell that is not ticked is hidden, in tables, cards, figures and their legends.
  var form = document.getElementById("filters");
  if (!form) return;
  form.hidden = false;
  function unticked(name) {
    var found = {};
    form.querySelectorAll("input[name=" + name + "]").forEach(function (box) { if (!box.checked) found[box.value] = true; });
    return found;
  }
  function apply() {
    ["task", "variant"].forEach(function (name) {
      var off = unticked(name);
      document.querySelectorAll("main [data-" + name + "], header [data-" + name + "]").forEach(function (part) {
        part.hidden = Object.prototype.hasOwnProperty.call(off, part.dataset[name]);
      });
    });
    var left = form.querySelectorAll("input[name=variant]:checked").length;
    document.getElementById("shown").textContent = left + " of " + form.querySelectorAll("input[name=variant]").length + " cells shown";
    form.querySelectorAll("input[name=variant]").forEach(function (box, place) {
      document.querySelectorAll("svg [id*='-cell" + place + "-']").forEach(function (part) {
        part.style.display = box.checked ? "" : "none";
      });
    });
  }
  form.addEventListener("change", apply);
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  form.querySelectorAll("button[data-tick]").forEach(function (button) {
    button.addEventListener("click", function () {
      form.querySelectorAll("input[name=" + button.dataset.of + "]").forEach(function (box, place) {
        box.checked = button.dataset.tick === "all" || place === 0;
      });
      apply();
    });
  });
  apply();

  // On paper nothing can be opened.
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (part) {
      if (!part.open) { part.open = true; part.dataset.closed = "yes"; }
    });
  });
  window.addEventListener("afterprint", function () {
    document.querySelectorAll("details[data-closed]").forEach(function (part) { part.open = false; delete part.dataset.closed; });
  });
})();
