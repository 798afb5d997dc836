// A pulse enters the state h_t = A_bar h_{t-1} + B_bar u_t (zero-order hold, B = 1). What is left of it?
export function compute(p) {
  const A_bar = Math.exp(p.delta * p.A), B_bar = Math.expm1(p.delta * p.A) / p.A, h = [];
  for (let t = 0, s = 0; t < p.l; t++) h.push((s = A_bar * s + B_bar * (t === p.pulse)));
  return { h, A_bar, B_bar, half_life: Math.log(0.5) / (p.delta * p.A) };
}

export function describe(p, data, kit) {
  const gone = 1 - data.A_bar, percent = (v) => kit.fmt(100 * v) + " %";
  return `Δ = ${kit.fmt(p.delta)}, A = ${kit.fmt(p.A)}: each step forgets ${percent(gone)} of the state, so half of the pulse is left after ` +
    `${kit.fmt(data.half_life)} steps. A new input enters with weight B̄ = ${kit.fmt(data.B_bar)}. ` +
    (p.delta < 0.02 ? "A small Δ: the state hardly listens, and hardly forgets." : p.delta > 0.4 ? "A large Δ: the state takes in the new input and drops the past." : "Only the product Δ·A sets the forgetting.");
}

export function height() { return 330; }

export function draw(svg, data, p, kit, size) {
  const { X, Y, inside, value, box } = kit.axes(svg, {
    x: 40, y: 30, w: size.w - 48, h: 180, xlim: [0, p.l - 1], ylim: [0, 1.25], yticks: [0, 0.5, 1], xlabel: "step t", ylabel: "left of the pulse, hₜ / B̄",
  });
  const left = data.h.map((h) => h / data.B_bar), t = left.map((_, i) => i).slice(p.pulse);
  const xs = t.map(X), ys = t.map((i) => Y(left[i]));
  kit.line(inside, [xs[0], ...xs, xs.at(-1)], [Y(0), ...ys, Y(0)], { fill: "var(--mx-state)", "fill-opacity": 0.14, "stroke-width": 0 });
  kit.line(inside, xs, ys, { stroke: "var(--mx-state)", "stroke-width": 3 });
  kit.line(inside, [X(p.pulse), X(p.pulse)], [Y(0), Y(1)], { stroke: "var(--mx-input)", "stroke-width": 3 });
  kit.el("circle", { cx: X(p.pulse), cy: Y(1), r: 6, fill: "var(--mx-input)" }, svg);
  kit.text(svg, X(p.pulse), Y(1) - 12, "pulse u = 1", { "text-anchor": p.pulse > 0.9 * p.l ? "end" : p.pulse < 0.1 * p.l ? "start" : "middle" });

  const half = p.pulse + data.half_life;
  if (half <= p.l - 1) {
    kit.line(svg, [X(p.pulse), X(half), X(half)], [Y(0.5), Y(0.5), Y(0)], { stroke: "var(--mx-text)", "stroke-dasharray": "3 4", "stroke-width": 1.5 });
    kit.el("circle", { cx: X(half), cy: Y(0.5), r: 5, fill: "var(--mx-state)", stroke: "var(--mx-background)", "stroke-width": 2 }, svg);
    const end = X(half) + 150 > size.w;
    kit.text(svg, X(half) + (end ? -10 : 10), Y(0.5) + (end ? 22 : -6), `half left after ${kit.fmt(data.half_life)} steps`, { "text-anchor": end ? "end" : "start" });
  }

  // The two numbers of a step, as bars: what it keeps and what it takes in.
  const bar = (y, share, color, words) => {
    kit.el("rect", { x: 40, y, width: size.w - 48, height: 12, rx: 3, fill: "var(--mx-grid)", "fill-opacity": 0.6 }, svg);
    kit.el("rect", { x: 40, y, width: (size.w - 48) * share, height: 12, rx: 3, fill: `var(--mx-${color})` }, svg);
    kit.text(svg, 40, y - 5, words);
  };
  bar(272, data.A_bar, "state", `a step keeps Ā = ${kit.fmt(data.A_bar)} of the state`);
  bar(312, data.B_bar, "input", `and takes in B̄ = ${kit.fmt(data.B_bar)} of the input`);
  kit.drag(svg, box, (x) => ({ pulse: kit.clamp(Math.round(value.x(x)), 0, p.l - 1) }));
}
