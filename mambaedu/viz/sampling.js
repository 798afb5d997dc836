// A spring (or a decay) is pushed by a drawn input and looked at every delta seconds.
export function compute(p) {
  const T = 8, fine = 0.05;
  const add = (a, b) => [a[0] + b[0], a[1] + b[1]], mul = (a, b) => [a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]];
  const times = (s, a) => [s * a[0], s * a[1]], div = (a, b) => times(1 / (b[0] ** 2 + b[1] ** 2), mul(a, [b[0], -b[1]]));
  const exp = (a) => times(Math.exp(a[0]), [Math.cos(a[1]), Math.sin(a[1])]), one = [1, 0];
  const A = p.system === "spring" ? [-0.5, 2] : [-1, 0], C = p.system === "spring" ? [0, -4.25 / 2] : one;
  const input = (t) => { const i = Math.min(Math.floor(t), T - 1); return p.u[i] + (t - i) * (p.u[i + 1] - p.u[i]); };
  const phi1 = (x) => div(add(exp(x), [-1, 0]), x), phi2 = (x) => div(add(phi1(x), [-1, 0]), x);
  const rules = {   // A_bar and B_bar for B = 1, with x = delta A
    zoh: (x, d) => [exp(x), times(d, phi1(x))],
    bilinear: (x, d) => [div(add(one, times(0.5, x)), add(one, times(-0.5, x))), div([d, 0], add(one, times(-0.5, x)))],
    forward_euler: (x, d) => [add(one, x), [d, 0]],
    backward_euler: (x, d) => [div(one, add(one, times(-1, x))), div([d, 0], add(one, times(-1, x)))],
    mamba_rule: (x, d) => [exp(x), [d, 0]],
  };
  const path = (A_bar, b) => { let h = [0, 0]; return [0, ...b.map((b_t) => { h = add(mul(A_bar, h), b_t); return mul(C, h)[0]; })]; };

  const l = Math.floor(T / p.delta + 1e-9), held = Array.from({ length: l }, (_, t) => input(t * p.delta));
  const [A_bar, B_bar] = rules[p.rule](times(p.delta, A), p.delta), dots = path(A_bar, held.map((u) => times(u, B_bar)));
  const parts = Math.ceil(p.delta / fine), d = p.delta / parts, [A_part, B_part] = rules.zoh(times(d, A), d);
  const true_ = path(A_part, held.flatMap((u) => Array(parts).fill(times(u, B_part))));
  const x = times(fine, A), B_next = times(fine, phi2(x)), B_prev = add(times(fine, phi1(x)), times(-1, B_next));
  const smooth = path(exp(x), Array.from({ length: 160 }, (_, i) => add(times(input(i * fine), B_prev), times(input((i + 1) * fine), B_next))));
  return { held, dots, true: true_, parts, smooth, size: Math.hypot(...A_bar) };
}

export function describe(p, data, kit) {
  const miss = Math.max(...data.dots.map((y, t) => Math.abs(y - data.true[t * data.parts]))), start = `${NAMES[p.rule]}, Δ = ${kit.fmt(p.delta)}: `;
  if (miss < 1e-9) return start + "every dot lies on the grey path, the exact answer to the held input. The dashed path is the answer to the input as drawn; smaller steps bring the two together.";
  return start + `the dots miss the grey path by up to ${kit.fmt(miss)}. ` +
    (data.size > 1 ? `|Ā| = ${kit.fmt(data.size)} is above 1: each step makes the error larger.` : `|Ā| = ${kit.fmt(data.size)}: the error stays, but does not grow.`);
}

const NAMES = { zoh: "Zero-order hold", bilinear: "Bilinear", forward_euler: "Forward Euler", backward_euler: "Backward Euler", mamba_rule: "Mamba's rule" };
const keyHeight = (width) => (width > 500 ? 0 : 44);   // a narrow page has the key in lines of its own
export function height(width) { return 400 + keyHeight(width); }

