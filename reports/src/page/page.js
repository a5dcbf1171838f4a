// The page of a run: reads the data, shows it as text and draws it. Whatever comes from the run is put in by textContent or drawn.
'use strict';
(async () => {
  const begun = performance.now();
  const $ = (id) => document.getElementById(id);

  // ---- Data ------------------------------------------------------------------------------------------------------------------

  const decode = async () => {
    const text = atob($('data').textContent);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    const json = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
    return new Response(json).json();
  };
  const run = await decode();
  const count = run.events.at.length;
  const at = new Float64Array(count), step = new Float64Array(count);
  const node = Int32Array.from(run.events.node), kind = Uint8Array.from(run.events.kind);
  for (let i = 0, ns = 0, number = 0; i < count; i++) {
    at[i] = ns += run.events.at[i];
    step[i] = number += run.events.step[i];
  }
  const messages = run.messages.sent.length;
  const sent = new Int32Array(messages), ends = new Int32Array(messages);
  const to = Int32Array.from(run.messages.to), flags = Uint8Array.from(run.messages.flags), fate = Uint8Array.from(run.messages.fate);
  // Of each event the message that it begins or ends, and up to each message the last end: so those in view are found by bisection.
  const messageOf = new Int32Array(count).fill(-1), lastEnd = new Int32Array(messages);
  const DELIVERED = 0, UNDER_WAY = 1, LOST = 2, COPY = 1, CORRUPTED = 2;
  for (let m = 0, event = 0; m < messages; m++) {
    sent[m] = event += run.messages.sent[m];
    ends[m] = run.messages.end[m] === 0 ? -1 : event + run.messages.end[m];
    messageOf[event] = m;
    if (ends[m] >= 0) messageOf[ends[m]] = m;
    lastEnd[m] = Math.max(m > 0 ? lastEnd[m - 1] : 0, ends[m] < 0 ? count - 1 : ends[m]);
  }
  const otherEnd = (event) => {
    const m = messageOf[event];
    return m < 0 ? -1 : sent[m] === event ? ends[m] : sent[m];
  };
  const failure = run.verdict.event ?? -1;
  const causeAt = new Map();
  run.causes.forEach((cause, index) => { if (cause.event !== null && !causeAt.has(cause.event)) causeAt.set(cause.event, index + 1); });

  // By the codes of events: which box shows them.
  const KINDS = [
    ['messages', [6, 7, 8, 9, 10, 17, 19, 20]], ['nodes and faults', [1, 2, 11, 16]], ['facts', [12]], ['logs', [15]], ['disks', [18]],
    ['panics and returns', [0, 13, 14]], ['tasks', [3, 4, 5]],
  ];
  const TASKS = 6;
  const kindOf = new Uint8Array(32);
  KINDS.forEach(([, codes], index) => codes.forEach((code) => { kindOf[code] = index; }));
  const WORDS = ['message', 'node', 'fact', 'log', 'disk', 'task', 'task'];

  const nodeName = (index) => (index < 0 ? 'world' : run.nodes[index]?.name ?? `node ${index}`);
  const SIGNS = [[/^-> /, '→ '], [/^<- /, '← '], [/^-x /, '✕→ '], [/^x- /, '✕← '], [/^=> /, '⇉ '], [/^~> /, '↯ '], [/^\.\. /, '… ']];
  const pretty = (text) => {
    for (const [sign, arrow] of SIGNS) if (sign.test(text)) return text.replace(sign, arrow);
    return text;
  };
  const textOf = (event) => {
    const text = pretty(run.texts[run.events.text[event]]);
    const other = kind[event] === 8 ? otherEnd(event) : -1;
    return other < 0 ? text : `${text} after ${duration(at[event] - at[other])}`;
  };
  function duration(ns) {
    const units = [[1e9, 's'], [1e6, 'ms'], [1e3, 'µs'], [1, 'ns']];
    const [unit, name] = units.find(([size]) => Math.abs(ns) >= size) ?? units[3];
    return `${Number((ns / unit).toFixed(unit === 1 ? 0 : 6))} ${name}`;
  }
  const isoTime = (ns) => `${Math.floor(ns / 1e9)}.${String(Math.round(ns % 1e9)).padStart(9, '0')}`;

  // ---- State -----------------------------------------------------------------------------------------------------------------

  const state = { chosen: -1, toScale: false, past: false, node: -2, search: '', kinds: [true, true, true, true, true, true, false], view: [0, 1] };
  // The events that the diagram has rows for, each event's row, and the events that the table shows.
  let drawn = new Int32Array(0), row = new Float64Array(count), listed = new Int32Array(0), isListed = new Uint8Array(count);

  const place = (event) => (state.toScale ? at[event] : row[event]);
  const firstAt = (ns) => {
    let low = 0, high = drawn.length;
    while (low < high) { const middle = (low + high) >> 1; if (at[drawn[middle]] < ns) low = middle + 1; else high = middle; }
    return low;
  };
  const placeOfTime = (ns) => (state.toScale ? ns : firstAt(ns));
  const bounds = () => {
    const last = drawn.length > 0 ? place(drawn[drawn.length - 1]) : 1;
    if (!state.toScale) return [-0.7, Math.max(last + (isAtEnd ? 1.5 : 0.7), 3)];
    const first = drawn.length > 0 ? at[drawn[0]] : 0;
    const margin = Math.max(last - first, 1000) * 0.03;
    return [first - margin, last + margin];
  };

  const chooseDrawn = () => {
    const events = [];
    for (let i = 0; i < count; i++) {
      row[i] = events.length;
      if (state.kinds[kindOf[kind[i]]] || i === failure) events.push(i);
    }
    drawn = Int32Array.from(events);
  };

  // What can have led to an event: what came before it on its node, what was sent to those, and so on.
  const pastOf = (event) => {
    const past = new Uint8Array(count);
    const reached = new Set([node[event]]);
    past[event] = 1;
    for (let i = event; i >= 0; i--) {
      if (!past[i] && !(node[i] >= 0 && reached.has(node[i]))) continue;
      past[i] = 1;
      if (node[i] >= 0) reached.add(node[i]);
      const m = messageOf[i];
      if (m >= 0 && ends[m] === i && fate[m] === DELIVERED) past[sent[m]] = 1;
    }
    return past;
  };
  const pastTarget = () => (state.chosen >= 0 ? state.chosen : failure >= 0 ? failure : count - 1);

  let past = null;
  const chooseListed = () => {
    past = state.past && count > 0 ? pastOf(pastTarget()) : null;
    const wanted = state.search.toLowerCase();
    const matching = wanted === '' ? null : run.texts.map((text) => pretty(text).toLowerCase().includes(wanted));
    const byName = wanted === '' ? null : run.nodes.map((one) => one.name.toLowerCase().includes(wanted));
    const events = [];
    isListed.fill(0);
    for (let i = 0; i < count; i++) {
      if (!state.kinds[kindOf[kind[i]]] && i !== failure) continue;
      if (state.node !== -2 && node[i] !== state.node) continue;
      if (past !== null && !past[i]) continue;
      if (matching !== null && !matching[run.events.text[i]] && !byName[node[i]]) continue;
      isListed[i] = 1;
      events.push(i);
    }
    listed = Int32Array.from(events);
  };
  const isFiltered = () => state.past || state.node !== -2 || state.search !== '';

  // ---- Small helpers ---------------------------------------------------------------------------------------------------------

  const make = (tag, properties, ...children) => {
    const made = document.createElement(tag);
    Object.assign(made, properties);
    made.append(...children);
    return made;
  };
  const text = (words, className = 'text') => make('span', { className, textContent: words, dir: 'ltr' });
  const jump = (words, event, label) => {
    if (event === null || event === undefined || event < 0) return text(words);
    const button = make('button', { type: 'button', className: 'link text', textContent: words });
    if (label) button.setAttribute('aria-label', label);
    button.addEventListener('click', () => { choose(event, true); $('diagram').scrollIntoView({ block: 'nearest' }); });
    return button;
  };
  const colours = {};
  const readColours = () => {
    const style = getComputedStyle(document.documentElement);
    for (const name of ['ground', 'raised', 'line', 'faint-line', 'ink', 'faint', 'accent', 'bad', 'good', 'wary', 'bad-ground', 'wary-ground', 'chosen']) {
      colours[name] = style.getPropertyValue(`--${name}`).trim();
    }
    patterns.clear();
  };
  const patterns = new Map();
  // Faults are told apart by pattern as well as by colour.
  const pattern = (context, shape, colour) => {
    const key = shape + colour;
    if (patterns.has(key)) return patterns.get(key);
    const tile = make('canvas', { width: 10, height: 10 });
    const ink = tile.getContext('2d');
    ink.globalAlpha = 0.13; ink.fillStyle = colour; ink.fillRect(0, 0, 10, 10);
    ink.globalAlpha = 0.75; ink.strokeStyle = colour; ink.lineWidth = 1.2;
    ink.beginPath();
    if (shape === '/' || shape === 'x') for (const shift of [-10, 0, 10]) { ink.moveTo(shift, 10); ink.lineTo(shift + 10, 0); }
    if (shape === '\\' || shape === 'x') for (const shift of [-10, 0, 10]) { ink.moveTo(shift, 0); ink.lineTo(shift + 10, 10); }
    if (shape === '-') { ink.moveTo(0, 5); ink.lineTo(10, 5); }
    if (shape === '|') { ink.moveTo(5, 0); ink.lineTo(5, 10); }
    ink.stroke();
    if (shape === '.') { ink.fillRect(2, 2, 2, 2); ink.fillRect(7, 7, 2, 2); }
    const made = context.createPattern(tile, 'repeat');
    patterns.set(key, made);
    return made;
  };
  const SHAPES = {
    down: ['x', 'line', 'is down'], partition: ['/', 'bad', 'partition'], pause: ['-', 'wary', 'stands still'], slow: ['|', 'wary', 'is slow'],
    clock: ['.', 'accent', 'wrong clock'], hold: ['-', 'accent', 'messages held back'], link: ['.', 'wary', 'weather of links changed'], fault: ['.', 'bad', 'fault'],
  };
  const prepare = (canvas) => {
    const ratio = window.devicePixelRatio || 1, box = canvas.getBoundingClientRect();
    const width = Math.max(canvas.clientWidth, 50), height = Math.max(canvas.clientHeight, 50);
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
    }
    const ink = canvas.getContext('2d');
    ink.setTransform(ratio, 0, 0, ratio, 0, 0);
    ink.direction = 'ltr';
    ink.textBaseline = 'middle';
    ink.fillStyle = colours.ground;
    ink.fillRect(0, 0, width, height);
    return { ink, width, height, box };
  };
  const fitted = (ink, words, width) => {
    if (ink.measureText(words).width <= width) return words;
    let low = 0, high = words.length;
    while (low < high) { const middle = (low + high + 1) >> 1; if (ink.measureText(`${words.slice(0, middle)}…`).width <= width) low = middle; else high = middle - 1; }
    return low === 0 ? '' : `${words.slice(0, low)}…`;
  };

  // What tells nodes apart is mostly at the end of their names.
  const ending = (ink, words, width) => {
    let shown = words, from = 0;
    while (ink.measureText(shown).width > width && from < words.length) shown = `…${words.slice(++from)}`;
    return shown;
  };

  // ---- Diagram ---------------------------------------------------------------------------------------------------------------

  const canvas = $('diagram');
  const HEAD = 30, STRIP = 14, ROW = 22, LANE_MIN = 30, IN_FULL_MAX = 6000, FONT = '12px system-ui, "DejaVu Sans", sans-serif';
  let shape = null;
  const measure = (width, height) => {
    const lanes = Math.max(run.nodes.length, 1);
    const gutter = width < 560 ? 72 : 92;
    const left = STRIP + gutter;
    let words = width >= 640 ? Math.max(260, width - left - lanes * (lanes <= 3 ? 150 : 105)) : 0;
    let lane = (width - left - words) / lanes;
    if (words > 0 && lane < LANE_MIN) { words = 0; lane = (width - left) / lanes; }
    return { width, height, gutter, left, lane, words, right: left + lane * lanes };
  };
  const laneX = (index) => shape.left + shape.lane * (index + 0.5);
  const toY = (position) => HEAD + ((position - state.view[0]) / (state.view[1] - state.view[0])) * (shape.height - HEAD);
  const toPosition = (y) => state.view[0] + ((y - HEAD) / (shape.height - HEAD)) * (state.view[1] - state.view[0]);
  const lowerBound = (length, before) => {
    let low = 0, high = length;
    while (low < high) { const middle = (low + high) >> 1; if (before(middle)) low = middle + 1; else high = middle; }
    return low;
  };
  const inView = () => [
    lowerBound(drawn.length, (i) => place(drawn[i]) < state.view[0]),
    lowerBound(drawn.length, (i) => place(drawn[i]) <= state.view[1]),
  ];
  // Where a message goes in the diagram: a loss at its sender stops halfway, and so does what is under way still.
  const line = (m) => {
    const from = node[sent[m]], x0 = laneX(from), x1 = laneX(to[m]), y0 = toY(place(sent[m]));
    if (ends[m] < 0) return [x0, y0, x0 + (x1 - x0) * 0.6, y0 + Math.min(60, Math.abs(x1 - x0) * 0.3), x1];
    const y1 = toY(place(ends[m]));
    if (fate[m] === LOST && node[ends[m]] === from) return [x0, y0, x0 + (x1 - x0) * 0.5, Math.max(y1, y0 + ROW * 0.6), x1];
    return [x0, y0, x1, y1, x1];
  };

  const frames = [];
  const draw = () => {
    const started = performance.now();
    const { ink, width, height } = prepare(canvas);
    shape = measure(width, height);
    ink.font = FONT;
    const [first, last] = inView();
    drawRows(ink);
    drawSpans(ink);
    drawLanes(ink);
    if (state.kinds[0]) drawMessages(ink);
    drawInevitable(ink);
    drawEvents(ink, first, last);
    drawTexts(ink, first, last);
    drawEnd(ink);
    drawHead(ink);
    drawStrip(ink);
    frames.push(performance.now() - started);
    if (frames.length > 200) frames.shift();
  };

  const band = (ink, event, colour) => {
    const y = toY(place(event));
    if (y < HEAD - ROW || y > shape.height + ROW) return;
    ink.fillStyle = colour;
    ink.fillRect(STRIP, y - ROW / 2, shape.width - STRIP, ROW);
  };
  const drawRows = (ink) => {
    if (failure >= 0) {
      band(ink, failure, colours['bad-ground']);
      const y = toY(place(failure));
      ink.strokeStyle = colours.bad; ink.lineWidth = 1.5;
      ink.beginPath(); ink.moveTo(STRIP, y + ROW / 2); ink.lineTo(shape.width, y + ROW / 2); ink.stroke();
    }
    if (state.chosen >= 0) {
      band(ink, state.chosen, colours.chosen);
      const other = otherEnd(state.chosen);
      if (other >= 0) band(ink, other, colours.chosen);
    }
  };
  const drawInevitable = (ink) => {
    const { moments, inevitable } = run.likelihood;
    if (inevitable === null || inevitable === 0) return;
    const at_ns = moments[inevitable].at_ns;
    const y = toY(state.toScale ? at_ns : firstAt(at_ns) - 0.5);
    if (y < HEAD || y > shape.height) return;
    ink.strokeStyle = colours.bad; ink.lineWidth = 1.5; ink.setLineDash([6, 4]);
    ink.beginPath(); ink.moveTo(STRIP, y); ink.lineTo(shape.width, y); ink.stroke(); ink.setLineDash([]);
    const said = 'inevitable from here on', wide = ink.measureText(said).width + 8;
    const from = Math.max(shape.left, shape.width - wide - 4);
    ink.fillStyle = colours.ground; ink.fillRect(from, y - 8, wide, 16);
    ink.fillStyle = colours.bad; ink.textAlign = 'left'; ink.fillText(said, from + 4, y);
  };
  const drawSpans = (ink) => {
    for (const span of run.spans) {
      const begins = span.event === null ? placeOfTime(span.begun_ns) : place(span.event);
      const ended = span.ended_ns === null ? bounds()[1] : placeOfTime(span.ended_ns);
      if (ended < state.view[0] || begins > state.view[1]) continue;
      const y0 = Math.max(toY(begins), HEAD - 12), y1 = Math.min(Math.max(toY(ended), y0 + 3), shape.height + 12);
      const [mark, colour, words] = SHAPES[span.class] ?? SHAPES.fault;
      const groups = span.groups.length > 0 ? span.groups : [run.nodes.map((_, index) => index)];
      groups.forEach((group, index) => {
        // The two sides of a partition lean to different sides.
        ink.fillStyle = pattern(ink, span.class === 'partition' && index % 2 === 1 ? '\\' : mark, colours[colour]);
        for (const one of group) {
          const half = Math.min(shape.lane * 0.42, 44);
          ink.fillRect(laneX(one) - half, y0, half * 2, y1 - y0);
          if (shape.lane > 60 && y1 - y0 > 26) {
            const said = span.class === 'partition' && groups.length > 1 ? `${words} (${index + 1})` : words;
            const shown = fitted(ink, said, half * 2 - 4);
            ink.save();
            ink.textAlign = 'center';
            const top = Math.max(y0, HEAD) + 11;
            const wide = ink.measureText(shown).width;
            ink.fillStyle = colours.ground; ink.fillRect(laneX(one) - wide / 2 - 2, top - 8, wide + 4, 16);
            ink.fillStyle = colours.ink; ink.fillText(shown, laneX(one), top);
            ink.restore();
          }
        }
      });
    }
  };
  // A failure that is of the whole run shows when that has ended.
  const isAtEnd = run.verdict.word === 'fail' && failure < 0;
  const endPlace = () => (state.toScale ? run.end_ns : drawn.length - 0.5);
  const drawEnd = (ink) => {
    const y = toY(endPlace());
    if (!isAtEnd || y < HEAD || y > shape.height + 2) return;
    ink.fillStyle = colours.bad; ink.fillRect(STRIP, y - 1, shape.width, 2);
    ink.font = `bold ${FONT}`;
    const said = fitted(ink, `the run has ended: ${run.verdict.property} fails`, shape.width - shape.left - 12);
    ink.fillRect(shape.left, y + 1, ink.measureText(said).width + 12, 18);
    ink.fillStyle = colours.ground; ink.fillText(said, shape.left + 6, y + 10.5);
    ink.font = FONT;
  };
  const drawLanes = (ink) => {
    ink.strokeStyle = colours['faint-line']; ink.lineWidth = shape.lane > 20 ? 2 : 1;
    ink.beginPath();
    run.nodes.forEach((_, index) => { ink.moveTo(laneX(index), HEAD); ink.lineTo(laneX(index), shape.height); });
    ink.stroke();
  };
  const head = (ink, x0, y0, x1, y1) => {
    const angle = Math.atan2(y1 - y0, x1 - x0);
    for (const turn of [-0.42, 0.42]) { ink.moveTo(x1, y1); ink.lineTo(x1 - 9 * Math.cos(angle + turn), y1 - 9 * Math.sin(angle + turn)); }
  };
  const cross = (ink, x, y, size) => {
    ink.moveTo(x - size, y - size); ink.lineTo(x + size, y + size);
    ink.moveTo(x + size, y - size); ink.lineTo(x - size, y + size);
  };
  const isShown = (m) => !isFiltered() || isListed[sent[m]] || (ends[m] >= 0 && isListed[ends[m]]);
  const drawMessages = (ink) => {
    const from = lowerBound(messages, (m) => place(lastEnd[m]) < state.view[0]);
    const until = lowerBound(messages, (m) => place(sent[m]) <= state.view[1]);
    const seen = [];
    for (let m = from; m < until; m++) {
      if (ends[m] >= 0 && place(ends[m]) < state.view[0]) continue;
      seen.push(m);
    }
    const styles = { usual: [], faint: [], copy: [], lost: [], crosses: [], corrupted: [] };
    // More than can be told apart: of those between the same two nodes that begin and end within the same few pixels one is drawn.
    const isBinned = seen.length > IN_FULL_MAX;
    const bins = new Set();
    const chosen = state.chosen >= 0 ? messageOf[state.chosen] : -1;
    for (const m of seen) {
      if (isBinned) {
        // Numbers that a double holds exactly: up to 4,096 nodes and pixels.
        const begins = Math.round(toY(place(sent[m])) / 4) & 4095, ending = ends[m] < 0 ? 0 : Math.round(toY(place(ends[m])) / 4) & 4095;
        const key = (((fate[m] * 4096 + node[sent[m]]) * 4096 + to[m]) * 4096 + begins) * 4096 + ending;
        if (bins.has(key)) continue;
        bins.add(key);
        if (bins.size > IN_FULL_MAX) break;
      }
      const [x0, y0, x1, y1, target] = line(m);
      if (m === chosen) continue;
      const style = !isShown(m) ? 'faint' : fate[m] === LOST ? 'lost' : flags[m] & COPY ? 'copy' : flags[m] & CORRUPTED ? 'corrupted' : 'usual';
      styles[style].push(x0, y0, x1, y1, fate[m], target);
    }
    const stroke = (list, colour, width, dash) => {
      ink.strokeStyle = colour; ink.lineWidth = width; ink.setLineDash(dash);
      ink.beginPath();
      for (let i = 0; i < list.length; i += 6) { ink.moveTo(list[i], list[i + 1]); ink.lineTo(list[i + 2], list[i + 3]); }
      ink.stroke();
      ink.setLineDash([]);
      if (seen.length < 1500) {
        ink.beginPath();
        for (let i = 0; i < list.length; i += 6) {
          if (list[i + 4] === LOST) cross(ink, list[i + 2], list[i + 3], 6);
          else if (list[i + 4] === DELIVERED) head(ink, list[i], list[i + 1], list[i + 2], list[i + 3]);
        }
        ink.stroke();
      }
    };
    ink.globalAlpha = isBinned ? 0.5 : 1;
    stroke(styles.faint, colours['faint-line'], 1, []);
    stroke(styles.usual, colours.line, 1.4, []);
    stroke(styles.copy, colours.accent, 1.4, [7, 5]);
    stroke(styles.corrupted, colours.wary, 2, [2, 4]);
    ink.globalAlpha = 1;
    stroke(styles.lost, colours.bad, seen.length < 1500 ? 2 : 1, []);
    if (chosen >= 0 && seen.includes(chosen)) {
      const [x0, y0, x1, y1] = line(chosen);
      const list = [x0, y0, x1, y1, fate[chosen], 0];
      stroke(list, fate[chosen] === LOST ? colours.bad : colours.accent, 3.5, flags[chosen] & COPY ? [7, 5] : []);
    }
  };
  const drawEvents = (ink, first, last) => {
    const many = last - first > 1500;
    if (many) {
      const places = Math.ceil(shape.height / 2) + 2, seen = new Uint8Array(run.nodes.length * places);
      ink.fillStyle = colours.ink;
      for (let i = first; i < last; i++) {
        const event = drawn[i];
        if (node[event] < 0) continue;
        const half = Math.max(0, Math.round(toY(place(event)) / 2)), bin = node[event] * places + half;
        if (seen[bin] === 1) continue;
        seen[bin] = 1;
        ink.fillRect(laneX(node[event]) - 2, half * 2, 4, 2);
      }
    } else {
      for (let i = first; i < last; i++) drawEvent(ink, drawn[i]);
    }
    for (const event of causeAt.keys()) if (many) drawEvent(ink, event);
    if (failure >= 0) drawFailure(ink);
  };
  const isFaint = (event) => isFiltered() && !isListed[event];
  const drawEvent = (ink, event) => {
    const y = toY(place(event));
    if (y < HEAD - 8 || y > shape.height + 8) return;
    const cause = causeAt.get(event);
    if (node[event] < 0) {
      // What concerns no node alone goes across all of them.
      ink.strokeStyle = colours.wary; ink.lineWidth = 1; ink.setLineDash([4, 4]);
      ink.beginPath(); ink.moveTo(shape.left, y); ink.lineTo(shape.right, y); ink.stroke(); ink.setLineDash([]);
      if (cause) badge(ink, shape.left + 10, y, cause);
      return;
    }
    const x = laneX(node[event]);
    ink.globalAlpha = isFaint(event) ? 0.3 : 1;
    const which = kind[event];
    ink.fillStyle = colours.ink; ink.strokeStyle = colours.ink; ink.lineWidth = 2;
    ink.beginPath();
    if (which === 2 || which === 13) { ink.strokeStyle = colours.bad; cross(ink, x, y, 6); ink.stroke(); }
    else if (which === 1 || which === 11 || which === 16) { ink.moveTo(x, y - 6); ink.lineTo(x + 6, y + 5); ink.lineTo(x - 6, y + 5); ink.closePath(); ink.fillStyle = which === 11 ? colours.wary : colours.good; ink.fill(); }
    else if (which === 12) { ink.moveTo(x, y - 6); ink.lineTo(x + 6, y); ink.lineTo(x, y + 6); ink.lineTo(x - 6, y); ink.closePath(); ink.fillStyle = colours.accent; ink.fill(); }
    else if (which === 15) { ink.rect(x - 4, y - 4, 8, 8); ink.fillStyle = colours.ground; ink.fill(); ink.lineWidth = 1.5; ink.stroke(); }
    else if (which === 9 && ends[messageOf[event]] === event) { /* Its line ends in a cross. */ }
    else { ink.arc(x, y, 3.2, 0, 7); ink.fill(); }
    ink.globalAlpha = 1;
    if (event === state.chosen) { ink.strokeStyle = colours.accent; ink.lineWidth = 2; ink.beginPath(); ink.arc(x, y, 10, 0, 7); ink.stroke(); }
    if (cause) {
      // Beside the middle of the arrow of a loss, or beside the event.
      const m = messageOf[event];
      if (m >= 0 && fate[m] === LOST) { const [, , x1, y1] = line(m); badge(ink, x1 + 18, y1, cause); } else badge(ink, x + 18, y, cause);
    }
  };
  const badge = (ink, x, y, number) => {
    ink.fillStyle = colours.wary; ink.beginPath(); ink.arc(x, y, 9, 0, 7); ink.fill();
    ink.fillStyle = colours.ground; ink.textAlign = 'center'; ink.font = `bold ${FONT}`; ink.fillText(String(number), x, y + 0.5); ink.textAlign = 'left'; ink.font = FONT;
  };
  const drawFailure = (ink) => {
    const y = toY(place(failure));
    if (y < HEAD - 10 || y > shape.height + 10) return;
    const x = node[failure] < 0 ? shape.left + 12 : laneX(node[failure]);
    ink.strokeStyle = colours.bad; ink.lineWidth = 3;
    ink.beginPath(); ink.arc(x, y, 9, 0, 7); ink.stroke();
    ink.font = `bold ${FONT}`;
    const said = 'fails here', wide = ink.measureText(said).width + 10;
    const isLeft = x + 14 + wide > shape.right;
    const from = isLeft ? x - 14 - wide : x + 14;
    ink.fillStyle = colours.bad; ink.fillRect(from, y - 9, wide, 18);
    ink.fillStyle = colours.ground; ink.fillText(said, from + 5, y + 0.5);
    ink.font = FONT;
  };
  const drawTexts = (ink, first, last) => {
    let before = -100, told = -1;
    // Where there isn't a place for all, first those that matter.
    const marked = [failure, state.chosen, ...causeAt.keys()].filter((event) => event >= 0);
    const taken = [];
    const isFree = (y) => taken.every((one) => Math.abs(one - y) >= 15);
    const write = (event, isMarked) => {
      const y = toY(place(event));
      if (y < HEAD + 4 || y > shape.height) return;
      taken.push(y);
      ink.fillStyle = event === failure ? colours.bad : colours.faint;
      ink.textAlign = 'right';
      if (!state.toScale || isMarked) {
        if (at[event] !== told || isMarked) ink.fillText(fitted(ink, shortTime(at[event]), shape.gutter - 8), STRIP + shape.gutter - 6, y);
        told = at[event];
      }
      ink.textAlign = 'left';
      if (shape.words === 0) return;
      ink.globalAlpha = isFaint(event) ? 0.45 : 1;
      ink.fillStyle = event === failure ? colours.bad : kind[event] === 9 ? colours.bad : kind[event] === 15 ? colours.faint : colours.ink;
      ink.font = event === failure || event === state.chosen ? `bold ${FONT}` : FONT;
      const cause = causeAt.get(event);
      const words = `${cause ? `(${cause}) ` : ''}${nodeName(node[event])}  ${textOf(event)}`.slice(0, 300);
      ink.fillText(fitted(ink, words, shape.words - 14), shape.right + 8, y);
      ink.font = FONT;
      ink.globalAlpha = 1;
    };
    const isDense = last - first > (shape.height - HEAD) / 15;
    if (isDense || state.toScale) for (const event of marked) if (isFree(toY(place(event)))) write(event, true);
    if (state.toScale) drawTicks(ink, taken);
    if (last - first > 20000) return;
    for (let i = first; i < last; i++) {
      const y = toY(place(drawn[i]));
      if (y - before < 15 || !isFree(y)) continue;
      before = y;
      write(drawn[i], false);
    }
  };
  const shortTime = (ns) => (ns >= 1e11 ? `${(ns / 1e9).toFixed(3)} s` : ns >= 1e9 ? `${Number((ns / 1e9).toFixed(6))} s` : ns >= 1e6 ? `${Number((ns / 1e6).toFixed(3))} ms` : duration(ns));
  const drawTicks = (ink) => {
    const wanted = (state.view[1] - state.view[0]) / Math.max((shape.height - HEAD) / 70, 1);
    const power = 10 ** Math.floor(Math.log10(Math.max(wanted, 1)));
    const every = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= wanted);
    ink.textAlign = 'right';
    for (let tick = Math.ceil(Math.max(state.view[0], 0) / every) * every; tick <= state.view[1]; tick += every) {
      const y = toY(tick);
      if (y < HEAD + 6) continue;
      ink.strokeStyle = colours['faint-line']; ink.lineWidth = 1;
      ink.beginPath(); ink.moveTo(STRIP + shape.gutter - 4, y); ink.lineTo(shape.left, y); ink.stroke();
      ink.fillStyle = colours.faint; ink.fillText(shortTime(tick), STRIP + shape.gutter - 6, y);
    }
    ink.textAlign = 'left';
  };
  const drawHead = (ink) => {
    ink.fillStyle = colours.raised; ink.fillRect(0, 0, shape.width, HEAD);
    ink.strokeStyle = colours.line; ink.lineWidth = 1; ink.beginPath(); ink.moveTo(0, HEAD - 0.5); ink.lineTo(shape.width, HEAD - 0.5); ink.stroke();
    ink.font = `bold ${FONT}`; ink.fillStyle = colours.ink; ink.textAlign = 'center';
    const every = Math.ceil(24 / shape.lane);
    run.nodes.forEach((one, index) => { if (index % every === 0) ink.fillText(ending(ink, one.name, shape.lane * every - 6), laneX(index), HEAD / 2); });
    ink.font = FONT; ink.textAlign = 'right'; ink.fillStyle = colours.faint;
    ink.fillText('time', STRIP + shape.gutter - 6, HEAD / 2);
    ink.textAlign = 'left';
    if (shape.words > 0) ink.fillText('what happened', shape.right + 8, HEAD / 2);
  };
  // The whole run at the left edge: where the view, the causes and the failure are.
  const stripY = (position) => {
    const [low, high] = bounds();
    return HEAD + ((position - low) / (high - low)) * (shape.height - HEAD);
  };
  const drawStrip = (ink) => {
    ink.fillStyle = colours.raised; ink.fillRect(0, HEAD, STRIP, shape.height - HEAD);
    const top = stripY(Math.max(state.view[0], bounds()[0])), bottom = stripY(Math.min(state.view[1], bounds()[1]));
    ink.fillStyle = colours.chosen; ink.fillRect(0, top, STRIP, Math.max(bottom - top, 3));
    ink.strokeStyle = colours.accent; ink.lineWidth = 1; ink.strokeRect(0.5, top + 0.5, STRIP - 1, Math.max(bottom - top, 3) - 1);
    ink.fillStyle = colours.wary;
    for (const event of causeAt.keys()) { ink.beginPath(); ink.arc(STRIP / 2, stripY(place(event)), 4, 0, 7); ink.fill(); }
    if (failure >= 0 || isAtEnd) { ink.fillStyle = colours.bad; ink.fillRect(0, stripY(failure >= 0 ? place(failure) : endPlace()) - 2, STRIP, 4); }
  };

  let isWaiting = false;
  const redraw = () => {
    if (isWaiting) return;
    isWaiting = true;
    requestAnimationFrame(() => { isWaiting = false; draw(); });
  };

  // ---- View ------------------------------------------------------------------------------------------------------------------

  const setView = (low, high) => {
    const [least, most] = bounds();
    const whole = most - least, smallest = state.toScale ? Math.min(whole, 1000) : Math.min(whole, 4);
    const size = Math.min(Math.max(high - low, smallest), whole);
    const middle = (low + high) / 2;
    const begins = Math.min(Math.max(middle - size / 2, least), most - size);
    state.view = [begins, begins + size];
    redraw();
    keep();
  };
  const zoom = (factor, around) => {
    const [low, high] = state.view;
    const fixed = around ?? (low + high) / 2;
    setView(fixed - (fixed - low) * factor, fixed + (high - fixed) * factor);
  };
  const rows = () => Math.max((canvas.clientHeight - HEAD) / ROW, 4);
  const all = () => setView(...bounds());
  // So that it can be read: the failure is below the middle, with what led to it above.
  const show = (event) => {
    const [least, most] = bounds();
    if (state.toScale) {
      // Of the events around it as many as there are rows.
      const middle = Math.round(row[event]), half = Math.floor(rows() / 2);
      const from = at[drawn[Math.max(0, middle - half)]] ?? least, until = at[drawn[Math.min(drawn.length - 1, middle + half)]] ?? most;
      const margin = Math.max((until - from) * 0.05, 1000);
      return setView(from - margin, until + margin);
    }
    if (most - least <= rows() + 1) return all();
    setView(row[event] - rows() * 0.62, row[event] + rows() * 0.38);
  };
  const reveal = (event) => {
    const [low, high] = state.view, margin = (high - low) * 0.06, where = place(event);
    if (where < low + margin || where > high - margin) setView(where - (high - low) / 2, where + (high - low) / 2);
  };

  // ---- Selection -------------------------------------------------------------------------------------------------------------

  const choose = (event, isShown) => {
    if (event >= 0 && !state.kinds[kindOf[kind[event]]] && event !== failure) { state.kinds[kindOf[kind[event]]] = true; syncFilters(); chooseDrawn(); chooseListed(); }
    state.chosen = event;
    if (event >= 0) { if (isShown) show(event); else reveal(event); }
    if (state.past) { chooseListed(); showCount(); }
    showSelection();
    showPast();
    scrollTable(event);
    fillTable();
    redraw();
    drawLikelihood();
    keep();
  };
  const showSelection = () => {
    const box = $('selection');
    box.replaceChildren();
    const event = state.chosen;
    if (event < 0) { box.append(text('Nothing is selected: click an event, or press → for the first.', 'faint')); return; }
    const task = run.events.task[event];
    const facts = make('div', { className: 'faint' }, text(`${isoTime(at[event])} s · `, ''), make('strong', { className: 'text', textContent: nodeName(node[event]) }), text(` · event ${step[event]}`, ''));
    if (task >= 0 && run.texts[task] !== nodeName(node[event])) facts.append(' · task ', text(run.texts[task]));
    if (event === failure) facts.append(' · ', make('strong', { textContent: 'the failure' }));
    if (causeAt.has(event)) facts.append(' · ', make('strong', { textContent: `cause ${causeAt.get(event)}` }));
    box.append(facts, make('div', { className: 'text', textContent: textOf(event), dir: 'ltr' }));
    const m = messageOf[event];
    if (m >= 0) {
      const other = otherEnd(event);
      const became = other < 0 ? 'It is under way at the end of what is shown.' : '';
      const ending = make('div', {}, became);
      if (other >= 0) ending.append(jump(other === sent[m] ? 'Where it was sent' : fate[m] === LOST ? 'Where it was lost' : 'Where it arrived', other), ` ${duration(Math.abs(at[other] - at[event]))} ${other > event ? 'later' : 'before'}`);
      box.append(ending);
    }
  };
  const next = (by, isSameNode) => {
    const list = listed;
    if (list.length === 0) return;
    let index = lowerBound(list.length, (i) => list[i] < state.chosen);
    if (state.chosen < 0) index = by > 0 ? 0 : list.length - 1;
    else if (by > 0) index += list[index] === state.chosen ? 1 : 0;
    else index -= 1;
    while (isSameNode && state.chosen >= 0 && index >= 0 && index < list.length && node[list[index]] !== node[state.chosen]) index += by;
    if (index >= 0 && index < list.length) choose(list[index], false);
  };
  const toFailure = () => {
    if (failure >= 0) choose(failure, true);
    else { state.chosen = -1; setView(bounds()[1] - rows(), bounds()[1]); choose(-1, false); }
  };

  // ---- Table -----------------------------------------------------------------------------------------------------------------

  const table = $('table'), HEIGHT = 26, PRINTED_MAX = 1000;
  let isPrinting = false;
  const tableHead = make('div', { className: 'row head' });
  const COLUMNS = [['when', 'seconds'], ['who', 'node'], ['kind', 'kind'], ['what', 'what happened']];
  tableHead.setAttribute('role', 'row');
  tableHead.setAttribute('aria-rowindex', '1');
  for (const [name, words] of COLUMNS) {
    const cell = make('span', { className: `cell ${name}`, textContent: words });
    cell.setAttribute('role', 'columnheader');
    tableHead.append(cell);
  }
  const body = make('div', { className: 'body' });
  body.setAttribute('role', 'rowgroup');
  const headGroup = make('div', {}, tableHead);
  headGroup.setAttribute('role', 'rowgroup');
  headGroup.style.cssText = 'position:sticky;top:0;z-index:1;height:26px';
  table.append(headGroup, body);
  const tableRow = (index) => {
    const event = listed[index];
    const made = make('div', { className: 'row' });
    made.setAttribute('role', 'row');
    made.setAttribute('aria-rowindex', String(index + 2));
    made.dataset.event = String(event);
    if (!isPrinting) made.style.top = `${index * HEIGHT}px`;
    if (event === failure) made.classList.add('failed');
    if (event === state.chosen) { made.classList.add('chosen'); made.setAttribute('aria-current', 'true'); }
    else if (state.chosen >= 0 && otherEnd(state.chosen) === event) made.classList.add('other');
    const marks = `${event === failure ? '✗ fails here: ' : ''}${causeAt.has(event) ? `(${causeAt.get(event)}) ` : ''}`;
    const cells = [innerWidth < 640 ? shortTime(at[event]) : isoTime(at[event]), nodeName(node[event]), WORDS[kindOf[kind[event]]], marks + textOf(event)];
    COLUMNS.forEach(([name], column) => {
      const cell = make('span', { className: `cell ${name}`, textContent: cells[column], dir: 'ltr' });
      cell.setAttribute('role', 'cell');
      made.append(cell);
    });
    return made;
  };
  const fillTable = () => {
    table.setAttribute('aria-rowcount', String(listed.length + 1));
    if (isPrinting) {
      const middle = lowerBound(listed.length, (i) => listed[i] < (state.chosen >= 0 ? state.chosen : failure));
      const from = Math.max(0, Math.min(middle - PRINTED_MAX * 0.75, listed.length - PRINTED_MAX));
      body.replaceChildren(...Array.from({ length: Math.min(PRINTED_MAX, listed.length) }, (_, i) => tableRow(Math.floor(from) + i)));
      body.style.height = 'auto';
      return;
    }
    body.style.height = `${listed.length * HEIGHT}px`;
    body.style.position = 'relative';
    const from = Math.max(0, Math.floor(table.scrollTop / HEIGHT) - 8);
    const until = Math.min(listed.length, from + Math.ceil(table.clientHeight / HEIGHT) + 16);
    const made = [];
    for (let i = from; i < until; i++) made.push(tableRow(i));
    body.replaceChildren(...made);
  };
  const scrollTable = (event) => {
    if (event < 0 || isPrinting) return;
    // It scrolls only as far as it is high.
    body.style.height = `${listed.length * HEIGHT}px`;
    const index = lowerBound(listed.length, (i) => listed[i] < event);
    const top = index * HEIGHT, seen = table.clientHeight - 2 * HEIGHT;
    if (top < table.scrollTop || top > table.scrollTop + seen) table.scrollTop = Math.max(0, top - seen / 2);
  };
  const showCount = () => {
    const hidden = isFiltered() || state.kinds.some((on) => !on);
    $('count').textContent = hidden ? `${listed.length} of ${count} events and log lines` : `${count} events and log lines`;
    const m = pastTarget();
    $('past-of').textContent = state.past ? (state.chosen >= 0 && state.chosen !== failure ? `to the selected event, ${step[m]}` : 'to the failure') : '';
  };
  const refilter = () => {
    chooseDrawn();
    chooseListed();
    showCount();
    fillTable();
    redraw();
    keep();
  };
  const syncFilters = () => {
    $('search').value = state.search;
    $('node').value = String(state.node);
    $('past').checked = state.past;
    $('to-scale').checked = state.toScale;
    document.querySelectorAll('#kinds input').forEach((box, index) => { box.checked = state.kinds[index]; });
  };

  // ---- The fragment ----------------------------------------------------------------------------------------------------------

  let keeping = 0;
  const fragment = () => {
    const parts = new URLSearchParams();
    if (state.chosen >= 0) parts.set('event', String(state.chosen));
    const round = (number) => String(Math.round(number * 100) / 100);
    parts.set('view', state.view.map(round).join('_'));
    if (state.toScale) parts.set('scale', 'time');
    if (state.past) parts.set('past', '1');
    if (state.node !== -2) parts.set('node', String(state.node));
    if (state.search !== '') parts.set('search', state.search);
    const kinds = state.kinds.map((on) => (on ? '1' : '0')).join('');
    if (kinds !== '1111110') parts.set('kinds', kinds);
    return `#${parts}`;
  };
  let written = '';
  const keep = () => {
    clearTimeout(keeping);
    keeping = setTimeout(() => {
      written = fragment();
      if (written !== location.hash) history.replaceState(null, '', written);
    }, 120);
  };
  const restore = () => {
    const parts = new URLSearchParams(location.hash.slice(1));
    const whole = (name, least, most) => {
      const value = Number(parts.get(name));
      return parts.has(name) && Number.isInteger(value) && value >= least && value < most ? value : null;
    };
    const kinds = parts.get('kinds') ?? '1111110';
    if (/^[01]{7}$/.test(kinds)) state.kinds = [...kinds].map((one) => one === '1');
    state.chosen = whole('event', 0, count) ?? -1;
    state.node = whole('node', -1, run.nodes.length) ?? -2;
    state.search = (parts.get('search') ?? '').slice(0, 200);
    state.past = parts.get('past') === '1';
    state.toScale = parts.get('scale') === 'time';
    chooseDrawn();
    chooseListed();
    const view = (parts.get('view') ?? '').split('_').map(Number);
    const isView = parts.has('view') && view.length === 2 && view.every(Number.isFinite) && view[0] < view[1];
    syncFilters();
    if (isView) setView(view[0], view[1]);
    else if (state.chosen >= 0) show(state.chosen);
    else if (failure >= 0) { state.chosen = failure; show(failure); }
    // A run that holds is read from its start; of another the end says why it came to that.
    else if (run.verdict.word === 'pass') setView(bounds()[0], Math.min(bounds()[0] + Math.max(rows(), 4), bounds()[1]));
    else setView(bounds()[1] - Math.max(rows(), 4), bounds()[1]);
    showSelection();
    showCount();
    showPast();
    scrollTable(state.chosen);
    fillTable();
  };

  // ---- Text ------------------------------------------------------------------------------------------------------------------

  const showTop = () => {
    document.title = run.title;
    $('notice').textContent = run.notice;
    $('notice').hidden = run.notice === '';
    if (run.verdict.word !== 'fail') $('to-failure').textContent = 'End';
    const { word, sentence, place: where, message } = run.verdict;
    $('word').textContent = word.toUpperCase();
    $('word').className = `word ${word}`;
    $('sentence').textContent = sentence;
    $('place').textContent = where === '' ? '' : `It shows ${where}.`;
    const isOfHistory = run.operations.some((one) => one.part !== null);
    if (message.trim().includes('\n') && !isOfHistory) { $('message').textContent = message; $('message').hidden = false; }
    $('replay').textContent = run.replay;
    const fact = (name) => run.facts.find(([one]) => one === name)?.[1] ?? '';
    $('facts-short').textContent = `Seed ${fact('Seed')} · ${run.scenario} · ${fact('Determinism')} · digest ${fact('Digest').slice(0, 12)}…`;
    for (const [name, value] of run.facts) $('facts-list').append(make('dt', { textContent: name }), make('dd', { textContent: value }));
  };
  const showCauses = () => {
    run.causes.forEach((cause, index) => {
      const words = make('span', { className: 'grow' }, text(cause.words), make('span', { className: 'faint', textContent: `  at ${duration(cause.at_ns)}` }));
      const item = make('li', {}, make('span', { className: 'badge', textContent: String(index + 1) }), words);
      if (cause.event !== null) {
        const button = make('button', { type: 'button', className: 'show', textContent: 'Show' });
        button.setAttribute('aria-label', `Show cause ${index + 1} in the diagram`);
        button.addEventListener('click', () => choose(cause.event, true));
        item.append(button);
      }
      $('causes').append(item);
    });
    const more = run.causes_in_all - run.causes.length;
    if (run.shrinking !== null) {
      if (run.causes.length === 0) $('causes').append(make('li', { textContent: 'Nothing: it fails in calm weather too.' }));
      if (run.likelihood.inevitable !== null) {
        const { moments, inevitable } = run.likelihood, { shown_ns, runs, event } = moments[inevitable];
        const from = inevitable === 0 ? 'the start' : duration(shown_ns);
        $('shrinking').before(make('p', { id: 'inevitable' }, jump(`Inevitable from ${from} on`, event), ': drawn again from there, ', runs === 1 ? 'it failed once more.' : `it failed each of ${runs} times.`));
      }
      $('shrinking').textContent = `${run.shrinking[0]} ${run.shrinking[1]}${more > 0 ? ` ${more} more of them aren't told here.` : ''}`;
    } else {
      $('causes-title').textContent = run.verdict.word === 'fail' ? 'What was not calm' : 'What was not calm in the run';
      const whole = run.causes_in_all === 0 ? 'No decision came out other than usual.' : `${run.causes_in_all === 1 ? "1 decision wasn't" : `${run.causes_in_all} decisions weren't`} calm${more > 0 ? `; ${run.causes.length === 1 ? 'this one says' : `these ${run.causes.length} say`} most` : ''}.`;
      $('shrinking').textContent = run.verdict.word === 'fail' ? `${whole} The run isn't shrunk: most of this has nothing to do with the failure.` : whole;
    }
  };
  const showLegend = () => {
    const used = new Set(run.spans.map((span) => span.class));
    const items = ['● an event · ◆ a fact · □ a log line · ▲ a node starts, a fault begins or ends · ✕ a crash or a panic',
      '→ a message · red with ✕: lost · dashed blue: the network’s copy · dotted orange: a bit was flipped · ending halfway: under way',
      'numbered circles: what it takes to fail · the strip at the left edge: the whole run, with the view, the causes and the failure'];
    const names = { x: 'cross-hatched', '/': 'hatched, the sides leaning differently', '-': 'striped across', '|': 'striped along', '.': 'dotted' };
    for (const one of used) { const [mark, , words] = SHAPES[one] ?? SHAPES.fault; items.push(`${names[mark]}: ${words}`); }
    for (const words of items) $('legend').append(make('li', { textContent: words }));
  };
  const showPast = () => {
    const event = pastTarget();
    if (count === 0) { $('past-section').hidden = true; return; }
    if (state.chosen < 0 && failure < 0) {
      $('past-words').textContent = `${run.verdict.word === 'fail' ? 'The failure is one of the whole run, seen when it had ended, and no single event’s. ' : ''}Select an event to see what can have led to it.`;
      $('past-list').replaceChildren();
      return;
    }
    const past = pastOf(event);
    const latest = new Map();
    let size = 0;
    for (let i = 0; i < count; i++) {
      if (!past[i] || i === event) continue;
      size++;
      if (kindOf[kind[i]] !== TASKS) latest.set(node[i], i);
    }
    const which = event === failure ? 'the failing event' : state.chosen >= 0 ? `the selected event, ${step[event]}` : 'the last event';
    $('past-words').textContent = `${size} of ${count - 1} other events and log lines can have led to ${which}: those before it on its node, the sendings of messages that arrived there before it, and so on. No other event can. What each node did last of these:`;
    const items = [...latest].filter(([one]) => one >= 0).sort((one, other) => other[1] - one[1]).slice(0, 30).map(([one, last]) =>
      make('li', {}, make('span', { className: 'when', textContent: shortTime(at[last]) }), make('strong', { className: 'text', textContent: nodeName(one) }), jump(textOf(last).slice(0, 200), last)));
    $('past-list').replaceChildren(...items);
  };
  const showHistory = () => {
    const operations = run.operations, MAX = 400;
    if (operations.length === 0) return;
    $('history-section').hidden = false;
    const stuck = operations.findIndex((one) => one.part === 0);
    const last = operations.findLastIndex((one) => one.part !== null);
    let from = Math.max(0, Math.min((stuck >= 0 ? stuck : last >= 0 ? last : operations.length) - MAX * 0.75, operations.length - MAX));
    from = Math.floor(from);
    const shown = operations.slice(from, from + MAX);
    const said = [`${operations.length} operations`];
    if (shown.length < operations.length) said.push(`${shown.length} of them are shown`);
    if (stuck >= 0) said.push('✗ is where no order goes on; the numbers are the longest order that was found');
    // Without such a place they are those that don't go together, of a cycle in its order.
    const isTogether = stuck < 0 && operations.some((one) => one.part !== null);
    if (isTogether) said.push('the numbered ones don’t go together; below it is said why');
    $('history-words').textContent = `${said.join('; ')}.`;
    const low = Math.min(...shown.map((one) => one.begun_ns)), high = Math.max(run.end_ns, low + 1);
    const headings = make('tr', {}, ...['', 'client', 'operation', 'came to', 'from', 'to'].map((words) => make('th', { textContent: words, scope: 'col' })), make('th', { textContent: 'when', scope: 'col' }));
    headings.firstChild.append(make('span', { textContent: 'order' }));
    const rowsMade = shown.map((one) => {
      const bar = make('span', { className: one.part === 0 ? 'stuck' : one.end === 'info' ? 'open' : '' });
      const end = one.ended_ns ?? high;
      bar.style.left = `${((one.begun_ns - low) / (high - low)) * 100}%`;
      bar.style.width = `${((end - one.begun_ns) / (high - low)) * 100}%`;
      const mark = one.part === 0 ? '✗' : one.part === null ? '' : String(one.part);
      const cells = [text(mark), text(one.process), jump(one.asked, one.event), text(one.part === 0 ? `${one.answered} — no order goes on here` : one.answered), text(duration(one.begun_ns), ''), text(one.ended_ns === null ? '' : duration(one.ended_ns), '')];
      return make('tr', { className: one.part === 0 ? 'stuck' : isTogether && one.part !== null ? 'together' : '' }, ...cells.map((cell) => make('td', {}, cell)), make('td', {}, make('div', { className: 'track' }, bar)));
    });
    $('history').append(make('thead', {}, headings), make('tbody', {}, ...rowsMade));
    const marked = document.querySelector('#history tr:is(.stuck, .together)');
    if (marked) marked.closest('.scroll').scrollTop = marked.offsetTop - 300;
    if (stuck >= 0 || isTogether) { $('counterexample').textContent = run.verdict.message; $('counterexample').hidden = false; }
  };
  const showFaults = () => {
    const MAX = 200, items = [];
    for (const span of run.spans) {
      const who = span.groups.map((group) => group.map(nodeName).join(', ')).join(' | ');
      const [, , words] = SHAPES[span.class] ?? SHAPES.fault;
      const until = span.ended_ns === null ? 'to the end' : `for ${duration(span.ended_ns - span.begun_ns)}`;
      items.push([span.begun_ns, `${who}: ${words} ${until}${span.class === 'down' ? '' : ` (${span.words})`}`, span.event]);
    }
    const spanned = new Set(run.spans.flatMap((span) => [span.event, span.last]));
    for (let i = 0; i < count; i++) {
      if (spanned.has(i)) continue;
      const isInstant = kind[i] === 16 || kind[i] === 13 || (kind[i] === 11 && !run.spans.some((span) => span.event === i));
      if (isInstant) items.push([at[i], `${nodeName(node[i])}: ${textOf(i)}`, i]);
      if (items.length > MAX * 5) break;
    }
    items.sort((one, other) => one[0] - other[0]);
    const lost = fate.reduce((sum, one) => sum + (one === LOST ? 1 : 0), 0), copies = flags.reduce((sum, one) => sum + (one & COPY), 0);
    const of = (number, word) => `${number} ${word}${number === 1 ? '' : 's'}`;
    $('faults-words').textContent = `${items.length === 0 ? 'No node went down, and no fault was injected.' : ''} ${of(lost, 'message')} lost, ${copies} copied by the network.${items.length > MAX ? ` The first ${MAX} of ${items.length} are shown.` : ''}`.trim();
    for (const [ns, words, event] of items.slice(0, MAX)) $('faults').append(make('li', {}, make('span', { className: 'when', textContent: shortTime(ns) }), jump(words, event)));
  };
  const showLatencies = () => {
    const { what, at: times, ns, in_all: whole } = run.latencies;
    const known = ns.filter((one) => one !== null).sort((one, other) => one - other);
    const lost = ns.length - known.length;
    // What has no answer took longer than all that has one, and is in every percentile.
    const part = (share) => { const rank = Math.ceil(ns.length * share) - 1; return rank < known.length ? duration(known[rank]) : 'never'; };
    const words = known.length === 0 ? `No ${what} came to an end.` : `${whole} ${what}: median ${part(0.5)}, 99 of 100 within ${part(0.99)}, longest ${part(1)}.`.replace('within never', 'never');
    $('latency-words').textContent = `${words}${lost > 0 ? ` ${lost} without an answer (✕ at the top), which count as longer than all others.` : ''}${ns.length < whole ? ` ${ns.length} of them are drawn.` : ''}`;
    const box = $('latency');
    if (ns.length === 0) { box.hidden = true; return; }
    const { ink, width, height } = prepare(box);
    ink.font = FONT;
    const left = 70, right = width - 12, top = 24, bottom = height - 24;
    const high = Math.max(run.end_ns, 1), low = Math.log10(Math.max(known[0] ?? 1, 1)) - 0.15, most = Math.max(Math.log10(Math.max(known[known.length - 1] ?? 10, 1)) + 0.15, low + 0.4);
    const x = (time) => left + (time / high) * (right - left), y = (value) => bottom - ((Math.log10(Math.max(value, 1)) - low) / (most - low)) * (bottom - top);
    for (const span of run.spans) {
      const [mark, colour] = SHAPES[span.class] ?? SHAPES.fault;
      ink.fillStyle = pattern(ink, mark, colours[colour]);
      ink.fillRect(x(span.begun_ns), top, Math.max(x(span.ended_ns ?? high) - x(span.begun_ns), 2), bottom - top);
    }
    ink.strokeStyle = colours.line; ink.lineWidth = 1;
    ink.strokeRect(left + 0.5, top + 0.5, right - left, bottom - top);
    ink.fillStyle = colours.faint; ink.textAlign = 'right';
    let labelled = -100;
    for (const value of [known[0], known[known.length - 1], known[Math.floor(known.length / 2)]]) {
      if (value === undefined || Math.abs(y(value) - labelled) < 16 || (labelled > 0 && Math.abs(y(value) - y(known[0])) < 16)) continue;
      labelled = y(value);
      ink.fillText(shortTime(value), left - 6, labelled);
    }
    ink.textAlign = 'left'; ink.fillText('0', left, height - 10); ink.textAlign = 'right'; ink.fillText(shortTime(high), right, height - 10);
    ink.fillStyle = colours.accent; ink.strokeStyle = colours.bad; ink.lineWidth = 1.5;
    ink.beginPath();
    times.forEach((time, index) => { if (ns[index] === null) cross(ink, x(time), top + 8, 4); else ink.fillRect(x(time) - 2, y(ns[index]) - 2, 4, 4); });
    ink.stroke();
    if (run.verdict.at_ns !== null && run.verdict.word === 'fail') {
      ink.strokeStyle = colours.bad; ink.lineWidth = 2;
      ink.beginPath(); ink.moveTo(x(run.verdict.at_ns), top - 8); ink.lineTo(x(run.verdict.at_ns), bottom); ink.stroke();
      ink.fillStyle = colours.bad; ink.textAlign = x(run.verdict.at_ns) > width / 2 ? 'right' : 'left'; ink.fillText(' fails here ', x(run.verdict.at_ns), top - 11);
    }
    ink.textAlign = 'left';
  };
  const percent = (share) => `${Number((share * 100).toFixed(1))} %`;
  // Bounds are never made closer than they are.
  const within = (moment) => `${Math.floor(moment.at_least * 1000 + 1e-6) / 10} to ${Math.ceil(moment.at_most * 1000 - 1e-6) / 10} %`;
  const numbered = (moment) => {
    const { causes, decisions } = moment, others = decisions - causes.length;
    const words = causes.map((number) => `${number}. ${run.causes[number - 1].words}`);
    if (others > 0) words.push(`${others}${causes.length > 0 ? ' more' : ''} ${others === 1 ? 'decision that isn’t' : 'decisions that aren’t'} told`);
    return words.join('; ');
  };
  const showLikelihood = () => {
    const { moments, inevitable, sentence, step: largest, how } = run.likelihood;
    $('likelihood-words').textContent = `${sentence} ${largest}`.trim();
    $('likelihood-how').textContent = how;
    $('likelihood-how').hidden = how === '';
    $('likelihood').hidden = moments.length === 0;
    $('likelihood-details').hidden = moments.length === 0;
    if (moments.length === 0) return;
    const isApart = moments.some((moment) => moment.failed_otherwise > 0 || moment.unknown > 0);
    const names = ['up to', 'share', `${percent(run.likelihood.confidence)} bounds`, 'failed', 'of', ...(isApart ? ['otherwise', 'unknown'] : [])];
    const headings = make('tr', {}, ...[...names, 'decided just before'].map((words) => make('th', { textContent: words, scope: 'col' })));
    const rowsMade = moments.map((moment, index) => {
      const numbers = [moment.share === null ? '?' : percent(moment.share), within(moment), moment.failed, moment.runs, ...(isApart ? [moment.failed_otherwise, moment.unknown] : [])];
      const className = inevitable === null || index < inevitable ? '' : index === inevitable ? 'certain inevitable' : 'certain';
      const words = [numbered(moment), index === inevitable ? 'inevitable from here on' : ''].filter((said) => said !== '').join(' — ');
      return make('tr', { className }, make('td', {}, jump(`${isoTime(moment.shown_ns)} s`, moment.event)), ...numbers.map((number) => make('td', { className: 'number', textContent: String(number) })), make('td', {}, text(words)));
    });
    $('likelihood-table').append(make('thead', {}, headings), make('tbody', {}, ...rowsMade));
  };
  // Where the curve lies, and which of its moments is nearest to a place.
  const curve = (width, height) => {
    const { moments } = run.likelihood;
    const left = 52, right = width - 14, top = 30, bottom = height - 26;
    const high = Math.max(run.end_ns, moments[moments.length - 1].at_ns, 1);
    return { left, right, top, bottom, high, x: (ns) => left + (ns / high) * (right - left), y: (share) => bottom - share * (bottom - top) };
  };
  const drawLikelihood = () => {
    const { moments, inevitable } = run.likelihood;
    if (moments.length === 0) return;
    const { ink, width, height } = prepare($('likelihood'));
    const { left, right, top, bottom, high, x, y } = curve(width, height);
    ink.font = FONT;
    if (inevitable !== null) { ink.fillStyle = colours['bad-ground']; ink.fillRect(x(moments[inevitable].at_ns), top, right - x(moments[inevitable].at_ns), bottom - top); }
    ink.strokeStyle = colours['faint-line']; ink.lineWidth = 1; ink.fillStyle = colours.faint; ink.textAlign = 'right';
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      ink.beginPath(); ink.moveTo(left, Math.round(y(share)) + 0.5); ink.lineTo(right, Math.round(y(share)) + 0.5); ink.stroke();
      if (share * 2 === Math.round(share * 2)) ink.fillText(`${share * 100} %`, left - 6, y(share));
    }
    ink.textAlign = 'left'; ink.fillText('0', left, height - 12);
    ink.textAlign = 'right'; ink.fillText(shortTime(high), right, height - 12);
    // What is known of a moment holds up to the next.
    const until = (index) => (index + 1 < moments.length ? x(moments[index + 1].at_ns) : right);
    ink.fillStyle = colours.accent; ink.globalAlpha = 0.22;
    moments.forEach((moment, index) => ink.fillRect(x(moment.at_ns), y(moment.at_most), until(index) - x(moment.at_ns), Math.max(y(moment.at_least) - y(moment.at_most), 1)));
    ink.globalAlpha = 1;
    // Decisions, numbered as above.
    let before = -100;
    run.causes.forEach((cause, index) => {
      const at = Math.round(x(cause.at_ns)) + 0.5;
      ink.strokeStyle = colours.wary; ink.lineWidth = 1; ink.setLineDash([3, 3]);
      ink.beginPath(); ink.moveTo(at, top - 8); ink.lineTo(at, bottom); ink.stroke(); ink.setLineDash([]);
      if (at - before < 20) return;
      before = at;
      badge(ink, at, top - 17, index + 1);
    });
    ink.strokeStyle = colours.accent; ink.lineWidth = 2;
    ink.beginPath();
    let isBegun = false;
    moments.forEach((moment, index) => {
      if (moment.share === null) { isBegun = false; return; }
      if (isBegun) ink.lineTo(x(moment.at_ns), y(moment.share)); else ink.moveTo(x(moment.at_ns), y(moment.share));
      isBegun = true;
      ink.lineTo(until(index), y(moment.share));
    });
    ink.stroke();
    moments.forEach((moment) => {
      if (moment.share === null) return;
      ink.fillStyle = colours.accent;
      ink.beginPath(); ink.arc(x(moment.at_ns), y(moment.share), 3, 0, 7); ink.fill();
      if (state.chosen >= 0 && moment.event === state.chosen) { ink.strokeStyle = colours.ink; ink.lineWidth = 2; ink.beginPath(); ink.arc(x(moment.at_ns), y(moment.share), 7, 0, 7); ink.stroke(); }
    });
    if (inevitable === null) return;
    const at = x(moments[inevitable].at_ns), said = 'inevitable from here on';
    ink.strokeStyle = colours.bad; ink.lineWidth = 3;
    ink.beginPath(); ink.moveTo(at, top); ink.lineTo(at, bottom); ink.stroke();
    ink.font = `bold ${FONT}`;
    const wide = ink.measureText(said).width + 12, from = at + wide > right ? at - wide : at;
    ink.fillStyle = colours.bad; ink.fillRect(from, (top + bottom) / 2 - 10, wide, 20);
    ink.fillStyle = colours.ground; ink.textAlign = 'left'; ink.fillText(said, from + 6, (top + bottom) / 2 + 0.5);
    ink.font = FONT;
  };
  const showPassing = () => {
    const passing = run.passing;
    if (passing === null) {
      $('passing-words').textContent = run.verdict.word !== 'fail' ? 'This run doesn’t fail.' : run.shrinking === null
        ? 'It isn’t known: the run isn’t shrunk. Shrink the failure, and its page has it.'
        : 'None was found: each run with one decision less fails too, or there is none to leave out.';
      return;
    }
    $('passing-words').textContent = passing.sentence;
    const side = (heading, rowsOfSide, className) => {
      const list = make('ul', {});
      rowsOfSide.forEach((one, index) => list.append(make('li', { className: index === 0 && className !== 'both' ? 'parts' : '' }, make('span', { className: 'when', textContent: shortTime(one.at_ns) }),
        make('span', { className: 'who text', textContent: one.node }), jump(pretty(one.words), className === 'passing' ? null : one.event))));
      if (rowsOfSide.length === 0) list.append(make('li', { textContent: 'The run had ended.' }));
      return make('div', { className: `side ${className}` }, make('h3', { textContent: heading }), list);
    };
    $('passing').append(side('Both, last', passing.shared, 'both'), side('This run, which fails', passing.failing, 'failing'), side(`The other run: ${passing.verdict}`, passing.passing, 'passing'));
  };
  const showUnchecked = () => {
    for (const words of [...run.not_checked, ...run.left_out]) $('unchecked').append(make('li', { className: 'text', textContent: words }));
    if (run.not_checked.length + run.left_out.length === 0) $('unchecked').append(make('li', { textContent: 'Nothing that the run itself could tell was left open. It is one run: other seeds may do otherwise.' }));
    if (run.left_out.length > 0) $('past-section').before(make('p', { className: 'faint', id: 'left-out', textContent: run.left_out.join(' ') }));
  };

  // ---- Input -----------------------------------------------------------------------------------------------------------------

  const hit = (x, y) => {
    let best = -1, distance = 14;
    const [first, last] = inView();
    const low = lowerBound(drawn.length, (i) => toY(place(drawn[i])) < y - 14);
    for (let i = Math.max(low, first); i < last; i++) {
      const event = drawn[i], dy = Math.abs(toY(place(event)) - y);
      if (dy > 14) break;
      const isBeside = x > shape.right || x < shape.left;
      const dx = isBeside || node[event] < 0 ? 0 : Math.abs(laneX(node[event]) - x);
      const score = isBeside ? dy : Math.hypot(dx, dy);
      if (score < distance) { distance = score; best = event; }
    }
    if (best >= 0 || x > shape.right) return best;
    distance = 6;
    const from = lowerBound(messages, (m) => place(lastEnd[m]) < state.view[0]);
    const until = Math.min(lowerBound(messages, (m) => place(sent[m]) <= state.view[1]), from + 20000);
    for (let m = from; m < until; m++) {
      const [x0, y0, x1, y1] = line(m);
      const length = (x1 - x0) ** 2 + (y1 - y0) ** 2;
      const share = length === 0 ? 0 : Math.min(1, Math.max(0, ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length));
      const away = Math.hypot(x - x0 - share * (x1 - x0), y - y0 - share * (y1 - y0));
      if (away < distance) { distance = away; best = sent[m]; }
    }
    return best;
  };
  const listen = () => {
    let drag = null;
    canvas.addEventListener('wheel', (event) => {
      const [low, high] = state.view, [least, most] = bounds();
      // Where nothing more is to be seen by zooming out, the page scrolls on.
      if (event.deltaY > 0 && high - low >= (most - least) * 0.999) return;
      event.preventDefault();
      if (event.shiftKey) { const by = ((event.deltaY || event.deltaX) / 400) * (high - low); setView(low + by, high + by); } else zoom(1.2 ** Math.sign(event.deltaY), toPosition(event.offsetY));
    }, { passive: false });
    // Two fingers zoom by how far they are apart, about the middle between them.
    const fingers = new Map();
    const apart = () => { const [one, other] = fingers.values(); return Math.max(Math.hypot(one[0] - other[0], one[1] - other[1]), 20); };
    const lift = (event) => { fingers.delete(event.pointerId); };
    canvas.addEventListener('pointerdown', (event) => {
      fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
      if (fingers.size > 1) { drag = null; return; }
      drag = { y: event.offsetY, view: state.view, moved: false, isStrip: event.offsetX < STRIP };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener('pointermove', (event) => {
      if (fingers.size === 2 && fingers.has(event.pointerId)) {
        const before = apart();
        fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
        const [one, other] = fingers.values();
        zoom(before / apart(), toPosition((one[1] + other[1]) / 2));
      }
      if (drag === null) return;
      const by = event.offsetY - drag.y, size = drag.view[1] - drag.view[0];
      if (Math.abs(by) > 3) drag.moved = true;
      if (!drag.moved || drag.isStrip) return;
      const shift = (by / (shape.height - HEAD)) * size;
      setView(drag.view[0] - shift, drag.view[1] - shift);
    });
    canvas.addEventListener('pointercancel', (event) => { lift(event); drag = null; });
    canvas.addEventListener('pointerup', (event) => {
      lift(event);
      const done = drag;
      drag = null;
      if (done === null) return;
      if (done.isStrip) {
        const [least, most] = bounds(), size = state.view[1] - state.view[0];
        const middle = least + ((event.offsetY - HEAD) / (shape.height - HEAD)) * (most - least);
        setView(middle - size / 2, middle + size / 2);
      } else if (!done.moved) choose(hit(event.offsetX, event.offsetY), false);
    });
    document.addEventListener('keydown', (event) => {
      const target = event.target, isField = /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName) && target.type !== 'checkbox';
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (isField) { if (event.key === 'Escape') target.blur(); return; }
      const isOurs = target === canvas || table.contains(target);
      const actions = {
        f: toFailure, n: () => next(1, true), p: () => next(-1, true), ArrowRight: () => next(1, false), ArrowLeft: () => next(-1, false),
        '+': () => zoom(1 / 1.4), '-': () => zoom(1.4), 0: all, '/': () => $('search').focus(), Escape: () => choose(-1, false),
      };
      if (isOurs) Object.assign(actions, { ArrowDown: actions.ArrowRight, ArrowUp: actions.ArrowLeft });
      const action = actions[event.key];
      if (action === undefined) return;
      event.preventDefault();
      action();
    });
    $('to-failure').addEventListener('click', toFailure);
    $('zoom-in').addEventListener('click', () => zoom(1 / 1.4));
    $('zoom-out').addEventListener('click', () => zoom(1.4));
    $('fit').addEventListener('click', all);
    $('to-scale').addEventListener('change', (event) => {
      state.toScale = event.target.checked;
      if (pastTarget() >= 0) show(pastTarget()); else all();
    });
    $('past').addEventListener('change', (event) => { state.past = event.target.checked; refilter(); });
    $('search').addEventListener('input', (event) => { state.search = event.target.value.slice(0, 200); table.scrollTop = 0; refilter(); });
    $('node').addEventListener('change', (event) => { state.node = Number(event.target.value); table.scrollTop = 0; refilter(); });
    $('kinds').addEventListener('change', () => {
      document.querySelectorAll('#kinds input').forEach((box, index) => { state.kinds[index] = box.checked; });
      refilter();
      setView(...state.view);
    });
    table.addEventListener('scroll', () => { if (!isPrinting) fillTable(); });
    body.addEventListener('click', (event) => {
      const chosen = event.target.closest('.row');
      if (chosen) choose(Number(chosen.dataset.event), false);
    });
    $('copy').addEventListener('click', async () => {
      // A page from disk may not be allowed to.
      try { await navigator.clipboard.writeText(run.replay); $('copy').textContent = 'Copied'; } catch { getSelection().selectAllChildren($('replay')); $('copy').textContent = 'Selected'; }
    });
    addEventListener('hashchange', () => { if (location.hash !== written) restore(); });
    const repaint = () => { readColours(); size(); draw(); showLatencies(); drawLikelihood(); };
    $('likelihood').addEventListener('click', (event) => {
      const { moments } = run.likelihood, { x } = curve($('likelihood').clientWidth, $('likelihood').clientHeight);
      const away = moments.map((moment) => Math.abs(x(moment.at_ns) - event.offsetX));
      const { event: nearest } = moments[away.indexOf(Math.min(...away))];
      if (nearest !== null) choose(nearest, true);
    });
    addEventListener('resize', () => { repaint(); fillTable(); });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint);
    const print = (on) => { if (isPrinting === on) return; isPrinting = on; fillTable(); repaint(); };
    addEventListener('beforeprint', () => print(true));
    addEventListener('afterprint', () => print(false));
    matchMedia('print').addEventListener('change', (event) => print(event.matches));
  };
  const fillFilters = () => {
    const option = (value, words) => make('option', { value: String(value), textContent: words });
    $('node').append(option(-2, 'all'), ...run.nodes.map((one, index) => option(index, one.name)), option(-1, 'world'));
    KINDS.forEach(([words], index) => $('kinds').append(make('label', {}, make('input', { type: 'checkbox', checked: state.kinds[index] }), ` ${words}`)));
  };
  // As high as the run needs, and as the window allows.
  const size = () => {
    const wanted = HEAD + (drawn.length + 1.4) * ROW;
    const most = Math.max(320, Math.min(innerHeight * (innerWidth < 640 ? 0.6 : 0.62), 900));
    canvas.style.height = `${Math.round(Math.min(Math.max(wanted, 200), most))}px`;
  };

  $('main').hidden = false;
  readColours();
  showTop();
  showCauses();
  showLegend();
  fillFilters();
  chooseDrawn();
  size();
  restore();
  showLikelihood();
  showHistory();
  showFaults();
  showPassing();
  showUnchecked();
  listen();
  draw();
  showLatencies();
  drawLikelihood();
  // For whoever looks whether it works: nothing here changes anything.
  window.squallPage = Object.freeze({
    state: () => ({ ...state, view: [...state.view], kinds: [...state.kinds], drawn: drawn.length, listed: listed.length, count, failure, other: state.chosen < 0 ? -1 : otherEnd(state.chosen) }),
    frames: () => [...frames],
    // Where an event is drawn, in pixels of the canvas.
    spot: (event) => ({ x: node[event] < 0 ? shape.left + 4 : laneX(node[event]), y: toY(place(event)) }),
    text: textOf,
    // Where a moment of the likelihood is drawn.
    moment: (index) => { const { x, y } = curve($('likelihood').clientWidth, $('likelihood').clientHeight), one = run.likelihood.moments[index]; return { x: x(one.at_ns), y: y(one.share ?? 0) }; },
    likelihood: () => structuredClone(run.likelihood),
    ready_ms: performance.now() - begun,
  });
  document.documentElement.dataset.ready = 'true';
})().catch((error) => {
  document.getElementById('sentence').textContent = `The run can't be shown: ${error.message}`;
  throw error;
});
