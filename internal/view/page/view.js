// The page's own script. What the server sends is a drawing (SVG, in which every text is
// escaped) and facts; facts become text nodes, never markup.

const $ = id => document.getElementById(id);
const drawing = $('drawing');
let open = '';      // key of the thing whose details are shown
let current = '';   // key of the thing that Tab comes to
let scale = 0;      // 0 fits the drawing into the window
let stream = null;

const thing = () => new URLSearchParams(location.search).get('thing') ?? '';
const query = more => {
  const q = new URLSearchParams(more);
  if (location.search.includes('thing=')) q.set('thing', thing());
  return q.toString();
};

// keyed are the boxes and outlines that can be opened.
const keyed = () => [...drawing.querySelectorAll('[data-key]')];
const at = key => keyed().find(e => e.dataset.key === key);

// prepare tells assistive technology what the shapes are.
function prepare(svg) {
  svg.setAttribute('role', 'group');
  const all = [...svg.querySelectorAll('[data-key]')];
  const here = all.find(e => e.dataset.key === current) ?? all[0];
  for (const e of all) {
    e.setAttribute('role', 'button');
    e.setAttribute('tabindex', e === here ? '0' : '-1');
    e.setAttribute('aria-label', e.querySelector('title')?.textContent ?? e.dataset.key);
    e.classList.toggle('open', e.dataset.key === open);
    e.classList.toggle('hit', hit(e));
  }
}

// hit reports whether a pod or container is what somebody looks for: by its name, or
// anything that its words say.
function hit(e) {
  const word = $('find').value.trim().toLowerCase();
  return word !== '' && /^(pod|container|sandbox|group|card)-/.test(e.dataset.key) && e.getAttribute('aria-label').toLowerCase().includes(word);
}

function find() {
  const all = keyed();
  for (const e of all) e.classList.toggle('hit', hit(e));
  all.find(hit)?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
}

// patch makes an old drawing equal to a new one and leaves what is the same alone, so
// that focus and a selection stay where they are.
function patch(old, now) {
  if (old.nodeType !== now.nodeType || old.nodeName !== now.nodeName) return old.replaceWith(now);
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== now.data) old.data = now.data;
    return;
  }
  for (const a of [...old.attributes]) if (!now.hasAttribute(a.name)) old.removeAttribute(a.name);
  for (const a of now.attributes) if (old.getAttribute(a.name) !== a.value) old.setAttribute(a.name, a.value);
  const before = [...old.childNodes], after = [...now.childNodes];
  after.forEach((n, i) => i < before.length ? patch(before[i], n) : old.append(n));
  before.slice(after.length).forEach(n => n.remove());
}

function show(text) {
  const doc = new DOMParser().parseFromString(text, 'image/svg+xml');
  if (doc.querySelector('parsererror')) return state('the drawing could not be read', true);
  const now = document.importNode(doc.documentElement, true);
  prepare(now);
  const focused = drawing.contains(document.activeElement) ? document.activeElement.dataset?.key : '';
  const old = drawing.querySelector('svg');
  old ? patch(old, now) : drawing.replaceChildren(now);
  // Shapes stand in order, not by name: when one has gone, focus follows the thing.
  if (focused && document.activeElement?.dataset?.key !== focused) at(focused)?.focus();
  size();
}

function state(text, lost = false) {
  if ($('state').textContent !== text) $('state').textContent = text;
  $('state').classList.toggle('lost', lost);
}

function size() {
  const svg = drawing.querySelector('svg');
  drawing.classList.toggle('fit', scale === 0);
  $('fit').setAttribute('aria-pressed', String(scale === 0));
  if (!svg || scale === 0) return;
  const [, , w, h] = svg.getAttribute('viewBox').split(' ').map(Number);
  svg.setAttribute('width', w * scale);
  svg.setAttribute('height', h * scale);
}

function zoom(by) {
  const svg = drawing.querySelector('svg');
  if (!svg) return;
  const w = Number(svg.getAttribute('viewBox').split(' ')[2]);
  if (scale === 0) scale = svg.getBoundingClientRect().width / w;
  scale = by === 0 ? 0 : Math.min(4, Math.max(0.1, scale * by));
  size();
}

function listen() {
  stream?.close();
  stream = new EventSource('events?' + query({}));
  stream.onmessage = e => {
    const d = JSON.parse(e.data);
    if (d.problem) return state(d.problem, true);
    state('live');
    $('title').textContent = d.title;
    document.title = d.title + ' · carob view';
    $('all').hidden = d.title.startsWith('host');
    show(d.svg);
    if (open) details(open, false);
  };
  stream.onerror = () => state('the server does not answer', true);
}

