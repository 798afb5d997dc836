// A mode lambda of h' = lambda h, and where each rule sends it: inside the unit circle it decays, outside it grows.
export function compute(p) {
  const div = (a, b) => { const s = b[0] ** 2 + b[1] ** 2; return [(a[0] * b[0] + a[1] * b[1]) / s, (a[1] * b[0] - a[0] * b[1]) / s]; };
  const rules = {
    zoh: ([r, i]) => [Math.exp(r) * Math.cos(i), Math.exp(r) * Math.sin(i)],
    bilinear: ([r, i]) => div([1 + r / 2, i / 2], [1 - r / 2, -i / 2]),
    forward_euler: ([r, i]) => [1 + r, i],
    backward_euler: ([r, i]) => div([1, 0], [1 - r, -i]),
  };
  const data = {};
  for (const [name, rule] of Object.entries(rules)) {
    const way = Array.from({ length: 33 }, (_, k) => rule([(p.delta * k / 32) * p.re, (p.delta * k / 32) * p.im]));
    data[name] = { re: way.map((a) => a[0]), im: way.map((a) => a[1]) };
  }
  return data;
}

const RULES = [["zoh", "exp (ZOH, Mamba)", "state"], ["bilinear", "bilinear", "extra"], ["forward_euler", "forward Euler", "other"], ["backward_euler", "backward Euler", "truth"]];
const sizeOf = (way) => Math.hypot(way.re.at(-1), way.im.at(-1));

export function describe(p, data, kit) {
  const grows = RULES.filter(([rule]) => sizeOf(data[rule]) > 1 + 1e-9).map(([, name]) => name), number = `λ = ${kit.fmt(p.re)} ${p.im < 0 ? "−" : "+"} ${kit.fmt(Math.abs(p.im))}i, Δ = ${kit.fmt(p.delta)}: `;
  const list = (names) => (names.length > 1 ? names.slice(0, -1).join(", ") + " and " + names.at(-1) : names[0]);
  if (Math.abs(p.re) < 1e-12) return number + "the mode neither decays nor grows. exp and bilinear stay on the circle; " + (p.im ? "forward Euler leaves it, backward Euler falls inside." : "so does every rule.");
  if (p.re > 0) return number + (grows.length < 4 ? `the mode grows, but under ${list(RULES.filter(([, name]) => !grows.includes(name)).map(([, name]) => name))} it decays: a stable answer, and a wrong one.` : "the mode grows, and every rule says so.");
  if (!grows.length) return number + "the mode decays, and every rule keeps it inside the circle. Forward Euler does so only while λ lies inside the dashed curve, which shrinks as Δ grows.";
  return number + `the mode decays, but under ${list(grows)} it grows, |Ā| = ${kit.fmt(sizeOf(data.forward_euler))}. Forward Euler needs λ inside the dashed curve; the other three decay at every Δ.`;
}

// Three layouts: the list of rules beside the planes, below them, or everything in one column.
function layout(width) {
  if (width > 680) return { leftW: 170, leftH: 235, side: 235, rx: 275, ry: 34, list: (i) => [538, 70 + 52 * i, 16, 18], height: 310 };
  if (width > 480) {
    const side = Math.min(260, 0.62 * (width - 110)), leftW = width - side - 110;
    return { leftW, leftH: side, side, rx: leftW + 102, ry: 34, list: (i) => [56 + (i % 2) * 0.5 * width, side + 100 + 46 * (i >> 1), 16, 18], height: side + 178 };
  }
  const side = Math.min(270, width - 60);
  return { leftW: side, leftH: 0.8 * side, side, rx: 44, ry: 0.8 * side + 110, list: (i) => [14, 1.8 * side + 170 + 22 * i, width - 132, 0], height: 1.8 * side + 250 };
}
export function height(width) { return layout(width).height; }

