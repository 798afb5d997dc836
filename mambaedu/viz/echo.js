// Impulses dropped into the loop h_t = A_bar h_{t-1} + u_t, y_t = Re h_t; and the same output as a sum of shifted echoes.
export function compute(p) {
  const r = Math.exp(-p.decay), c = r * Math.cos(p.frequency), s = r * Math.sin(p.frequency);
  const u = new Array(p.l).fill(0), kernel = [], loop = [];
  p.at.forEach((t, i) => { u[t] += p.size[i]; });
  for (let t = 0, re = 1, im = 0; t < p.l; t++) { kernel.push(re); [re, im] = [c * re - s * im, s * re + c * im]; }
  for (let t = 0, re = 0, im = 0; t < p.l; t++) { [re, im] = [c * re - s * im + u[t], s * re + c * im]; loop.push(re); }
  const convolution = u.map((_, t) => { let y = 0; for (let j = 0; j <= t; j++) y += kernel[j] * u[t - j]; return y; });
  return { u, kernel, loop, convolution };
}

export function describe(p, data, kit) {
  const miss = Math.max(...data.loop.map((y, t) => Math.abs(y - data.convolution[t]))), many = p.size.filter((v) => v !== 0).length;
  const words = ["No impulse, no echo", "One impulse, one echo", "Two impulses, two echoes", "Three impulses, three echoes"][many];
  return `${words}. An echo is down to a tenth after ${kit.fmt(Math.log(10) / p.decay)} steps. ` +
    (p.t < p.l - 1 ? `The loop has done ${p.t + 1} of ${p.l} steps; it knows nothing of what comes later. ` : "") +
    `Loop and sum of echoes differ by at most ${miss < 1e-300 ? "0" : kit.fmt(miss)}.`;
}

const wideFrom = 560;
export function height(width) { return width > wideFrom ? 390 : 690; }

export function draw(svg, data, p, kit, size) {
  const wide = size.w > wideFrom, w = wide ? (size.w - 110) / 2 : size.w - 52, xlim = [-0.5, p.l - 0.5], high = Math.max(1.25, ...data.loop.map((v) => Math.abs(v) * 1.1));
  const panel = (column, row, h, ylim, ylabel, xlabel) => kit.axes(svg, {
    x: column && wide ? w + 98 : 40, w, h, xlim, ylim, ylabel, xlabel, yticks: high > 2.2 && ylim[1] > 2 ? [-2, 0, 2] : [-1, 0, 1],
    y: wide ? [34, 200][row] : [34, 358, 190, 524][2 * column + row],
  });
  const input = panel(0, 0, wide ? 100 : 90, [-1.2, 1.2], "input u: drag an impulse", wide ? "" : "step t");
  const kernel = panel(1, 0, wide ? 100 : 90, [-1.2, 1.2], "kernel K: the echo of one impulse", wide ? "" : "steps later");
  const loop = panel(0, 1, wide ? 145 : 100, [-high, high], "output y: the loop, step by step", wide ? "step t" : "step t");
  const sum = panel(1, 1, wide ? 145 : 120, [-high, high], "output y: the sum of shifted echoes", "step t");
  const steps = data.u.map((_, t) => t);

  for (const one of [input, loop, sum, kernel]) kit.line(one.inside, [one.X(-1), one.X(p.l)], [one.Y(0), one.Y(0)], { stroke: "var(--mx-truth)", "stroke-width": 1 });
  p.at.forEach((t, i) => {
    const chosen = i === p.which;
    kit.line(svg, [input.X(t), input.X(t)], [input.Y(0), input.Y(p.size[i])], { stroke: "var(--mx-input)", "stroke-width": 3 });
    kit.el("circle", { cx: input.X(t), cy: input.Y(p.size[i]), r: chosen ? 7 : 5.5, fill: chosen ? "var(--mx-input)" : "var(--mx-background)", stroke: "var(--mx-input)", "stroke-width": 2 }, svg);
    const late = steps.slice(t);
    kit.line(sum.inside, late.map(sum.X), late.map((k) => sum.Y(p.size[i] * data.kernel[k - t])), { stroke: "var(--mx-output)", "stroke-opacity": 0.55, "stroke-width": 1.2, "stroke-dasharray": ["", "5 3", "2 3"][i] });
  });
  kit.line(kernel.inside, steps.map(kernel.X), data.kernel.map(kernel.Y), { stroke: "var(--mx-other)", "stroke-width": 2.5 });
  kit.line(sum.inside, steps.map(sum.X), data.convolution.map(sum.Y), { stroke: "var(--mx-output)", "stroke-width": 3 });
  for (const t of steps.slice(0, p.t + 1)) {
    kit.line(loop.inside, [loop.X(t), loop.X(t)], [loop.Y(0), loop.Y(data.loop[t])], { stroke: "var(--mx-output)", "stroke-width": 1.2, "stroke-opacity": 0.6 });
    kit.el("circle", { cx: loop.X(t), cy: loop.Y(data.loop[t]), r: wide ? 3.2 : 2.8, fill: "var(--mx-output)" }, loop.inside);
  }
  const box = { x: input.box.x, y: input.box.y - 6, w: input.box.w, h: input.box.h + 12 };
  kit.drag(svg, box, (x, y, first, now) => {
    const t = kit.clamp(Math.round(input.value.x(x)), 0, p.l - 1), v = kit.clamp(Math.round(input.value.y(y) * 20) / 20, -1, 1);
    const near = now.at.map((a) => Math.abs(a - t)), which = first ? near.indexOf(Math.min(...near)) : now.which;
    return { which, at: now.at.map((a, i) => (i === which ? t : a)), size: now.size.map((a, i) => (i === which ? v : a)) };
  });
}
