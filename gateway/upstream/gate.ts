/**
 * Bounds what is under way. An item that enters leaves exactly once, whether it has started or still waits; leaving
 * twice does nothing.
 */
export interface Gate<T> {
  /** Starts the item, lets it wait its turn, or refuses it: false. */
  enter(item: T): boolean;
  leave(item: T): void;
  readonly isFull: boolean;
  readonly underWay: number;
  readonly waiting: number;
}

/**
 * Creates a gate for `max` items under way and as many that wait. `start` is called once for each that gets its turn.
 */
export const createGate = <T>(max: number, start: (item: T) => void): Gate<T> => {
  const started = new Set<T>();
  /** In the order of their coming. */
  const waiting = new Set<T>();

  return {
    enter(item) {
      if (started.size < max) {
        started.add(item);
        start(item);
        return true;
      }
      if (waiting.size >= max) return false;
      waiting.add(item);
      return true;
    },
    leave(item) {
      if (!started.delete(item)) {
        waiting.delete(item);
        return;
      }
      if (waiting.size === 0) return;
      const [next] = waiting;
      waiting.delete(next as T);
      started.add(next as T);
      // The one that left may be inside a parser that must not be entered again.
      queueMicrotask(() => {
        if (started.has(next as T)) start(next as T);
      });
    },
    get isFull() {
      return started.size >= max && waiting.size >= max;
    },
    get underWay() {
      return started.size;
    },
    get waiting() {
      return waiting.size;
    },
  };
};
