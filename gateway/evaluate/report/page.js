// The page of `aegis eval`: sorting, filters and the drill-down. Texts of models get into the page as text nodes alone.
const { models, items } = JSON.parse(document.getElementById('data').textContent);
const PAGE = 50;

const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};

const table = document.getElementById('models');
for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
  const button = make('button', '', head.textContent);
  button.type = 'button';
  head.replaceChildren(button);
  button.addEventListener('click', () => {
    const down = head.getAttribute('aria-sort') === 'descending';
    for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', down ? 'ascending' : 'descending');
    const [body] = table.tBodies;
    const valueOf = (row) => row.cells[column].dataset.value ?? '';
    const compare = (a, b) => {
      const [left, right] = [valueOf(a), valueOf(b)];
      // What is not known comes last, whichever way.
      if (left === '' || right === '') return left === right ? 0 : left === '' ? 1 : -1;
      const order = Number.isNaN(Number(left)) ? left.localeCompare(right) : Number(left) - Number(right);
      return down ? order : -order;
    };
    body.append(...[...body.rows].sort(compare));
  });
}

const scoresOf = (item) =>
  models.map((model) => {
    const scores = item.answers.flatMap((one) => (one.model === model && one.score !== null ? [one.score] : []));
    return scores.length === 0 ? null : scores.reduce((sum, score) => sum + score, 0) / scores.length;
  });
const rows = items.map((item) => ({ item, scores: scoresOf(item), text: `${item.id} ${item.prompt}`.toLowerCase() }));

const FILTERS = {
  all: () => true,
  disagree: ({ scores }) => new Set(scores.filter((score) => score !== null)).size > 1,
  failed: ({ item }) => item.answers.some(({ state, score }) => state !== 'answered' || score === null),
  wrong: ({ scores }) => scores.some((score) => score !== null && score < 0.5),
};

const tone = (score) => (score === null ? 'none' : score >= 0.5 ? 'good' : 'bad');
const scoreText = (score) => (score === null ? '–' : String(Math.round(score * 100) / 100));

const answerOf = (answer) => {
  const box = make('div', 'answer');
  const head = make('h3');
  head.append(make('span', '', answer.repeat > 0 ? `${answer.model} (${answer.repeat + 1})` : answer.model));
  head.append(make('span', tone(answer.score), scoreText(answer.score)));
  box.append(head);
  box.append(make('pre', answer.state === 'answered' ? '' : 'bad', answer.state === 'answered' ? answer.text : (answer.error ?? answer.state)));
  const list = make('dl');
  for (const grade of answer.grades) {
    list.append(make('dt', 'soft', grade.grader), make('dd', tone(grade.score), scoreText(grade.score)), make('dd', '', grade.note));
  }
  box.append(list);
  const facts = `${answer.usd.toFixed(6)} USD · ${Math.round(answer.ms)} ms · ${answer.input_tokens} → ${answer.output_tokens} tokens`;
  box.append(make('p', 'facts', answer.decision_id === null ? facts : `${facts} · ${answer.decision_id}`));
  return box;
};

const taskOf = ({ item, scores }) => {
  const details = make('details', 'task');
  const summary = make('summary');
  const marks = make('span', 'marks');
  for (const [at, score] of scores.entries()) {
    const mark = make('span', tone(score), scoreText(score));
    mark.title = models[at];
    marks.append(mark);
  }
  const gist = item.prompt.length > 300 ? `${item.prompt.slice(0, 300)}…` : item.prompt;
  summary.append(make('span', 'id', item.id), make('span', 'gist', gist), marks);
  details.append(summary);
  details.addEventListener('toggle', () => {
    if (!details.open || details.childElementCount > 1) return;
    const answers = make('div', 'answers');
    answers.append(...item.answers.map(answerOf));
    details.append(make('pre', '', item.prompt), answers);
  });
  return details;
};

const list = document.getElementById('tasks');
const filter = document.getElementById('filter');
const search = document.getElementById('search');
const count = document.getElementById('count');
const more = document.getElementById('more');
let found = [];
let shown = 0;
const showMore = () => {
  list.append(...found.slice(shown, shown + PAGE).map(taskOf));
  shown = Math.min(found.length, shown + PAGE);
  more.hidden = shown === found.length;
};
const show = () => {
  const words = search.value.toLowerCase();
  found = rows.filter((row) => FILTERS[filter.value](row) && row.text.includes(words));
  list.replaceChildren();
  shown = 0;
  count.textContent = `${found.length} of ${rows.length} tasks; scores in the order of the models: ${models.join(', ')}`;
  showMore();
};
filter.addEventListener('change', show);
search.addEventListener('input', show);
more.addEventListener('click', showMore);
show();
