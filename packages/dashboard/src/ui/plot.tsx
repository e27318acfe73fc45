/** A line over time. All plots of a page share their span, and the moment at which somebody looks. */

import { useMemo, type PointerEvent } from "react";

const WIDTH = 300;
const HEIGHT = 64;

export type Point = { at: number; value: number };

type Props = {
  title: string; points: Point[]; show: (value: number) => string;
  /** What is shown, Unix seconds, and how far two values may lie apart of which all between are known. */
  from: number; to: number; gap: number;
  /** At which moment; none: the newest. */
  moment: number | undefined;
  onMoment: (at: number) => void;
};

export function Plot({ title, points, show, from, to, gap, moment, onMoment }: Props) {
  const most = Math.max(...points.map((point) => point.value), 0);
  const x = (at: number) => ((at - from) / Math.max(to - from, 1)) * WIDTH;
  const y = (value: number) => HEIGHT - 2 - (most > 0 ? value / most : 0) * (HEIGHT - 4);
  // What is not known is not drawn.
  const lines = useMemo(() => {
    const lines: string[][] = [];
    points.forEach(({ at, value }, place) => {
      if (at - (points[place - 1]?.at ?? -Infinity) > gap) lines.push([]);
      lines.at(-1)!.push(`${x(at).toFixed(1)},${y(value).toFixed(1)}`);
    });
    return lines;
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [points, from, to, gap]);
  const chosen = moment === undefined ? points.at(-1) : nearest(points, moment, gap);
  const point = (event: PointerEvent) => {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    onMoment(from + ((event.clientX - left) / width) * (to - from));
  };
  const told = chosen ? show(chosen.value) : moment === undefined ? "…" : "not known";
  return (
    <figure className="plot">
      <figcaption><span>{title}</span> <b>{told}</b></figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" onPointerMove={point}
        aria-label={`${title}: ${points.length ? `${told} ${moment === undefined ? "now" : "then"}, at most ${show(most)}` : "no value yet"}`}>
        {lines.map((line) => <polyline key={line[0]} points={(line.length > 1 ? line : [...line, ...line]).join(" ")} />)}
        {moment !== undefined && <path d={`M${x(moment).toFixed(1)} 0V${HEIGHT}`} />}
      </svg>
      <small>at most {show(most)}</small>
    </figure>
  );
}

/** The value that is nearest to this moment, if it is near. */
export function nearest(points: Point[], moment: number, gap: number): Point | undefined {
  let found: Point | undefined;
  for (const point of points) if (!found || Math.abs(point.at - moment) <= Math.abs(found.at - moment)) found = point;
  return found && Math.abs(found.at - moment) <= gap ? found : undefined;
}
