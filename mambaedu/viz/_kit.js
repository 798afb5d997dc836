// What every explorable shares: controls, painting, words, the address. A file beside this one is one explorable and exports
//   compute(p) -> data                       the mathematics, checked against Python
//   height(width, data) -> height            in pixels; text never shrinks, the drawing gets more or less room
//   draw(svg, data, p, kit, size)            size = { w, h } in pixels
//   describe(p, data, kit) -> a sentence     what is seen, in words
const kit = {
  // ---- drawing ----
  el(tag, attrs, parent) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attrs)) node.setAttribute(key, value);
    if (parent) parent.appendChild(node);
    return node;
  },
  text(parent, x, y, words, attrs = {}) {
    const node = kit.el("text", { x, y, ...attrs }, parent);
    node.textContent = words;
    return node;
  },
  line(parent, xs, ys, attrs) {
    const d = xs.map((x, i) => `${i ? "L" : "M"}${x.toFixed(1)} ${ys[i].toFixed(1)}`).join("");
    return kit.el("path", { d, fill: "none", "stroke-width": 2, "stroke-linejoin": "round", ...attrs }, parent);
  },
  // One panel: grid, numbers, names. x, y, w, h is the plot itself; leave 24 above it, 40 below it and 40 left of it.
  axes(parent, { x, y, w, h, xlim, ylim, xlabel, ylabel, xticks, yticks }) {
    const X = (v) => x + (w * (v - xlim[0])) / (xlim[1] - xlim[0]);
    const Y = (v) => y + h - (h * (v - ylim[0])) / (ylim[1] - ylim[0]);
    const grid = (x1, y1, x2, y2) => kit.el("line", { x1, y1, x2, y2, stroke: "var(--mx-grid)" }, parent);
    for (const v of xticks || kit.ticks(xlim, w / 60)) {
      grid(X(v), y, X(v), y + h);
      kit.text(parent, X(v), y + h + 16, kit.fmt(v), { "text-anchor": "middle", class: "mx-soft" });
    }
    for (const v of yticks || kit.ticks(ylim, h / 35)) {
      grid(x, Y(v), x + w, Y(v));
      kit.text(parent, x - 6, Y(v) + 4, kit.fmt(v), { "text-anchor": "end", class: "mx-soft" });
    }
    kit.text(parent, x + w, y + h + 33, xlabel, { "text-anchor": "end" });
    kit.text(parent, x - 30, y - 10, ylabel);
    // Whatever is drawn into `inside` is cut at the edge of the plot.
    const inside = kit.el("svg", { x, y, width: w, height: h, viewBox: `${x} ${y} ${w} ${h}`, style: `width:${w}px;height:${h}px;overflow:hidden` }, parent);
    const value = { x: (px) => xlim[0] + ((px - x) / w) * (xlim[1] - xlim[0]), y: (py) => ylim[0] + ((y + h - py) / h) * (ylim[1] - ylim[0]) };
    return { X, Y, inside, value, box: { x, y, w, h } };
  },
  ticks([lo, hi], count) {
    const rough = (hi - lo) / Math.max(2, count), power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((m) => m * power >= rough * 0.999);
    const all = [];
    for (let k = Math.ceil(lo / step - 1e-9); k * step <= hi + step * 1e-9; k++) all.push(Number((k * step).toPrecision(12)));
    return all;
  },
  // Dragging inside `box` calls move(x, y, first), which returns the parameters that change. One such area in a drawing.
  drag(svg, box, move) { svg.grab = { box, move }; },

  // ---- numbers ----
  clamp: (v, lo, hi) => Math.min(hi, Math.max(lo, v)),
  fmt(v) {
    const size = Math.abs(v);
    if (size !== 0 && (size < 1e-3 || size >= 1e5)) {
      const power = Math.floor(Math.log10(size) + 1e-12);
      return `${(v / 10 ** power).toFixed(0)}·10${[...String(power)].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("")}`.replace("-", "−");
    }
    return String(size >= 100 ? Number(v.toFixed(0)) : Number(v.toPrecision(3))).replace("-", "−");
  },

  // ---- the parameters in the address: #forgetting.delta=0.3&forgetting.pulse=60 ----
  address(name) {
    const parts = location.hash.slice(1).split("&").filter((part) => part.includes("="));
    const mine = parts.filter((part) => part.startsWith(name + ".")).map((part) => part.slice(name.length + 1).split("="));
    return { mine: Object.fromEntries(mine.map(([key, v]) => [key, decodeURIComponent(v)])), others: parts.filter((part) => !part.startsWith(name + ".")) };
  },
  count: (globalThis.mxCount ??= {}),   // how many of each name the page holds

  // ---- one explorable on the page ----
  mount(root, model, view) {
    const spec = model.get("spec"), first = model.get("params");
    const nth = (kit.count[spec.name] = (kit.count[spec.name] || 0) + 1);
    const name = nth > 1 ? `${spec.name}-${nth}` : spec.name;
    const ownPage = spec.engine !== "python" && !document.body.dataset.jpThemeLight;   // in JupyterLab the address is not ours
    const make = (tag, className, parent) => { const e = document.createElement(tag); e.className = className; if (parent) parent.appendChild(e); return e; };
    let p = { ...first }, queued = false, touched = false, later = 0, playing = 0, turn = 0, waiting = false, sent, width = 0;

    root.replaceChildren();
    root.className = "mx";
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", spec.title);
    make("p", "mx-title", root).textContent = spec.title;
    const stage = make("div", "mx-stage", root), svg = kit.el("svg", { role: "img", "aria-labelledby": `mx-say-${name}` }, stage);
    const ink = kit.el("g", {}, svg), area = make("div", "mx-grab", stage);
    const say = make("p", "mx-say", root), bar = make("div", "mx-bar", root), buttons = make("div", "mx-buttons");
    say.id = `mx-say-${name}`;
    say.setAttribute("aria-live", "polite");

    // Controls. One with `index` edits one entry of a list: the entry that the parameter named by `index` points at.
    const get = (c) => (c.index ? p[c.name][p[c.index]] : p[c.name]);
    const put = (c, v) => ({ [c.name]: c.index ? p[c.name].map((old, i) => (i === p[c.index] ? v : old)) : v });
    const toPlace = (c, v) => (c.values ? c.values.indexOf(v) : c.log ? (200 * Math.log(v / c.min)) / Math.log(c.max / c.min) : v);
    const toValue = (c, place) => (c.values ? c.values[place] : c.log ? Number((c.min * (c.max / c.min) ** (place / 200)).toPrecision(3)) : place);
    const shown = (c) => (c.labels ? c.labels[toPlace(c, get(c))] : kit.fmt(get(c)));
    const rows = spec.controls.map((c) => {
      const label = make("label", "mx-ctl", bar), words = make("span", "", label);
      const input = make(c.labels ? "select" : "input", "", label), out = c.labels ? null : make("output", "", label);
      words.textContent = c.label;
      if (c.labels) c.labels.forEach((text, i) => { const o = make("option", "", input); o.value = i; o.textContent = text; });
      else Object.assign(input, { type: "range" }, c.values ? { min: 0, max: c.values.length - 1, step: 1 } : c.log ? { min: 0, max: 200, step: 1 } : { min: c.min, max: c.max, step: c.step });
      input.dataset.name = c.name;
      input.addEventListener("input", () => change(put(c, toValue(c, +input.value))));
      return { c, input, out };
    });
    function change(changes) { p = { ...p, ...changes }; touched = true; ask(); }
    function ask() { if (!queued) { queued = true; requestAnimationFrame(paint); } }

    // Play walks one slider from left to right. For readers who asked for less motion, a press is one step.
    const button = (text, press) => { const b = make("button", "", buttons); b.type = "button"; b.textContent = text; b.addEventListener("click", () => press(b)); return b; };
    const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
    function step() {
      const { c, input } = rows.find((row) => row.c.name === spec.play), span = input.max - input.min;
      const next = +input.value + Math.max(+input.step, Math.round(span / 100 / input.step) * input.step);
      change(put(c, toValue(c, next > +input.max + 1e-9 ? +input.min : Number(next.toPrecision(12)))));
      place();
    }
    if (spec.play) button(calm() ? "Step" : "Play", (b) => {
      if (calm()) return step();
      let before = 0;
      const tick = (now) => { if (!root.isConnected) return; if (now - before > 50) { before = now; step(); } playing = requestAnimationFrame(tick); };
      if (playing) { cancelAnimationFrame(playing); playing = 0; } else playing = requestAnimationFrame(tick);
      b.textContent = playing ? "Pause" : "Play";
    });
    button("Reset", () => change(structuredClone(first)));
    bar.appendChild(buttons);
    function place() { for (const { c, input, out } of rows) { input.value = toPlace(c, get(c)); if (out) { out.textContent = shown(c); input.setAttribute("aria-valuetext", `${c.label} ${shown(c)}`); } } }

    // Pointer. The area lies over the ink and stays while the ink is redrawn, so that a touch is never lost.
    // It is not part of the SVG: there Chromium ignores touch-action, and the page would scroll under the finger.
    const point = (e) => { const r = svg.getBoundingClientRect(); return [e.clientX - r.left, e.clientY - r.top]; };
    const move = (e, start) => { const changes = ink.grab && ink.grab.move(...point(e), start, p); if (changes) change(changes); };
    area.addEventListener("pointerdown", (e) => { if (e.button) return; area.setPointerCapture(e.pointerId); move(e, true); e.preventDefault(); });
    area.addEventListener("pointermove", (e) => { if (area.hasPointerCapture(e.pointerId)) move(e, false); });

    // With an engine in Python the answer comes late. It says which parameters it belongs to; those are drawn, never the sliders'.
    function result() {
      if (spec.engine === "table") return { params: p, data: model.get("table")[spec.controls.map((c) => c.values.indexOf(p[c.name])).join()] };
      if (spec.engine === "js") return { params: p, data: view.compute(p) };
      return model.get("answer");
    }
    function send() {
      if (spec.engine !== "python" || waiting || sent === p) return;
      waiting = true;
      sent = p;
      model.set("ask", { turn: ++turn, params: p });
      model.save_changes();
    }
    function answered() { waiting = false; ask(); }
    if (spec.engine === "python") { p = sent = model.get("ask").params; turn = model.get("ask").turn; model.on("change:answer", answered); }

    function paint() {
      queued = false;
      send();
      const start = performance.now(), w = Math.round(stage.clientWidth) || 640, now = result();
      place();
      if (now.data) {
        const h = view.height(w, now.data);
        width = w;
        svg.setAttribute("viewBox", `0 0 ${w} ${h}`);
        ink.replaceChildren();
        ink.grab = null;
        view.draw(ink, now.data, now.params, kit, { w, h });
        const box = ink.grab ? ink.grab.box : { x: 0, y: 0, w: 0, h: 0 };
        Object.assign(area.style, { left: `${box.x}px`, top: `${box.y}px`, width: `${box.w}px`, height: `${box.h}px` });
      }
      say.classList.toggle("mx-error", !!now.error);
      clearTimeout(later);
      const tell = () => { say.textContent = now.error || view.describe(now.params, now.data, kit); remember(); };
      if (say.textContent) later = setTimeout(tell, 250); else tell();
      root.dataset.ms = (performance.now() - start).toFixed(2);
      root.dataset.paints = 1 + +(root.dataset.paints || 0);
    }

    function remember() {
      if (!touched || !ownPage) return;
      const text = (v) => (Array.isArray(v) ? v.join() : encodeURIComponent(v));
      const mine = spec.controls.filter((c) => String(p[c.name]) !== String(first[c.name])).map((c) => `${name}.${c.name}=${text(p[c.name])}`);
      const hash = [...kit.address(name).others, ...mine].join("&");
      try { history.replaceState(history.state, "", hash ? "#" + hash : location.pathname + location.search); } catch { /* a frame without an address of its own */ }
    }
    function recall() {
      const wanted = kit.address(name).mine, found = {};
      for (const c of spec.controls) {
        if (!(c.name in wanted)) continue;
        const snap = (v) => (c.log ? v : Number((c.min + Math.round((v - c.min) / c.step) * c.step).toPrecision(12)));
        const read = (v) => (c.values ? c.values.find((one) => String(one) === v) : v !== "" && Number.isFinite(+v) ? snap(kit.clamp(+v, c.min, c.max)) : undefined);
        const v = c.index ? wanted[c.name].split(",").map(read) : read(wanted[c.name]);
        if (c.index ? v.length === first[c.name].length && !v.includes(undefined) : v !== undefined) found[c.name] = v;
      }
      if (!Object.keys(found).length) return false;
      p = { ...structuredClone(first), ...found };
      return true;
    }

    // JupyterLab and the theme listen to keys and clicks on the whole page: what happens in here stays in here.
    for (const kind of ["keydown", "mousedown", "mouseup", "click", "pointerdown", "focusin"]) root.addEventListener(kind, (e) => e.stopPropagation());
    root.setAttribute("data-lm-suppress-shortcuts", "true");
    const named = ownPage && recall();
    paint();
    if (named) root.scrollIntoView({ block: "center" });
    if (ownPage) addEventListener("hashchange", () => { if (recall()) { ask(); root.scrollIntoView({ block: "center" }); } });
    // A drawing can make the page longer, a scroll bar appears, and the stage is narrower than it was drawn for.
    const watch = new ResizeObserver(() => { if (stage.clientWidth && stage.clientWidth !== width) ask(); });
    watch.observe(stage);
    root.dataset.ready = "1";
    return () => { watch.disconnect(); clearTimeout(later); cancelAnimationFrame(playing); if (model.off) model.off("change:answer", answered); };
  },
  page: (state) => ({ get: (key) => state[key] }),
};
