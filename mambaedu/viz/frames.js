// Ready-made pictures, one for each position of a slider. There is no compute: the table comes from Python.
const drawnWidth = (width) => Math.min(width, 440);
export function height(width, data) { return drawnWidth(width) * data.ratio; }

export function describe(p, data) { return data.alt; }

export function draw(svg, data, p, kit, size) {
  const w = drawnWidth(size.w);
  for (const theme of ["light", "dark"]) kit.el("image", { href: data[theme], width: w, height: w * data.ratio, class: `mx-${theme}` }, svg);
}
