import { Command } from 'commander';
import { reportExperiments } from '../experiments/experiment-reports.ts';
import { readArms } from '../store/experiment-readings.ts';
import { createExperimentStops } from '../store/experiment-stops.ts';
import { forPeople } from './cli-error.ts';
import { type BundleFlags, readPolicyData, unknownExperiment } from './experiment-bundle.ts';
import { experimentList, experimentText } from './experiment-text.ts';
import { openLedger } from './report-store.ts';
import { withStoreFlags } from './store-place.ts';

interface ExperimentFlags extends BundleFlags {
  org?: string;
  json?: true;
}

/** `aegis experiment`: A/B tests of the policy, from the ledger, with the gateway running or not. */
export const experimentCommand = (): Command =>
  new Command('experiment')
    .description('A/B tests of the policy: what each arm has got, and what to do')
    .addCommand(
      withFlags(new Command('list').description('every experiment of the policy, a line each')).action(
        forPeople((flags: ExperimentFlags) => show(undefined, flags)),
      ),
    )
    .addCommand(
      withFlags(
        new Command('show')
          .description(
            'exposure, sample ratio, each metric by arm with intervals that hold however often one looks, guards, a verdict; exit 1 when it is not to be trusted or a guard stopped it',
          )
          .argument('<id>', 'the experiment'),
      ).action(forPeople((id: string, flags: ExperimentFlags) => show(id, flags))),
    );

const withFlags = (command: Command): Command =>
  withStoreFlags(command)
    .option('--bundle <file>', 'the bundle that has it (default: the one that served last)')
    .option('--key <pem...>', 'public keys that may sign (default: the config’s, else bundles/keys/*.pub.pem)')
    .option('--org <name>', 'by the requests of one organisation')
    .option('--json', 'print JSON');

const show = async (id: string | undefined, flags: ExperimentFlags): Promise<void> => {
  const data = await readPolicyData(flags);
  if (id !== undefined && !Object.hasOwn(data.experiments ?? {}, id)) throw unknownExperiment(id, data);
  const { db, close } = await openLedger(flags, false);
  try {
    const source = { reader: { arms: (question: Parameters<typeof readArms>[1]) => readArms(db, question) } };
    const stops = createExperimentStops(db);
    const reports = await reportExperiments({ ...source, stops }, data, { id, org: flags.org, nowMs: Date.now() });
    const [report] = reports;
    if (id === undefined) {
      console.log(flags.json ? JSON.stringify({ data: reports }) : experimentList(reports));
      return;
    }
    if (report === undefined) throw unknownExperiment(`${id} for ${flags.org}`, data);
    console.log(flags.json ? JSON.stringify(report) : experimentText(report));
    if (['do_not_trust', 'stopped_by_guard'].includes(report.verdict.kind)) process.exitCode = 1;
  } finally {
    await close();
  }
};