async function details(key, focus = true) {
  const answer = await fetch('details?' + query({ key }));
  if (!answer.ok) {
    if (focus || open === key) close();
    return;
  }
  const d = await answer.json();
  if (!focus && open !== key) return; // another was opened meanwhile
  mark(key);
  $('is').textContent = d.is;
  $('what').textContent = d.title;
  $('words').textContent = d.words ?? '';
  const rows = d.rows.flatMap(r => {
    const name = document.createElement('dt'), value = document.createElement('dd');
    name.textContent = r.name;
    value.textContent = r.value;
    return [name, value];
  });
  if (rows.map(r => r.textContent).join('\n') !== [...$('rows').children].map(r => r.textContent).join('\n')) $('rows').replaceChildren(...rows);
  $('alone').hidden = !d.thing || d.thing === thing();
  $('alone').dataset.thing = d.thing ?? '';
  $('details').hidden = false;
  if (focus) $('details').focus();
}

function mark(key) {
  open = key;
  for (const e of keyed()) e.classList.toggle('open', e.dataset.key === key);
}

function close() {
  $('details').hidden = true;
  const back = at(open) ?? at(current);
  mark('');
  back?.focus();
}

function go(word) {
  const q = word === null ? 'thing=' : new URLSearchParams({ thing: word }).toString();
  history.pushState(null, '', '?' + q);
  turn();
}

function turn() {
  mark('');
  current = '';
  $('details').hidden = true;
  drawing.replaceChildren();
  listen();
}

// move goes to the nearest shape in a direction; those of another lane or box count as
// farther the more they are aside.
function move(from, dx, dy) {
  const a = from.getBoundingClientRect();
  const middle = r => [r.left + r.width / 2, r.top + r.height / 2];
  const [x, y] = middle(a);
  let best = null, least = Infinity;
  for (const e of keyed()) {
    if (e === from) continue;
    const [u, v] = middle(e.getBoundingClientRect());
    const ahead = (u - x) * dx + (v - y) * dy, aside = Math.abs((u - x) * dy) + Math.abs((v - y) * dx);
    if (ahead > 1 && ahead + 2 * aside < least) [best, least] = [e, ahead + 2 * aside];
  }
  if (best) step(best);
}

function step(e) {
  for (const k of keyed()) k.setAttribute('tabindex', k === e ? '0' : '-1');
  current = e.dataset.key;
  e.focus();
  e.scrollIntoView({ block: 'nearest', inline: 'nearest' });
}

const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

drawing.addEventListener('keydown', e => {
  const shape = e.target.closest('[data-key]');
  if (!shape || e.ctrlKey || e.altKey || e.metaKey) return;
  if (ways[e.key]) {
    e.preventDefault();
    move(shape, ...ways[e.key]);
  } else if (e.key === 'Enter' || e.key === ' ') {
    e.preventDefault();
    current = shape.dataset.key;
    details(current);
  }
});

drawing.addEventListener('click', e => {
  if (!getSelection().isCollapsed) return; // somebody marks a text
  // A text lies over the shape that it belongs to.
  const shape = document.elementsFromPoint(e.clientX, e.clientY).find(x => x.dataset?.key);
  if (!shape) return;
  step(shape);
  details(shape.dataset.key);
});

document.addEventListener('keydown', e => {
  if (e.ctrlKey || e.altKey || e.metaKey || e.target === $('find')) return;
  if (e.key === '/') {
    e.preventDefault();
    $('find').focus();
  } else if (e.key === 'Escape' && !$('details').hidden) close();
  else if (e.key === '+' || e.key === '=') zoom(1.25);
  else if (e.key === '-') zoom(0.8);
  else if (e.key === '0') zoom(0);
});

$('find').oninput = find;
$('find').onkeydown = e => {
  const hits = keyed().filter(hit);
  if (e.key === 'Enter' && hits.length) step(hits[(hits.findIndex(x => x.dataset.key === current) + 1) % hits.length]);
  else if (e.key === 'Escape') {
    $('find').value = '';
    find();
    (at(current) ?? keyed()[0])?.focus();
  }
};
$('in').onclick = () => zoom(1.25);
$('out').onclick = () => zoom(0.8);
$('fit').onclick = () => zoom(0);
$('close').onclick = close;
$('alone').onclick = e => go(e.target.dataset.thing);
$('all').onclick = () => go(null);
addEventListener('popstate', turn);
listen();
