import { expect, test } from '@jest/globals';
import { nearestName } from '../../gateway/nearest-name.ts';

test('a misspelt name is near the one it means, and a strange one near none', () => {
  const known = ['allow', 'model', 'models', 'code'];
  expect(nearestName('modl', known)).toBe('model');
  expect(nearestName('modelss', known)).toBe('models');
  expect(nearestName('allwo', known)).toBe('allow');
  expect(nearestName('temperature', known)).toBeUndefined();
});
