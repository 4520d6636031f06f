import Database from 'better-sqlite3';

/** A lock that is held. */
export interface WriterLock {
  release(): void;
}

/** The log is open in another process, or twice in this one. */
export class AuditLockedError extends Error {
  readonly code = 'audit_locked';

  constructor(path: string) {
    super(`another process writes this audit log (${path} is locked); one gateway a home`);
    this.name = 'AuditLockedError';
  }
}

/**
 * Takes the single writer's lock. Throws AuditLockedError when it is taken. Node has no file locks; SQLite's exclusive
 * lock on an empty file is one that the kernel drops when the process dies, however it dies, and that also holds between
 * containers and inside one process. The file stays empty.
 */
export const takeWriterLock = (path: string): WriterLock => {
  const database = new Database(path, { timeout: 0 });
  try {
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if ((error as { code?: string }).code === 'SQLITE_BUSY') throw new AuditLockedError(path);
    throw error;
  }
  return { release: () => void database.close() };
};
