// The page of `genjax report`: curves from the embedded JSON, and the slider over samples. Names and values reach the
// page only as text, never as HTML.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const WIDTH = 380, HEIGHT = 220, LEFT = 52, RIGHT = 10, TOP = 8, BOTTOM = 24;
  const FEW = 40; // points of a curve that are drawn as dots too

  const node = (parent, name, attributes = {}, text = "") => {
    const made = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== "") made.textContent = text;
    parent.append(made);
    return made;
  };

  const short = (value) => {
    if (value === null) return "not finite";
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e");
    return value.toLocaleString("en", { maximumSignificantDigits: 5 });
  };
  const whole = (step) => step.toLocaleString("en");

  // Scales ----------------------------------------------------------------------------------------------------------

  const linearTicks = (low, high, count) => {
    const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].find((factor) => factor * power >= raw) * power;
    const ticks = [];
    for (let i = Math.ceil(low / step); i * step <= high + step * 1e-9 && ticks.length < 20; i++) ticks.push(Number((i * step).toPrecision(12)));
    return [...new Set(ticks)];
  };

  const logTicks = (low, high, count) => {
    const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high)), ticks = [];
    const every = Math.max(1, Math.ceil((last - first) / count));
    const within = last - first <= 2 ? [1, 2, 5] : [1];
    for (let power = first; power <= last; power += every) for (const factor of within) ticks.push(factor * 10 ** power);
    const inside = ticks.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
    return inside.length > 2 ? inside : linearTicks(low, high, count);
  };

  // A function from values to pixels, with its ticks. On a log scale values of 0 and below have no place.
  const scale = (values, isLog, from, to, count) => {
    const usable = isLog ? values.filter((value) => value > 0) : values;
    let low = Infinity, high = -Infinity;
    for (const value of usable) { low = Math.min(low, value); high = Math.max(high, value); }
    if (low > high) return null;
    if (low === high) {
      const around = low === 0 ? 1 : Math.abs(low) * 0.1;
      [low, high] = isLog ? [low / 2, high * 2] : [low - around, high + around];
    }
    if (!Number.isFinite(high - low)) { low = Math.max(low, -1e307); high = Math.min(high, 1e307); }
    const of = isLog ? Math.log10 : (value) => value;
    const start = of(low), range = of(high) - start;
    const far = (pixel) => Math.max(-1e4, Math.min(1e4, pixel)); // doubles reach further than an SVG
    const place = (value) => (isLog && value <= 0 ? null : far(from + ((of(value) - start) / range) * (to - from)));
    return { place, ticks: isLog ? logTicks(low, high, count) : linearTicks(low, high, count) };
  };

  // Curves ----------------------------------------------------------------------------------------------------------

  const nearest = (xs, x) => {
    let low = 0, high = xs.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (xs[middle] < x) low = middle + 1; else high = middle;
    }
    return low > 0 && x - xs[low - 1] <= xs[low] - x ? low - 1 : low;
  };

  const notes = (curves, axes, drawnX, drawnY) => {
    const lines = [];
    const points = curves.reduce((sum, curve) => sum + curve.points, 0);
    const kept = curves.reduce((sum, curve) => sum + curve.x.length, 0);
    const gaps = curves.reduce((sum, curve) => sum + curve.gaps, 0);
    if (kept < points) lines.push(`${whole(kept)} of ${whole(points)} points drawn`);
    if (gaps) lines.push(`${whole(gaps)} not finite`);
    const without = curves.reduce((sum, curve) => sum + curve.y.filter((y, i) => y !== null
      && ((axes.y === "log" && y <= 0) || (axes.x === "log" && curve.x[i] <= 0))).length, 0);
    if (without) lines.push(`${whole(without)} at 0 or below, not on a log scale`);
    if (!drawnX || !drawnY) lines.push("nothing to draw");
    return lines.join("; ");
  };

  const draw = (plot, series, names, axes, visible) => {
    const { svg, readout, note } = plot;
    svg.replaceChildren();
    const curves = series.curves.filter((curve) => visible.has(curve.run));
    const finite = curves.map((curve) => curve.x.map((_, i) => i).filter((i) => curve.y[i] !== null));
    const x = scale(curves.flatMap((curve) => curve.x), axes.x === "log", LEFT, WIDTH - RIGHT, 6);
    const y = scale(curves.flatMap((curve, c) => finite[c].map((i) => curve.y[i])), axes.y === "log", HEIGHT - BOTTOM, TOP, 6);
    note.textContent = notes(curves, axes, x, y);
    note.hidden = note.textContent === "";
    plot.move = () => {};
    plot.xs = [];
    readout.replaceChildren();
    if (!x || !y) return;
    for (const tick of y.ticks) {
      const at = y.place(tick);
      node(svg, "svg:line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: at, y2: at });
      node(svg, "svg:text", { x: LEFT - 6, y: at + 4, "text-anchor": "end" }, short(tick));
    }
    for (const tick of x.ticks) {
      const at = x.place(tick);
      node(svg, "svg:text", { x: at, y: HEIGHT - 7, "text-anchor": at > WIDTH - 40 ? "end" : "middle" }, short(tick));
    }
    for (const curve of curves) {
      let path = "", pen = "M";
      const group = node(svg, "svg:g", { class: `run-${curve.run % 8}` });
      curve.x.forEach((step, i) => {
        const px = x.place(step), py = curve.y[i] === null ? null : y.place(curve.y[i]);
        if (px === null || py === null) { pen = "M"; return; }
        path += `${pen}${px.toFixed(1)} ${py.toFixed(1)}`;
        pen = "L";
        if (curve.x.length <= FEW) node(group, "svg:circle", { class: "dot", cx: px, cy: py, r: 2.2 });
      });
      const dashes = ["", "6 3", "2 3", "8 3 2 3"][Math.floor(curve.run / 8) % 4];
      node(group, "svg:path", { class: "curve", d: path, "stroke-dasharray": dashes || "none" });
    }
    const cursor = node(svg, "svg:g");
    plot.xs = [...new Set(curves.flatMap((curve) => curve.x.filter((step) => x.place(step) !== null)))].sort((a, b) => a - b);
    plot.stepAt = (pixel) => plot.xs[nearest(plot.xs.map(x.place), pixel)];
    plot.move = (step, isPointed = true) => {
      cursor.replaceChildren();
      readout.replaceChildren();
      if (isPointed) {
        const at = x.place(step);
        node(cursor, "svg:line", { class: "cursor", x1: at, x2: at, y1: TOP, y2: HEIGHT - BOTTOM });
      }
      for (const curve of curves) {
        const i = nearest(curve.x, step), line = node(readout, "li");
        if (names.length > 1) node(line, "span", { class: `chip run-${curve.run % 8}` }, names[curve.run]);
        node(line, "span", {}, `step ${whole(curve.x[i])}: ${short(curve.y[i])}`);
        const px = x.place(curve.x[i]), py = curve.y[i] === null ? null : y.place(curve.y[i]);
        if (isPointed && px !== null && py !== null) node(cursor, "svg:circle", { class: `dot run-${curve.run % 8}`, cx: px, cy: py, r: 4 });
      }
    };
    plot.rest = () => plot.move(plot.xs[plot.xs.length - 1], false);
    plot.rest();
  };

  const panel = (parent, series) => {
    const figure = node(parent, "figure", { class: "plot" });
    node(figure, "figcaption", {}, series.name);
    const label = `curve of ${series.name}; the arrow keys move along its steps`;
    const svg = node(figure, "svg:svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", tabindex: "0", "aria-label": label });
    const readout = node(figure, "ul", { "aria-live": "polite" });
    const note = node(figure, "p", { class: "note" });
    const plot = { svg, readout, note, xs: [], at: null, move: () => {}, rest: () => {}, stepAt: () => undefined };
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const step = plot.stepAt(((event.clientX - box.left) / box.width) * WIDTH);
      if (step !== undefined) plot.move(plot.at = step);
    });
    const leave = () => { plot.at = null; plot.rest(); };
    svg.addEventListener("pointerleave", leave);
    svg.addEventListener("blur", leave);
    svg.addEventListener("keydown", (event) => {
      if (!plot.xs.length) return;
      const last = plot.xs.length - 1, here = plot.at === null ? last : Math.max(0, plot.xs.indexOf(plot.at));
      const to = { ArrowLeft: here - 1, ArrowRight: here + 1, PageDown: here - 20, PageUp: here + 20, Home: 0, End: last }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      plot.move(plot.at = plot.xs[Math.min(last, Math.max(0, to))]);
    });
    return plot;
  };

  const curves = () => {
    const source = document.getElementById("curves-data"), form = document.getElementById("axes");
    if (!source || !form) return;
    const { runs, series } = JSON.parse(source.textContent);
    const parent = document.getElementById("plots");
    const plots = series.map((one) => panel(parent, one));
    const redraw = () => {
      const chosen = new FormData(form);
      const axes = { x: chosen.get("x"), y: chosen.get("y") };
      const visible = new Set(chosen.getAll("run").map(Number));
      series.forEach((one, i) => draw(plots[i], one, runs, axes, visible));
    };
    form.addEventListener("change", redraw);
    redraw();
  };

  // Samples ---------------------------------------------------------------------------------------------------------

  const slider = () => {
    const range = document.getElementById("slider");
    if (!range) return;
    const steps = range.dataset.steps.split(" ").map(Number);
    const strips = [...document.querySelectorAll(".strip")].map((strip) => [...strip.querySelectorAll(".frame")]);
    const output = document.getElementById("slider-step"), button = document.getElementById("play");
    const show = () => {
      const step = steps[Number(range.value)];
      output.textContent = whole(step);
      range.setAttribute("aria-valuetext", `step ${whole(step)}`);
      for (const frames of strips) {
        const reached = frames.filter((frame) => Number(frame.dataset.step) <= step);
        const chosen = reached.length ? reached[reached.length - 1] : frames[0];
        for (const frame of frames) frame.hidden = frame !== chosen;
      }
    };
    let timer = null;
    const stop = () => { clearInterval(timer); timer = null; button.textContent = "Play"; };
    button.addEventListener("click", () => {
      if (timer !== null) { stop(); return; }
      if (Number(range.value) === steps.length - 1) range.value = 0;
      show();
      button.textContent = "Stop";
      timer = setInterval(() => {
        range.value = Number(range.value) + 1;
        show();
        if (Number(range.value) === steps.length - 1) stop();
      }, Math.max(60, Math.min(500, 12000 / steps.length)));
    });
    range.addEventListener("input", () => { stop(); show(); });
    show();
  };

  curves();
  slider();
})();
