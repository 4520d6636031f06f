/** CPU µs a call, the median of several rounds: calls are counted by wall clock, cost is what the process used. */
export const cpuUs = (call: () => unknown, rounds = 9, roundMs = 80): number => {
  const warmUntil = performance.now() + roundMs;
  let calls = 0;
  while (performance.now() < warmUntil) {
    call();
    calls++;
  }
  const samples: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const before = process.cpuUsage();
    for (let index = 0; index < calls; index++) call();
    const used = process.cpuUsage(before);
    samples.push((used.user + used.system) / calls);
  }
  return samples.sort((a, b) => a - b)[rounds >> 1] ?? 0;
};