export function draw(svg, data, p, kit, size) {
  const x = 40, w = size.w - 52, extra = keyHeight(size.w), xlim = [0, 8], name = p.system === "spring" ? "position" : "state h";
  const top = kit.axes(svg, { x, y: 30 + extra, w, h: 170, xlim, ylim: [-1.6, 1.6], yticks: [-1, 0, 1], xlabel: "", ylabel: name });
  const at = (ys, step) => [ys.map((_, i) => top.X(i * step)), ys.map((y) => top.Y(y))];
  kit.line(top.inside, ...at(data.smooth, 0.05), { stroke: "var(--mx-truth)", "stroke-width": 1.5, "stroke-dasharray": "5 4" });
  kit.line(top.inside, ...at(data.true, p.delta / data.parts), { stroke: "var(--mx-truth)", "stroke-width": 3 });
  data.dots.forEach((y, t) => {
    const cx = top.X(t * p.delta), color = { fill: "var(--mx-state)", stroke: "var(--mx-background)", "stroke-width": 1.5 };
    if (Math.abs(y) <= 1.6) kit.el("circle", { cx, cy: top.Y(y), r: p.delta < 0.2 ? 3.5 : 5, ...color }, svg);
    else kit.el("path", { d: `M${cx - 5} ${top.Y(Math.sign(y) * 1.5)}h10l-5 ${-9 * Math.sign(y)}z`, ...color }, svg);   // off the picture
  });
  const dots = NAMES[p.rule], places = extra ? [[14, 16], [160, 16], [14, 38]] : [[size.w - 405, 20], [size.w - 264, 20], [size.w - 130, 20]];
  [["exact, input held", 3, ""], ["exact, as drawn", 1.5, "5 4"], [dots]].forEach(([words, thick, dashes], i) => {
    const [kx, ky] = places[i];
    if (thick) kit.line(svg, [kx, kx + 20], [ky - 4, ky - 4], { stroke: "var(--mx-truth)", "stroke-width": thick, "stroke-dasharray": dashes });
    else kit.el("circle", { cx: kx + 12, cy: ky - 4, r: 5, fill: "var(--mx-state)" }, svg);
    kit.text(svg, kx + 26, ky, words);
  });

  const low = kit.axes(svg, { x, y: 250 + extra, w, h: 110, xlim, ylim: [-1.15, 1.15], yticks: [-1, 0, 1], xlabel: "time", ylabel: "input u: drag the points" });
  data.held.forEach((u, t) => {
    const left = low.X(t * p.delta), right = low.X((t + 1) * p.delta);
    kit.el("rect", { x: left, width: right - left, y: low.Y(Math.max(u, 0)), height: Math.abs(low.Y(u) - low.Y(0)), fill: "var(--mx-input)", "fill-opacity": 0.22 }, svg);
    kit.line(svg, [left, right], [low.Y(u), low.Y(u)], { stroke: "var(--mx-input)", "stroke-width": 2.5 });
  });
  kit.line(svg, p.u.map((_, i) => low.X(i)), p.u.map(low.Y), { stroke: "var(--mx-input)", "stroke-width": 1.2 });
  p.u.forEach((u, i) => kit.el("circle", { cx: low.X(i), cy: low.Y(u), r: i === p.point ? 7 : 5, fill: i === p.point ? "var(--mx-input)" : "var(--mx-background)", stroke: "var(--mx-input)", "stroke-width": 2 }, svg));
  const box = { x: x - 8, y: 244 + extra, w: w + 16, h: 122 };
  kit.drag(svg, box, (px, py) => {
    const point = kit.clamp(Math.round(low.value.x(px)), 0, 8), u = kit.clamp(Math.round(low.value.y(py) * 20) / 20, -1, 1);
    return { point, u: p.u.map((old, i) => (i === point ? u : old)) };
  });
}
