import { type Database, openDatabase } from '../../gateway/store/database.ts';
import { openPostgres, whyNoPostgres } from './postgres.ts';

/** An implementation under test. `open` may be called several times for one home: those share their data. */
export interface TestStore {
  open(home: string): Promise<Database>;
  close(): Promise<void>;
}

/** Every implementation of the store, and why it cannot be tested here. */
export const STORES: readonly {
  readonly name: string;
  readonly without?: string | undefined;
  prepare(): Promise<TestStore>;
}[] = [
  { name: 'SQLite', prepare: async () => ({ open: (home) => openDatabase(home), close: async () => {} }) },
  {
    name: 'Postgres',
    without: whyNoPostgres(),
    prepare: async () => {
      const postgres = await openPostgres();
      const urls = new Map<string, Promise<string>>();
      return {
        open: async (home) => {
          if (!urls.has(home)) urls.set(home, postgres.createDatabase());
          return await openDatabase(home, await urls.get(home));
        },
        close: () => postgres.close(),
      };
    },
  },
];
