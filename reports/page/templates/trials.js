"use strict";
// All trials: parallel coordinates with brushing, the chosen trial's learning curve, and a table that sorts and filters.
(function () {
  var source = document.getElementById("trials-data");
  if (!source || typeof echarts === "undefined") return;
  var all = JSON.parse(source.textContent), STEP = 50, NONE = 65535;
  var get = function (name) { return document.getElementById("trials-" + name); };
  var task, facts, columns, curves, order, brushed, sorted, shown, parallel, chart;
  var wide = function () { return get("parallel").clientWidth > 600; };
  function plain(value) { return Number.isInteger(value) ? String(value) : Math.abs(value) < 0.001 ? value.toExponential(3) : String(+value.toPrecision(4)); }
  function text(column, row) {
    var value = column.values[row];
    return column.levels ? column.levels[value] : value === null ? "–" : typeof value === "number" ? plain(value) : value;
  }
  function decode(packed) {
    var bytes = Uint8Array.from(atob(packed), function (c) { return c.charCodeAt(0); }), view = new DataView(bytes.buffer);
    return function (row) {
      return Array.from({ length: all.points }, function (_, k) {
        var value = view.getUint16(2 * (row * all.points + k), true);
        return [facts.epochs[row] * k / (all.points - 1), value === NONE ? null : facts.low + value / (NONE - 1) * (facts.high - facts.low)];
      });
    };
  }
  function hidden() {
    var found = {};
    document.querySelectorAll("#filters input[name=variant]").forEach(function (box) { if (!box.checked) found[box.value] = true; });
    return found;
  }
  // A label of an axis: both ends always, what is so near to one that they would lie on each other not.
  function tick(c) {
    var ends = c.values.filter(function (v) { return v !== null; }).map(function (v) { v = c.mirrored ? 1 - v : v; return c.log ? Math.log(v) : v; });
    var low = Math.min.apply(null, ends), high = Math.max.apply(null, ends);
    return function (v) {
      var away = Math.min((c.log ? Math.log(v) : v) - low, high - (c.log ? Math.log(v) : v)) / (high - low || 1);
      if (away > 1e-9 && away < 0.06) return "";
      v = +(c.mirrored ? 1 - v : v).toPrecision(3);
      return v && Math.abs(v) < 0.001 ? v.toExponential() : String(v);
    };
  }
  function draw() {
    if (parallel) parallel.dispose();
    get("parallel").style.height = wide() ? "340px" : "560px";
    parallel = echarts.init(get("parallel"));
    var axes = columns.filter(function (c) { return c.axis || c.name === "cell"; });
    var score = axes.findIndex(function (c) { return c.name === "test"; });
    var rows = columns[0].values.map(function (_, row) {
      return axes.map(function (c) { return c.levels ? c.levels[c.values[row]] : c.mirrored ? 1 - c.values[row] : c.values[row] === null ? "-" : c.values[row]; });
    });
    var scores = score < 0 ? [] : axes[score].values.filter(function (v) { return v !== null; });
    parallel.setOption({
      animation: false,
      tooltip: { trigger: "item", renderMode: "richText", formatter: function (p) { return columns.map(function (c) { return c.name + " " + text(c, p.dataIndex); }).join("\n"); } },
      parallel: { left: wide() ? 60 : 90, right: wide() ? 60 : 40, top: 40, bottom: 30, layout: wide() ? "horizontal" : "vertical" },
      parallelAxis: axes.map(function (c, k) {
        return { dim: k, zlevel: 1, name: c.name, type: c.levels ? "category" : c.log ? "log" : "value", data: c.levels, inverse: !!c.mirrored, scale: true,
          nameLocation: wide() !== !!c.mirrored ? "end" : "start", min: c.levels ? undefined : "dataMin", max: c.levels ? undefined : "dataMax",
          axisLabel: { showMinLabel: true, hideOverlap: true, backgroundColor: "rgba(255,255,255,.93)", padding: [1, 3], formatter: c.levels ? undefined : tick(c) } };
      }),
      visualMap: scores.length ? { show: false, dimension: score, min: Math.min.apply(null, scores), max: Math.max.apply(null, scores),
        inRange: { color: facts.maximize ? ["#c9ccd1", "#0072B2"] : ["#0072B2", "#c9ccd1"] } } : undefined,
      series: [{ type: "parallel", progressive: 0, data: rows, lineStyle: { width: 1, opacity: 0.4 }, inactiveOpacity: 0.03, activeOpacity: 0.8, emphasis: { lineStyle: { width: 2.5, opacity: 1 } } }]
    });
    parallel.on("axisareaselected", function () {
      var series = parallel.getModel().getSeries()[0], active = series.getRawIndicesByActiveState("active");
      brushed = active.length || series.getRawIndicesByActiveState("inactive").length ? new Set(active) : null;
      list(true);
    });
    parallel.on("mouseover", function (p) { if (p.dataIndex !== undefined) curve(p.dataIndex); });
  }
  function curve(row) {
    if (row === undefined) return;
    var name = columns[0].levels[columns[0].values[row]] + ", trial " + columns[1].values[row];
    get("curve").dataset.trial = name;
    if (!chart) chart = echarts.init(get("curve"));
    chart.setOption({ animation: false, title: { text: name, right: 20, textStyle: { fontSize: 13 } }, grid: { left: 60, right: 20, top: 34, bottom: 40 },
      tooltip: { trigger: "axis", renderMode: "richText", formatter: function (p) { return "epoch " + Math.round(p[0].value[0]) + ": " + (+p[0].value[1].toPrecision(4)); } },
      xAxis: { type: "value", name: "epochs", nameLocation: "middle", nameGap: 24, max: "dataMax" }, yAxis: { type: "value", scale: true, name: "validation, " + facts.units, nameTextStyle: { align: "left" } },
      series: [{ type: "line", showSymbol: false, data: curves(row), lineStyle: { color: "#0072B2" } }] }, true);
  }
  function list(afresh) {
    if (afresh) shown = STEP;
    var words = get("filter").value.toLowerCase().split(/\s+/).filter(Boolean), off = hidden();
    var rows = order.filter(function (row) {
      if (brushed && !brushed.has(row) || off[columns[0].levels[columns[0].values[row]]]) return false;
      var line = columns.map(function (c) { return text(c, row).toLowerCase(); });
      return words.every(function (word) { return line.some(function (cell) { return cell.indexOf(word) >= 0; }); });
    });
    if (sorted) {
      var key = function (row) { var v = sorted.column.values[row]; return sorted.column.levels && v !== null ? sorted.column.levels[v] : v; };
      rows.sort(function (a, b) {
        var x = key(a), y = key(b);
        if (x === null || y === null) return (x === null) - (y === null);
        return sorted.sign * (typeof x === "number" ? x - y : String(x).localeCompare(String(y)));
      });
    }
    var body = document.createElement("tbody");
    rows.slice(0, shown).forEach(function (row) {
      var line = body.insertRow();
      line.tabIndex = 0; line.dataset.row = row;
      columns.forEach(function (c) { var cell = line.insertCell(); cell.textContent = text(c, row); cell.dataset.label = c.name; });
    });
    ["mouseover", "focusin", "click"].forEach(function (kind) {
      body.addEventListener(kind, function (event) { var line = event.target.closest("tr"); if (line) curve(+line.dataset.row); });
    });
    var table = place().querySelector("table");
    table.replaceChild(body, table.tBodies[0]);
    get("count").textContent = rows.length + " of " + order.length + " trials";
    get("more").classList.toggle("shown", rows.length > shown);
    document.dispatchEvent(new Event("listed"));
  }
  function place() { return Array.prototype.find.call(document.querySelectorAll("[data-trials]"), function (part) { return part.dataset.trials === task; }); }
  function show() {
    task = get("task").value; facts = all.tasks[task]; columns = facts.columns; curves = decode(facts.curves);
    order = columns[0].values.map(function (_, row) { return row; }); brushed = sorted = null;
    document.querySelectorAll("[data-trials]").forEach(function (part) { part.hidden = part.dataset.trials !== task; });
    draw(); list(true); if (order.length) curve(order[0]);
  }
  document.querySelectorAll("[data-trials] thead th").forEach(function (head) {
    var button = document.createElement("button");
    button.type = "button"; button.textContent = head.textContent; head.textContent = ""; head.appendChild(button);
    button.addEventListener("click", function () {
      var up = head.getAttribute("aria-sort") !== "ascending";
      Array.prototype.forEach.call(head.parentNode.cells, function (other) { other.removeAttribute("aria-sort"); });
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      sorted = { column: columns[head.cellIndex], sign: up ? 1 : -1 }; list(true);
    });
  });
  ["tools", "parallel", "curve"].forEach(function (name) { get(name).classList.add("shown"); });
  get("task").addEventListener("change", show);
  get("filter").addEventListener("input", function () { list(true); });
  get("more").addEventListener("click", function () { shown += STEP; list(false); });
  var form = document.getElementById("filters");
  if (form) form.addEventListener("change", function () { list(true); });
  window.addEventListener("resize", function () { if (chart) chart.resize(); draw(); brushed = null; list(true); });
  show();
})();
