/** A line over time: enough for a few minutes of a few numbers. */

const WIDTH = 300;
const HEIGHT = 64;

export type Point = { at: number; value: number };

export function Plot({ title, points, show }: { title: string; points: Point[]; show: (value: number) => string }) {
  const last = points.at(-1);
  const most = Math.max(...points.map((point) => point.value), 0);
  const first = points[0]?.at ?? 0;
  const span = Math.max((last?.at ?? 0) - first, 1);
  const x = (point: Point) => ((point.at - first) / span) * WIDTH;
  const y = (point: Point) => HEIGHT - 2 - (most > 0 ? point.value / most : 0) * (HEIGHT - 4);
  const line = points.map((point) => `${x(point).toFixed(1)},${y(point).toFixed(1)}`).join(" ");
  return (
    <figure className="plot">
      <figcaption><span>{title}</span> <b>{last ? show(last.value) : "…"}</b></figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={`${title}: ${last ? `${show(last.value)} now, at most ${show(most)}` : "no value yet"}`}>
        {points.length > 1 && <polyline points={line} />}
      </svg>
      <small>at most {show(most)}</small>
    </figure>
  );
}
