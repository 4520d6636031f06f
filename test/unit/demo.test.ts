import { describe, expect, test } from '@jest/globals';
import { ConfigError } from '../../gateway/config.ts';
import { demoConfig } from '../../gateway/demo.ts';

describe('the config of a gateway without one', () => {
  test('is embedded and in memory, with the sandbox for every provider', () => {
    const { settings, sandboxed } = demoConfig({});
    expect(settings).toMatchObject({ store: { url: '' }, redis: { url: '' } });
    expect([...sandboxed].sort()).toEqual(['anthropic', 'local', 'mistral', 'openai']);
  });

  test('takes its Postgres, its Redis and providers’ keys from the environment', () => {
    const { settings, sandboxed } = demoConfig({
      DATABASE_URL: 'postgres://aegis@db.example.org/aegis',
      REDIS_URL: 'redis://cache.example.org:6379',
      OPENAI_API_KEY: 'sk-1',
    });
    expect(settings).toMatchObject({
      store: { url: 'postgres://aegis@db.example.org/aegis' },
      redis: { url: 'redis://cache.example.org:6379' },
    });
    expect(sandboxed).not.toContain('openai');
  });

  test('refuses a database that is none of its kind', () => {
    expect(() => demoConfig({ DATABASE_URL: 'mysql://db.example.org/aegis' })).toThrow(ConfigError);
  });
});