export function draw(svg, data, p, kit, size) {
  const { leftW, leftH, side, rx, ry, list } = layout(size.w);
  // Left: the mode. Everything with Re < 0 decays; forward Euler keeps only what lies in a disc.
  const left = kit.axes(svg, { x: 44, y: 34, w: leftW, h: leftH, xlim: [-4.5, 1], ylim: [-6.5, 6.5], xticks: [-4, -2, 0], yticks: [-6, -3, 0, 3, 6], xlabel: "Re λ", ylabel: "Im λ: drag the mode" });
  const shade = { fill: "var(--mx-state)", "fill-opacity": 0.13 };
  kit.el("rect", { x: left.box.x, y: left.box.y, width: left.X(0) - left.box.x, height: left.box.h, ...shade }, left.inside);
  kit.el("ellipse", { cx: left.X(-1 / p.delta), cy: left.Y(0), rx: left.X(1 / p.delta) - left.X(0), ry: left.Y(0) - left.Y(1 / p.delta), fill: "none", stroke: "var(--mx-other)", "stroke-width": 1.5, "stroke-dasharray": "4 3" }, left.inside);
  kit.line(left.inside, [left.X(0), left.X(0)], [left.box.y, left.box.y + left.box.h], { stroke: "var(--mx-truth)", "stroke-width": 1.5 });
  kit.el("circle", { cx: left.X(p.re), cy: left.Y(p.im), r: 8, fill: "var(--mx-text)", stroke: "var(--mx-background)", "stroke-width": 2 }, svg);

  // Right: A_bar, with the way it has come from delta = 0, where every rule gives 1.
  const edge = 1.75;
  const right = kit.axes(svg, { x: rx, y: ry, w: side, h: side, xlim: [-edge, edge], ylim: [-edge, edge], xticks: [-1, 0, 1], yticks: [-1, 0, 1], xlabel: "Re Ā", ylabel: "Im Ā" });
  const unit = right.X(1) - right.X(0);
  kit.el("circle", { cx: right.X(0), cy: right.Y(0), r: unit, ...shade, stroke: "var(--mx-truth)", "stroke-width": 1.5 }, right.inside);
  const mark = (shape, cx, cy, color) => {
    const d = { zoh: "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0 -12 0z", bilinear: "M-5.5-5.5h11v11h-11z", forward_euler: "M0-7l7 12h-14z", backward_euler: "M0-7l6.5 7l-6.5 7l-6.5-7z" }[shape];
    kit.el("path", { d, transform: `translate(${cx.toFixed(1)} ${cy.toFixed(1)})`, fill: `var(--mx-${color})`, stroke: "var(--mx-background)", "stroke-width": 1.5 }, svg);
  };
  for (const [rule, , color] of RULES) kit.line(right.inside, data[rule].re.map(right.X), data[rule].im.map(right.Y), { stroke: `var(--mx-${color})`, "stroke-width": 2 });
  RULES.toReversed().forEach(([rule, , color]) => {
    const a = data[rule].re.at(-1), b = data[rule].im.at(-1), off = Math.max(Math.abs(a), Math.abs(b)) / (edge * 0.96), s = off > 1 ? 1 / off : 1;
    mark(rule, right.X(a * s), right.Y(b * s), color);   // a point outside the picture sits at its edge
  });

  RULES.forEach(([rule, name, color], i) => {
    const [x, y, dx, dy] = list(i), r = sizeOf(data[rule]);
    const verdict = `|Ā| = ${kit.fmt(r)} ${r > 1 + 1e-9 ? "grows" : r < 1 - 1e-9 ? "decays" : "stays"}`;
    mark(rule, x, y - 4, color);
    kit.text(svg, x + 16, y, name);
    kit.text(svg, dy ? x + dx : dx, y + dy, verdict, { style: `font-weight:${r > 1 + 1e-9 ? 700 : 400}` });
  });
  kit.drag(svg, left.box, (x, y) => ({ re: kit.clamp(Math.round(left.value.x(x) * 20) / 20, -4, 0.4), im: kit.clamp(Math.round(left.value.y(y) * 10) / 10, -6, 6) }));
}
