// Pages that are whole without it: copies commands, and in a map goes from cell to cell by the arrow keys and tells the cell below it.
'use strict';
for (const button of document.querySelectorAll('button.copy')) {
  const code = button.parentElement.querySelector('code');
  button.hidden = false;
  button.setAttribute('aria-label', `Copy ${code.textContent}`);
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = 'Copied';
    } catch {
      getSelection().selectAllChildren(code);
    }
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  });
}
for (const map of document.querySelectorAll('.map')) {
  const rows = [...map.querySelectorAll('tbody tr')].map((row) => [...row.querySelectorAll('td')]);
  const told = map.closest('.measure').querySelector('.told');
  const cells = rows.flat();
  cells.forEach((cell, index) => { cell.tabIndex = index === 0 ? 0 : -1; });
  const tell = (cell) => { told.textContent = cell.title; };
  map.addEventListener('mouseover', (event) => {
    const cell = event.target.closest('td');
    if (cell !== null) tell(cell);
  });
  map.addEventListener('focusin', (event) => {
    const cell = event.target.closest('td');
    if (cell === null) return;
    cells.forEach((other) => { other.tabIndex = other === cell ? 0 : -1; });
    tell(cell);
  });
  map.addEventListener('keydown', (event) => {
    const cell = event.target.closest('td');
    const row = rows.findIndex((one) => one.includes(cell));
    if (row < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const column = rows[row].indexOf(cell);
    const [down, right] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[event.key] ?? [0, 0];
    const ends = { Home: rows[row][0], End: rows[row].at(-1) };
    const next = ends[event.key] ?? (down === 0 && right === 0 ? undefined : rows[row + down]?.[column + right]);
    if (next === undefined) return;
    event.preventDefault();
    next.focus();
  });
}
document.documentElement.dataset.ready = 'true';
