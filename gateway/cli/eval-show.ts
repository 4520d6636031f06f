import { Command, Option } from 'commander';
import { resultsHtml } from '../evaluate/report/html.ts';
import { resultsMarkdown } from '../evaluate/report/markdown.ts';
import { CliError } from './cli-error.ts';
import { findResults } from './eval-place.ts';
import { itemText, resultsText } from './eval-text.ts';

interface ShowFlags {
  results?: string;
  task?: string;
  html?: true;
  markdown?: true;
  json?: true;
}

/** `aegis eval show`: results that are there, or one task with its answers. */
export const evalShowCommand = (): Command =>
  new Command('show')
    .description('show the results of a suite again, or one task with its answers side by side')
    .argument('<suite>', 'the suite’s file, or a folder of results')
    .option('--results <folder>', 'where the results of the suite are')
    .option('--task <id>', 'one task')
    .addOption(new Option('--html', 'print the page').conflicts(['markdown', 'json', 'task']))
    .addOption(new Option('--markdown', 'print Markdown').conflicts(['json', 'task']))
    .option('--json', 'print JSON')
    .action(show);

const show = async (place: string, flags: ShowFlags): Promise<void> => {
  const { results } = await findResults(place, flags.results);
  if (flags.html) return void process.stdout.write(resultsHtml(results));
  if (flags.markdown) return void process.stdout.write(resultsMarkdown(results));
  if (flags.task === undefined) return console.log(flags.json ? JSON.stringify(results) : resultsText(results));
  const item = results.items.find(({ id }) => id === flags.task);
  if (!item) {
    const some = results.items.slice(0, 5).map(({ id }) => id);
    throw new CliError(`the results have no task ${JSON.stringify(flags.task)}; there are ${some.join(', ')}, …`);
  }
  console.log(flags.json ? JSON.stringify(item) : itemText(item));
};
