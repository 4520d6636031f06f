import type { EvalInterval, EvalModel } from '../../types.gen.ts';
import { escapeHtml } from './escape.ts';
import { usdText } from './figures.ts';

/** A plotted model. */
interface Point {
  readonly name: string;
  readonly cost: number;
  readonly quality: EvalInterval;
  readonly isOnFront: boolean;
}

const WIDTH = 760;
const HEIGHT = 400;
const LEFT = 64;
const RIGHT = 24;
const TOP = 20;
const BOTTOM = 52;
/** From this ratio of the dearest to the cheapest on the axis is logarithmic. */
const LOG_FROM = 10;
/** Of the font below, on average. */
const CHARACTER_WIDTH = 7;
const LABEL_HEIGHT = 15;
const LONGEST_LABEL = 28;

/** Quality against cost as SVG, with intervals and the Pareto front; empty when no model is compared. Colours are the page's. */
export const plotSvg = (models: readonly EvalModel[]): string => {
  const points = models.flatMap(({ model, is_compared, is_on_front, quality, usd_per_1000_tasks: cost }): Point[] =>
    is_compared && quality && cost !== null ? [{ name: model, cost, quality, isOnFront: is_on_front }] : [],
  );
  if (points.length === 0) return '';
  const x = costAxis(points.map(({ cost }) => cost));
  const y = qualityAxis(points);
  const placed = points.map((point) => ({ ...point, px: x.at(point.cost), py: y.at(point.quality.estimate) }));
  const front = placed.filter(({ isOnFront }) => isOnFront).sort((a, b) => a.cost - b.cost);
  const boxes = labelBoxes(placed, (value) => y.at(value));
  return [
    `<svg class="plot" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Quality against cost of 1,000 tasks">`,
    ...y.ticks.map(
      ({ value, text }) =>
        `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${round(y.at(value))}" y2="${round(y.at(value))}"/><text class="tick" x="${LEFT - 8}" y="${round(y.at(value) + 4)}" text-anchor="end">${text}</text>`,
    ),
    ...x.ticks.map(
      ({ value, text }) =>
        `<line class="grid" x1="${round(x.at(value))}" x2="${round(x.at(value))}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/><text class="tick" x="${round(x.at(value))}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${text}</text>`,
    ),
    `<text class="axis" x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 10}" text-anchor="middle">US dollars for 1,000 tasks${x.isLog ? ' (logarithmic)' : ''}</text>`,
    `<text class="axis" x="16" y="${(TOP + HEIGHT - BOTTOM) / 2}" text-anchor="middle" transform="rotate(-90 16 ${(TOP + HEIGHT - BOTTOM) / 2})">Quality</text>`,
    front.length > 1
      ? `<polyline class="front" points="${front.map(({ px, py }) => `${round(px)},${round(py)}`).join(' ')}"/>`
      : '',
    ...placed.map(({ name, px, py, quality, isOnFront, cost }) => {
      const [low, high] = [round(y.at(quality.low)), round(y.at(quality.high))];
      const bar = `M${round(px)} ${low}V${high}M${round(px - 4)} ${low}h8M${round(px - 4)} ${high}h8`;
      const told = `${name}: ${quality.estimate.toFixed(3)} (${quality.low.toFixed(3)}–${quality.high.toFixed(3)}), ${usdText(cost)} USD`;
      return `<g class="${isOnFront ? 'on' : 'off'}"><title>${escapeHtml(told)}</title><path class="error" d="${bar}"/><circle cx="${round(px)}" cy="${round(py)}" r="5.5"/></g>`;
    }),
    ...boxes.map(
      ({ box, text, from }) =>
        `${from ? `<line class="leader" x1="${round(from.px)}" y1="${round(from.py)}" x2="${round(box.x + (box.x > from.px ? 0 : box.w))}" y2="${round(box.y + LABEL_HEIGHT / 2)}"/>` : ''}<text class="label" x="${round(box.x)}" y="${round(box.y + 12)}">${escapeHtml(text)}</text>`,
    ),
    '</svg>',
  ].join('\n');
};

interface Axis {
  at(value: number): number;
  readonly ticks: readonly { value: number; text: string }[];
}

const costAxis = (costs: readonly number[]): Axis & { isLog: boolean } => {
  const positive = costs.filter((cost) => cost > 0);
  const [least, most] = [Math.min(...positive), Math.max(...positive)];
  const isLog = positive.length > 1 && most / least > LOG_FROM;
  const span = WIDTH - LEFT - RIGHT;
  if (!isLog) {
    const top = Math.max(...costs) * 1.15 || 1;
    const ticks = niceSteps(0, top, 6).map((value) => ({ value, text: usdText(value) }));
    return { isLog, ticks, at: (value) => LEFT + (value / top) * span };
  }
  const [from, to] = [Math.log10(least) - 0.15, Math.log10(most) + 0.15];
  // What costs nothing has no place on the axis: it stands at its left end.
  const inset = costs.includes(0) ? 40 : 0;
  const at = (value: number): number =>
    value <= 0 ? LEFT + 14 : LEFT + inset + ((Math.log10(value) - from) / (to - from)) * (span - inset);
  const ticks: { value: number; text: string }[] = inset > 0 ? [{ value: 0, text: '0' }] : [];
  const isWide = to - from > 2.5;
  for (let power = Math.floor(from); power <= Math.ceil(to); power++) {
    for (const step of isWide ? [1] : [1, 2, 5]) {
      const value = step * 10 ** power;
      if (Math.log10(value) >= from && Math.log10(value) <= to) ticks.push({ value, text: usdText(value) });
    }
  }
  return { isLog, at, ticks };
};

const qualityAxis = (points: readonly Point[]): Axis => {
  const low = Math.max(0, Math.min(...points.map(({ quality }) => quality.low)) - 0.03);
  const high = Math.min(1, Math.max(...points.map(({ quality }) => quality.high)) + 0.03);
  const [from, to] = high - low < 0.05 ? [Math.max(0, low - 0.05), Math.min(1, high + 0.05)] : [low, high];
  const span = HEIGHT - TOP - BOTTOM;
  const ticks = niceSteps(from, to, 6).map((value) => ({ value, text: value.toFixed(2) }));
  return { ticks, at: (value) => TOP + ((to - value) / (to - from)) * span };
};

/** Round values within bounds, about `count` of them. */
const niceSteps = (from: number, to: number, count: number): number[] => {
  const rough = (to - from) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
  const steps: number[] = [];
  for (let n = Math.ceil(from / step - 1e-9); n * step <= to + step * 1e-9; n++)
    steps.push(Number((n * step).toPrecision(12)));
  return steps;
};

interface Box {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

interface Labelled {
  readonly box: Box;
  readonly text: string;
  /** Set when the label stands away from its point. */
  readonly from: { px: number; py: number } | undefined;
}

/** Places of labels that touch neither each other, nor a point or its interval: beside the point if that can be, else further off. */
const labelBoxes = (
  points: readonly (Point & { px: number; py: number })[],
  yOf: (value: number) => number,
): Labelled[] => {
  const taken: Box[] = points.flatMap(({ px, py, quality }) => [
    { x: px - 7, y: py - 7, w: 14, h: 14 },
    { x: px - 5, y: yOf(quality.high), w: 10, h: yOf(quality.low) - yOf(quality.high) },
  ]);
  return points.map(({ name, px, py }) => {
    const text = name.length > LONGEST_LABEL ? `${name.slice(0, LONGEST_LABEL - 1)}…` : name;
    const w = text.length * CHARACTER_WIDTH;
    let best: Labelled | undefined;
    for (let off = 0; off < 12 && !best; off++) {
      for (const up of off === 0 ? [0] : [-1, 1]) {
        for (const x of [px + 11, px - 11 - w]) {
          const box = { x, y: py - LABEL_HEIGHT / 2 + up * off * LABEL_HEIGHT, w, h: LABEL_HEIGHT };
          const isInside = x >= LEFT && x + w <= WIDTH - 2 && box.y >= 2 && box.y + box.h <= HEIGHT - BOTTOM;
          if (!isInside || taken.some((other) => overlaps(box, other)) || best) continue;
          best = { box, text, from: off > 1 ? { px, py } : undefined };
        }
      }
    }
    const placed = best ?? { box: { x: px + 11, y: py - LABEL_HEIGHT / 2, w, h: LABEL_HEIGHT }, text, from: undefined };
    taken.push(placed.box);
    return placed;
  });
};

const overlaps = (one: Box, other: Box): boolean =>
  one.x < other.x + other.w && other.x < one.x + one.w && one.y < other.y + other.h && other.y < one.y + one.h;

const round = (value: number): number => Math.round(value * 10) / 10;
